#include "datagrams.h"

#include <errno.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE; here it must */
#endif

#define INET_SLOT ((size_t)64 * 1024)
#define UNIX_SLOT ((size_t)256 * 1024)

/* After so many that came one at a time, two are asked for; after twice as
 * many each time that this was in vain, so many times at most. */
#define ALONE 8U
#define MAX_VAIN 3

/* Queued datagrams given to the kernel at once. */
#define MAX_SENDS 64

/* ---- receiving ---- */

Batch *
batch_get(void **memory)
{
    Batch *batch = *memory;

    if (batch == NULL) {
        batch = PyMem_RawMalloc(sizeof(Batch));
        if (batch == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        batch->slot = 0;
        *memory = batch;
    }
    return batch;
}

/* Point all messages at the room. What the kernel writes into them is set
 * before each call. */
static void
prepare(Batch *batch, size_t slot)
{
    memset(batch->messages, 0, sizeof(batch->messages));
    for (size_t i = 0; i < BATCH_ROOM / slot; i++) {
        struct msghdr *header = &batch->messages[i].msg_hdr;

        batch->pieces[i].iov_base = batch->room + i * slot;
        batch->pieces[i].iov_len = slot;
        header->msg_iov = &batch->pieces[i];
        header->msg_iovlen = 1;
        header->msg_name = &batch->names[i].raw;
    }
    batch->slot = slot;
}

/* 1, or -1 with errno. */
static int
receive_one(Batch *batch, int fd)
{
    Addr *name = &batch->names[0];
    ssize_t size = 0;

    name->size = sizeof(name->raw);
    size = recvfrom(fd,
                    batch->room,
                    batch->slot,
                    MSG_DONTWAIT,
                    &name->raw.any,
                    &name->size);
    if (size < 0) {
        return -1;
    }
    batch->messages[0].msg_len = (unsigned)size;
    return 1;
}

#if DATAGRAMS_HAVE_MMSG
/* How many came, or -1 with errno. */
static int
receive_some(Batch *batch, int fd, unsigned count)
{
    int received = 0;

    for (unsigned i = 0; i < count; i++) {
        batch->messages[i].msg_hdr.msg_namelen = sizeof(batch->names[i].raw);
    }
    received = recvmmsg(fd, batch->messages, count, MSG_DONTWAIT, NULL);
    if (received < 0 && errno == ENOSYS) {
        return receive_one(batch, fd);
    }
    for (int i = 0; i < received; i++) {
        batch->names[i].size = batch->messages[i].msg_hdr.msg_namelen;
    }
    return received;
}
#else
static int
receive_some(Batch *batch, int fd, unsigned count)
{
    (void)count;
    return receive_one(batch, fd);
}
#endif

/* Learn from how many came. */
static void
adapt(Forecast *forecast, unsigned received, unsigned most)
{
    if (received > 1) {
        forecast->vain = 0;
    }
    else if (forecast->next == 2 && forecast->vain < MAX_VAIN) {
        forecast->vain++;
    }
    if (received < forecast->next) {
        forecast->next = received;
        forecast->alone = 0;
    }
    else if (received > 1 || ++forecast->alone == ALONE << forecast->vain) {
        forecast->next = 2 * received < most ? 2 * received : most;
        forecast->alone = 0;
    }
}

int
batch_receive(Batch *batch, int fd, int family, Forecast *forecast)
{
    size_t slot = family == AF_UNIX ? UNIX_SLOT : INET_SLOT;
    int received = 0;

    if (batch->slot != slot) {
        prepare(batch, slot);
    }
    received = forecast->next > 1 ? receive_some(batch, fd, forecast->next)
                                  : receive_one(batch, fd);
    if (received < 0) {
        return -errno;
    }
    adapt(forecast, (unsigned)received, (unsigned)(BATCH_ROOM / slot));
    return received;
}

PyObject *
batch_bytes(const Batch *batch, int i)
{
    return PyBytes_FromStringAndSize(batch->pieces[i].iov_base,
                                     (Py_ssize_t)batch->messages[i].msg_len);
}

/* ---- sending ---- */

int
datagrams_send(int fd, const void *data, size_t size, const Addr *addr)
{
    ssize_t sent = sendto(fd,
                          data,
                          size,
                          MSG_NOSIGNAL,
                          addr == NULL ? NULL : &addr->raw.any,
                          addr == NULL ? 0 : addr->size);

    return sent < 0 ? -errno : 0;
}

static size_t
queued_size(PyObject *bytes)
{
    return (size_t)PyBytes_GET_SIZE(bytes) + COMPAT_DATAGRAM_HEADER;
}

/* Room for one more; 0, or -1 with MemoryError. */
static int
reserve(DatagramQueue *queue)
{
    size_t count = queue->end - queue->first;
    Datagram *items = queue->items;
    size_t size = queue->allocated == 0 ? 8 : queue->allocated * 2;

    if (queue->end < queue->allocated) {
        return 0;
    }
    if (queue->first > 0 && queue->first >= count) {
        memmove(items, items + queue->first, count * sizeof(*items));
        queue->first = 0;
        queue->end = count;
        return 0;
    }
    if (PyMem_Resize(items, Datagram, size) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    queue->items = items;
    queue->allocated = size;
    return 0;
}

int
datagrams_push(DatagramQueue *queue,
               const void *data,
               size_t size,
               const Addr *addr)
{
    PyObject *bytes = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
    Datagram *item = NULL;

    if (bytes == NULL || reserve(queue) < 0) {
        Py_XDECREF(bytes);
        return -1;
    }
    item = &queue->items[queue->end++];
    item->bytes = bytes;
    item->addr.size = 0;
    if (addr != NULL) {
        item->addr = *addr;
    }
    queue->size += queued_size(bytes);
    return 0;
}

void
datagrams_pop(DatagramQueue *queue, size_t count)
{
    while (count-- > 0) {
        PyObject *bytes = queue->items[queue->first++].bytes;

        queue->size -= queued_size(bytes);
        Py_DECREF(bytes);
    }
    if (datagrams_is_empty(queue)) {
        queue->first = 0;
        queue->end = 0;
    }
}

/* 1, or -1 with errno. */
static int
flush_one(DatagramQueue *queue, int fd)
{
    const Datagram *item = &queue->items[queue->first];
    int err = datagrams_send(fd,
                             PyBytes_AS_STRING(item->bytes),
                             (size_t)PyBytes_GET_SIZE(item->bytes),
                             item->addr.size > 0 ? &item->addr : NULL);

    if (err < 0) {
        errno = -err;
        return -1;
    }
    return 1;
}

#if DATAGRAMS_HAVE_MMSG
/* How many went, or -1 with errno. */
static int
flush_some(DatagramQueue *queue, int fd)
{
    Datagram *items = queue->items + queue->first;
    size_t left = queue->end - queue->first;
    unsigned count = left < MAX_SENDS ? (unsigned)left : MAX_SENDS;
    struct mmsghdr messages[MAX_SENDS] = {0};
    struct iovec pieces[MAX_SENDS];
    int sent = 0;

    for (unsigned i = 0; i < count; i++) {
        struct msghdr *header = &messages[i].msg_hdr;

        pieces[i].iov_base = PyBytes_AS_STRING(items[i].bytes);
        pieces[i].iov_len = (size_t)PyBytes_GET_SIZE(items[i].bytes);
        header->msg_iov = &pieces[i];
        header->msg_iovlen = 1;
        if (items[i].addr.size > 0) {
            header->msg_name = &items[i].addr.raw;
            header->msg_namelen = items[i].addr.size;
        }
    }
    sent = sendmmsg(fd, messages, count, MSG_NOSIGNAL);
    return sent < 0 && errno == ENOSYS ? flush_one(queue, fd) : sent;
}
#else
static int
flush_some(DatagramQueue *queue, int fd)
{
    return flush_one(queue, fd);
}
#endif

int
datagrams_flush(DatagramQueue *queue, int fd)
{
    int sent = flush_some(queue, fd);

    return sent < 0 ? -errno : sent;
}

void
datagrams_clear(DatagramQueue *queue)
{
    datagrams_pop(queue, queue->end - queue->first);
    PyMem_Free(queue->items);
    memset(queue, 0, sizeof(*queue));
}
