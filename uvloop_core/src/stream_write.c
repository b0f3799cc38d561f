/* The way out. A write is sent at once if nothing is queued; what the kernel
 * does not take is queued, and libuv gets one request at a time for the head
 * of the queue: it tells when the socket takes more. What is queued meanwhile
 * goes out in one piece when that request is done.
 *
 * Write coalescing (loop.write_coalescing, cork.h) puts the first send off to
 * the end of the callback that runs. What is queued meanwhile is exact bytes
 * objects, no more than fits under the limit: so pause_writing is never due
 * when it is sent, and nobody can tell but by the time.
 */
#include "stream.h"

#include <errno.h>

#include "forks.h"
#include "req.h"

/* Pieces given to the kernel at once. */
#define MAX_PIECES 64

/* What is left of a bytearray is copied up to this size, so that its owner
 * may go on using it; a bigger one is locked while it is queued (to resize it
 * is a BufferError), as asyncio does with all of them since 3.12. */
#define MAX_COPY ((size_t)256 * 1024)

/* Write coalescing: what a callback may queue before it is sent, and how long
 * after its first write another one may still join it. */
#define CORK_MAX ((size_t)64 * 1024)
#define CORK_MAX_NS 100000

/* ---- the queue ---- */

/* Room for one more item; 0, or -1 with MemoryError. */
static int
reserve(WriteQueue *queue)
{
    size_t count = queue->end - queue->first;
    WriteItem *items = queue->items;
    size_t size = queue->allocated == 0 ? 4 : queue->allocated * 2;

    if (queue->end < queue->allocated) {
        return 0;
    }
    if (queue->first > 0 && queue->first >= count) {
        memmove(items, items + queue->first, count * sizeof(*items));
        queue->first = 0;
        queue->end = count;
        return 0;
    }
    if (PyMem_Resize(items, WriteItem, size) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    queue->items = items;
    queue->allocated = size;
    return 0;
}

static int
push(WriteQueue *queue,
     PyObject *owner /* steals on success */,
     const char *data,
     size_t size)
{
    if (reserve(queue) < 0) {
        return -1;
    }
    queue->items[queue->end++] = (WriteItem){owner, data, size};
    queue->size += size;
    return 0;
}

/* Drop all items from index `end` on. May run Python code. */
static void
truncate_queue(WriteQueue *queue, size_t count)
{
    while (queue->end - queue->first > count) {
        WriteItem item = queue->items[--queue->end];

        queue->size -= item.size;
        Py_DECREF(item.owner);
    }
}

/* The first `size` bytes have been sent. May run Python code. */
static void
consume(WriteQueue *queue, size_t size)
{
    queue->size -= size;
    while (size > 0) {
        WriteItem *item = &queue->items[queue->first];
        PyObject *owner = item->owner;

        if (size < item->size) {
            item->data += size;
            item->size -= size;
            return;
        }
        size -= item->size;
        queue->first++;
        Py_DECREF(owner);
    }
    if (queue->first == queue->end) {
        queue->first = 0;
        queue->end = 0;
    }
}

/* Point pieces at the head of the queue, at most `limit` bytes of it: how
 * many, and their sum in *size. */
static int
gather(const WriteQueue *queue,
       struct iovec pieces[MAX_PIECES],
       size_t limit,
       size_t *size)
{
    int count = 0;

    *size = 0;
    for (size_t i = queue->first;
         i < queue->end && count < MAX_PIECES && *size < limit;
         i++) {
        const WriteItem *item = &queue->items[i];
        size_t left = limit - *size;
        size_t length = item->size < left ? item->size : left;

        /* iovec is for reading too, hence not const. */
        pieces[count].iov_base = (void *)item->data;
        pieces[count].iov_len = length;
        *size += length;
        count++;
    }
    return count;
}

/* ---- whose memory ---- */

/* The owner that keeps `data`, a part of the object's buffer, as it is while
 * it is queued: *data may move to a copy. New reference, or NULL. */
static PyObject *
make_owner(PyObject *object, const char **data, size_t size)
{
    PyObject *owner = NULL;
    bool writable = false;

    if (PyBytes_Check(object)) {
        return Py_NewRef(object);
    }
    owner = PyMemoryView_Check(object) ? Py_NewRef(object)
                                       : PyMemoryView_FromObject(object);
    if (owner == NULL) {
        return NULL;
    }
    writable = !PyMemoryView_GET_BUFFER(owner)->readonly;
    if (writable && size <= MAX_COPY) {
        Py_SETREF(owner, PyBytes_FromStringAndSize(*data, (Py_ssize_t)size));
        if (owner != NULL) {
            *data = PyBytes_AS_STRING(owner);
        }
    }
    else if (PyMemoryView_Check(object)) {
        /* Its user may release() it: have an export of our own. */
        Py_SETREF(owner, PyMemoryView_FromObject(object));
    }
    return owner;
}

/* After a send: see to it that the items still queued stay as they are. 0, or
 * -1 with MemoryError. */
static int
keep_items(WriteQueue *queue, size_t from)
{
    for (size_t i = from; i < queue->end; i++) {
        WriteItem *item = &queue->items[i];
        const char *data = item->data;
        PyObject *object = item->owner;
        PyObject *owner = make_owner(object, &data, item->size);

        if (owner == NULL) {
            return -1;
        }
        queue->items[i].owner = owner;
        queue->items[i].data = data;
        Py_DECREF(object);
    }
    return 0;
}

/* ---- sending ---- */

static void
fail(Stream *stream, int err)
{
    transport_fatal_uv(
        &stream->transport, err, stream_ops(stream)->write_error);
}

/* Of what StreamOps.send returned: bytes sent, 0 if the kernel takes none now
 * (a signal came first: it is asked again when there is room), or -1: the
 * connection is lost and that has been seen to. */
static ssize_t
check_sent(Stream *stream, ssize_t sent)
{
    if (sent >= 0) {
        return sent;
    }
    if (sent == -EAGAIN || sent == -EWOULDBLOCK || sent == -ENOBUFS ||
        sent == -EINTR) {
        return 0;
    }
    fail(stream, (int)sent);
    return -1;
}

static ssize_t
send_pieces(Stream *stream, struct iovec *pieces, int count)
{
    const StreamOps *ops = stream_ops(stream);
    ssize_t sent =
        count == 1
            ? ops->send(stream->fd, pieces[0].iov_base, pieces[0].iov_len)
            : ops->send_pieces(stream->fd, pieces, count);

    return check_sent(stream, sent);
}

/* Send from the queue until the kernel takes no more: 0, or -1 as above. May
 * run Python code. */
static int
send_queue(Stream *stream)
{
    struct iovec pieces[MAX_PIECES];

    while (stream->queue.size > 0) {
        size_t size = 0;
        int count = gather(&stream->queue, pieces, SIZE_MAX, &size);
        ssize_t sent = send_pieces(stream, pieces, count);

        if (sent < 0) {
            return -1;
        }
        consume(&stream->queue, (size_t)sent);
        if ((size_t)sent < size) {
            break;
        }
    }
    return 0;
}

/* How much of the queue to give to libuv: it calls back when all of that is
 * sent, and that is when a protocol that is paused, or is going to be in a
 * moment, must hear of it. */
static size_t
flight_limit(const Stream *stream)
{
    const Transport *transport = &stream->transport;
    size_t size = stream->queue.size;

    bool pauses = transport->write_paused || size > transport->high;

    return pauses && size > transport->low ? size - transport->low : size;
}

static void on_written(uv_write_t *request, int status);

/* Have what is queued sent, once the kernel takes more, by ourselves. */
static void
await_room(Stream *stream)
{
    if (stream_ops(stream)->await_room(stream) < 0) {
        transport_fatal_pending(&stream->transport,
                                stream_ops(stream)->write_error);
    }
}

/* The same by libuv, and the head of the queue only. */
static void
submit(Stream *stream)
{
    struct iovec pieces[MAX_PIECES];
    uv_buf_t bufs[MAX_PIECES];
    size_t size = 0;
    int count = gather(&stream->queue, pieces, flight_limit(stream), &size);
    int err = 0;

    for (int i = 0; i < count; i++) {
        bufs[i].base = pieces[i].iov_base;
        bufs[i].len = pieces[i].iov_len;
    }
    /* uv_write sends at once if it thinks that nothing is queued, and we have
     * just seen that the socket takes nothing: save the system call. */
    stream->uv.stream.write_queue_size++;
    err = uv_write(&stream->request,
                   &stream->uv.stream,
                   bufs,
                   (unsigned)count,
                   on_written);
    stream->uv.stream.write_queue_size--;
    if (err < 0) {
        fail(stream, err);
        return;
    }
    stream->queue.flight = size;
    stream->writing = true;
    req_begin(&stream->transport.handle);
}

/* After an attempt to send: what is left is for libuv to send, or nobody. */
static void
settle_queue(Stream *stream)
{
    Transport *transport = &stream->transport;

    if (transport->lost == 0 && stream->queue.size > 0 && !stream->writing) {
        if (stream_ops(stream)->await_room != NULL) {
            await_room(stream);
        }
        else {
            submit(stream);
        }
    }
    if (transport->lost > 0 && !stream->writing) {
        truncate_queue(&stream->queue, 0);
    }
}

static void
shut_write(Stream *stream)
{
    int err = stream_ops(stream)->shut_write(stream->fd);

    if (err < 0) {
        fail(stream, err);
    }
}

/* The queue is empty: what waited for that. */
static void
finish(Stream *stream)
{
    Transport *transport = &stream->transport;

    if (stream->holder != NULL) {
        transport_settle(transport, stream->holder, NULL);
    }
    if (transport->closing) {
        transport_drained(transport);
    }
    else if (stream->eof_written) {
        shut_write(stream);
    }
}

static void
handle_written(Stream *stream, int status)
{
    Transport *transport = &stream->transport;
    size_t flight = stream->queue.flight;

    stream->queue.flight = 0;
    stream->writing = false;
    if (transport->lost > 0) {
        truncate_queue(&stream->queue, 0);
        return;
    }
    if (status < 0) {
        fail(stream, status);
        truncate_queue(&stream->queue, 0);
        return;
    }
    stream->sending = true;
    consume(&stream->queue, flight);
    (void)send_queue(stream); /* settle_queue sees that it failed */
    stream->sending = false;
    settle_queue(stream);
    transport_maybe_resume(transport);
    if (stream->queue.size == 0 && transport->lost == 0) {
        finish(stream);
    }
}

static void
on_written(uv_write_t *request, int status)
{
    Stream *stream = request->handle->data;

    assert_attached();
    handle_written(stream, status);
    req_end(&stream->transport.handle);
}

void
stream_writable(Stream *stream)
{
    Py_INCREF(stream);
    handle_written(stream, 0);
    Py_DECREF(stream);
}

void
stream_discard(Stream *stream)
{
    assert(!stream->writing && stream->transport.lost > 0);
    truncate_queue(&stream->queue, 0);
}

size_t
stream_buffered(const Transport *transport)
{
    const Stream *stream = (const Stream *)transport;
    size_t flight = stream->queue.flight;

    if (transport->lost > 0) {
        return 0; /* it will not be sent */
    }
    /* Of what is in flight libuv knows how much is left. */
    return stream->queue.size - flight +
           (flight > 0 ? uv_stream_get_write_queue_size(&stream->uv.stream)
                       : 0);
}

/* ---- write coalescing ---- */

static Cork *
cork_of(const Stream *stream)
{
    return &transport_loop(&stream->transport)->border.cork;
}

static void
send_corked(CorkItem *item)
{
    Stream *stream = (Stream *)((char *)item - offsetof(Stream, cork));
    Transport *transport = &stream->transport;

    Py_INCREF(stream);
    stream->corked = false;
    if (stream->corked_forks != forks_count()) {
        truncate_queue(&stream->queue, 0); /* the parent sends it */
    }
    else {
        stream->sending = true;
        (void)send_queue(stream); /* settle_queue sees that it failed */
        stream->sending = false;
    }
    settle_queue(stream);
    if (stream->queue.size == 0 && transport->lost == 0) {
        finish(stream); /* the transport may have closed meanwhile */
    }
    Py_DECREF(stream);
}

/* What is queued waits for the end of the callback. */
static void
cork(Stream *stream)
{
    if (!stream->corked) {
        stream->corked = true;
        stream->corked_at = uv_hrtime();
        stream->corked_forks = forks_count();
        stream->cork.send = send_corked;
        cork_add(cork_of(stream), &stream->cork);
    }
}

/* Whether a write of so many bytes may wait. */
static bool
may_wait(const Stream *stream, size_t size)
{
    const Transport *transport = &stream->transport;
    size_t limit = transport->high < CORK_MAX ? transport->high : CORK_MAX;

    if (!cork_of(stream)->enabled || transport->closing ||
        transport_loop(transport)->closed || stream->sending ||
        stream->queue.size + size > limit) {
        return false;
    }
    return stream->corked ? uv_hrtime() - stream->corked_at <= CORK_MAX_NS
                          : stream->queue.size == 0;
}

/* Before a write inside a callback: true if it may wait. If not, what has
 * waited before it is sent, or is in the stream's queue and goes with it. May
 * run Python code. */
static bool
prepare_cork(Stream *stream, size_t size)
{
    if (stream->corked && stream->corked_forks != forks_count()) {
        cork_flush(cork_of(stream)); /* in a child: begin anew */
    }
    if (may_wait(stream, size)) {
        return true;
    }
    if (!stream->corked) {
        cork_flush(cork_of(stream));
    }
    return false;
}

/* ---- write ---- */

/* True if what is written now is to be dropped: never before it closes. */
static bool
drops_write(Stream *stream)
{
    Transport *transport = &stream->transport;

    if (!transport->closing) {
        return false;
    }
    if (transport->lost > 0) {
        return transport_drops_write(transport);
    }
    return stream_ops(stream)->one_way; /* as asyncio's pipes */
}

/* Queue what send left of an object; 0, or -1 with MemoryError. */
static int
queue_rest(Stream *stream, PyObject *object, const char *data, size_t size)
{
    PyObject *owner = make_owner(object, &data, size);

    if (owner == NULL) {
        return -1;
    }
    if (push(&stream->queue, owner, data, size) < 0) {
        Py_DECREF(owner);
        return -1;
    }
    return 0;
}

/* Some of it will never be sent: with the pending exception. */
static void
fail_pending(Stream *stream)
{
    transport_fatal_pending(&stream->transport,
                            stream_ops(stream)->write_error);
}

/* Queue it for the end of the callback. */
static void
write_later(Stream *stream, PyObject *object, const char *data, size_t size)
{
    WriteQueue *queue = &stream->queue;
    PyObject *owner = PyBytes_CheckExact(object)
                          ? Py_NewRef(object)
                          : PyBytes_FromStringAndSize(data, (Py_ssize_t)size);

    if (owner == NULL ||
        push(queue, owner, PyBytes_AS_STRING(owner), size) < 0) {
        Py_XDECREF(owner);
        fail_pending(stream);
        return;
    }
    cork(stream);
}

/* What could not be sent at once: queue it; 0, or -1 with an exception. */
static Py_NO_INLINE int
keep_memory(Stream *stream, PyObject *object, const char *data, size_t size)
{
    if (queue_rest(stream, object, data, size) < 0) {
        fail_pending(stream); /* a part may have gone */
        return 0;
    }
    if (stream->corked) {
        cork_flush(cork_of(stream));
    }
    else if (!stream->sending) {
        settle_queue(stream);
    }
    return transport_maybe_pause(&stream->transport);
}

/* Send, queue the rest; 0, or -1 with an exception. */
static inline int
send_memory(Stream *stream, PyObject *object, const char *data, size_t size)
{
    ssize_t sent = 0;

    if (stream->queue.size == 0) {
        sent = stream_ops(stream)->send(stream->fd, data, size);
        if (sent == (ssize_t)size) {
            return 0;
        }
        sent = check_sent(stream, sent);
        if (sent < 0) {
            return 0;
        }
    }
    return keep_memory(stream, object, data + sent, size - (size_t)sent);
}

/* The same inside a callback of a loop that coalesces. */
static Py_NO_INLINE int
cork_memory(Stream *stream, PyObject *object, const char *data, size_t size)
{
    if (prepare_cork(stream, size)) {
        write_later(stream, object, data, size);
        return 0;
    }
    if (stream->transport.lost > 0) {
        return 0; /* by what was sent just now */
    }
    return send_memory(stream, object, data, size);
}

static inline int
write_memory(Stream *stream, PyObject *object, const char *data, size_t size)
{
    return cork_of(stream)->depth > 0
               ? cork_memory(stream, object, data, size)
               : send_memory(stream, object, data, size);
}

/* Whether write() may be called at all: 0, or -1 with RuntimeError. */
static int
check_write(const Stream *stream)
{
    if (stream->eof_written) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Cannot call write() after write_eof()");
        return -1;
    }
    if (stream->holder != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "unable to write; sendfile is in progress");
        return -1;
    }
    return 0;
}

/* write() of anything but a bytes object. */
static int
write_buffer(Stream *stream, PyObject *data)
{
    Py_buffer view = {0};
    int err = 0;

    if (!PyObject_CheckBuffer(data)) {
        PyObject *name = PyType_GetName(Py_TYPE(data));

        if (name != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "data argument must be a bytes-like object, not %R",
                         name);
            Py_DECREF(name);
        }
        return -1;
    }
    if (check_write(stream) < 0 ||
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    if (view.len > 0 && !drops_write(stream)) {
        err = write_memory(stream, data, view.buf, (size_t)view.len);
    }
    PyBuffer_Release(&view);
    return err;
}

int
stream_write(Stream *stream, PyObject *data)
{
    if (!PyBytes_CheckExact(data)) {
        return write_buffer(stream, data);
    }
    if (check_write(stream) < 0) {
        return -1;
    }
    if (PyBytes_GET_SIZE(data) == 0 || drops_write(stream)) {
        return 0;
    }
    return write_memory(
        stream, data, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data));
}

/* A list of bytes objects and memoryviews made of the lines; the sequence
 * itself if it is nothing else. New reference, or NULL. May run Python code,
 * hence before the queue is touched. */
static PyObject *
export_lines(PyObject *sequence)
{
    Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence);
    PyObject *list = NULL;
    Py_ssize_t i = 0;

    while (i < count &&
           PyBytes_CheckExact(PySequence_Fast_GET_ITEM(sequence, i))) {
        i++;
    }
    if (i == count) {
        return Py_NewRef(sequence);
    }
    list = PySequence_List(sequence);
    for (i = 0; list != NULL && i < PyList_GET_SIZE(list); i++) {
        PyObject *line = PyList_GET_ITEM(list, i);
        PyObject *view = NULL;

        if (PyBytes_CheckExact(line)) {
            continue;
        }
        view = PyMemoryView_GetContiguous(line, PyBUF_READ, 'C');
        if (view == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, i, view);
        Py_DECREF(line);
    }
    return list;
}

/* The bytes of what export_lines made. */
static size_t
lines_size(PyObject *lines)
{
    size_t size = 0;

    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(lines); i++) {
        PyObject *line = PySequence_Fast_GET_ITEM(lines, i);

        size += (size_t)(PyBytes_CheckExact(line)
                             ? PyBytes_GET_SIZE(line)
                             : PyMemoryView_GET_BUFFER(line)->len);
    }
    return size;
}

/* What export_lines made as exact bytes objects, which nobody can change. New
 * reference, or NULL with MemoryError. May run Python code. */
static PyObject *
copy_lines(PyObject *lines)
{
    PyObject *list = PySequence_List(lines);

    for (Py_ssize_t i = 0; list != NULL && i < PyList_GET_SIZE(list); i++) {
        PyObject *line = PyList_GET_ITEM(list, i);
        const Py_buffer *view = NULL;
        PyObject *copy = NULL;

        if (PyBytes_CheckExact(line)) {
            continue;
        }
        view = PyMemoryView_GET_BUFFER(line);
        copy = PyBytes_FromStringAndSize(view->buf, view->len);
        if (copy == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, i, copy);
        Py_DECREF(line);
    }
    return list;
}

/* Queue what export_lines made, all or none: 0, or -1 with MemoryError. */
static int
push_lines(WriteQueue *queue, PyObject *lines)
{
    size_t before = queue->end - queue->first;

    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(lines); i++) {
        PyObject *line = PySequence_Fast_GET_ITEM(lines, i);
        const char *data = NULL;
        Py_ssize_t size = 0;

        if (PyBytes_CheckExact(line)) {
            data = PyBytes_AS_STRING(line);
            size = PyBytes_GET_SIZE(line);
        }
        else {
            data = PyMemoryView_GET_BUFFER(line)->buf;
            size = PyMemoryView_GET_BUFFER(line)->len;
        }
        if (size == 0) {
            continue;
        }
        if (push(queue, Py_NewRef(line), data, (size_t)size) < 0) {
            Py_DECREF(line);
            truncate_queue(queue, before);
            return -1;
        }
    }
    return 0;
}

/* Send what export_lines made if nothing is queued, and keep the rest; 0, or
 * -1 with an exception. */
static int
send_lines(Stream *stream, PyObject *lines)
{
    Transport *transport = &stream->transport;
    WriteQueue *queue = &stream->queue;
    size_t before = queue->end - queue->first;
    bool nested = stream->sending; /* by what a sent object did as it went */
    int err = 0;

    if (push_lines(queue, lines) < 0) {
        return -1;
    }
    if (before > 0 || nested) {
        err = keep_items(queue, queue->first + before);
    }
    else {
        stream->sending = true;
        if (send_queue(stream) == 0) {
            err = keep_items(queue, queue->first);
        }
        stream->sending = false;
    }
    if (err < 0) {
        fail_pending(stream); /* a part may have gone */
    }
    if (nested) {
        return transport_maybe_pause(transport); /* the rest is its caller's */
    }
    if (stream->corked) {
        cork_flush(cork_of(stream));
    }
    settle_queue(stream);
    return transport_maybe_pause(transport);
}

/* The same inside a callback of a loop that coalesces. */
static int
cork_lines(Stream *stream, PyObject *lines)
{
    size_t size = lines_size(lines);
    PyObject *copies = NULL;
    int err = 0;

    if (size == 0) {
        return 0;
    }
    if (size <= CORK_MAX) {
        /* Whether they wait or not: to ask comes after running any code. */
        copies = copy_lines(lines);
        if (copies == NULL) {
            return -1;
        }
        lines = copies;
    }
    if (prepare_cork(stream, size)) {
        err = push_lines(&stream->queue, lines);
        if (err == 0) {
            cork(stream);
        }
    }
    else if (stream->transport.lost == 0) { /* by what was sent just now */
        err = send_lines(stream, lines);
    }
    Py_XDECREF(copies);
    return err;
}

/* One bytes object is what a response usually is: nothing to gather. */
static int
write_line(Stream *stream, PyObject *line)
{
    int err = 0;

    Py_INCREF(line);
    err = write_memory(
        stream, line, PyBytes_AS_STRING(line), (size_t)PyBytes_GET_SIZE(line));
    Py_DECREF(line);
    return err;
}

static int
write_lines(Stream *stream, PyObject *lines)
{
    PyObject *first = PySequence_Fast_GET_ITEM(lines, 0);

    if (PySequence_Fast_GET_SIZE(lines) == 1 && PyBytes_CheckExact(first) &&
        PyBytes_GET_SIZE(first) > 0) {
        return write_line(stream, first);
    }
    return cork_of(stream)->depth > 0 ? cork_lines(stream, lines)
                                      : send_lines(stream, lines);
}

int
stream_write_lines(Stream *stream, PyObject *lines)
{
    PyObject *sequence = NULL;
    PyObject *exported = NULL;
    int err = 0;

    if (stream->eof_written) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Cannot call writelines() after write_eof()");
        return -1;
    }
    if (stream->holder != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "unable to writelines; sendfile is in progress");
        return -1;
    }
    sequence =
        PySequence_Fast(lines, "writelines() argument must be an iterable");
    if (sequence == NULL) {
        return -1;
    }
    exported = export_lines(sequence);
    Py_DECREF(sequence);
    if (exported == NULL) {
        return -1;
    }
    if (PySequence_Fast_GET_SIZE(exported) > 0 && !drops_write(stream)) {
        err = write_lines(stream, exported);
    }
    Py_DECREF(exported);
    return err;
}

void
stream_write_eof(Stream *stream)
{
    transport_flush(&stream->transport);
    if (stream_ops(stream)->one_way) {
        transport_close(&stream->transport);
    }
    else if (!stream->transport.closing && !stream->eof_written) {
        stream->eof_written = true;
        if (stream->queue.size == 0) {
            shut_write(stream);
        }
    }
}

/* ---- sendfile ---- */

int
stream_hold(Stream *stream, PyObject *before, PyObject *holder)
{
    Transport *transport = &stream->transport;
    PyObject *previous = NULL;
    int err = 0;

    transport_flush(transport);
    previous = stream->holder;
    if (previous != before) {
        PyErr_SetString(PyExc_RuntimeError, "sendfile is in progress");
        return -1;
    }
    if (before == NULL && holder != NULL && transport->started &&
        !transport->released) {
        transport_ops(transport)->stop_reading(transport);
    }
    stream->holder = Py_XNewRef(holder);
    Py_XDECREF(previous);
    if (holder == NULL && transport_is_reading(transport)) {
        err = transport_ops(transport)->start_reading(transport);
    }
    if (err < 0) {
        transport_fatal_uv(transport, err, "Fatal error on transport");
    }
    return 0;
}

void
stream_lost(Stream *stream)
{
    Transport *transport = &stream->transport;
    PyObject *pending = NULL;
    PyObject *exc = NULL;

    if (stream->holder == NULL || transport_loop(transport)->closed) {
        return; /* a closed loop runs nobody who could be told */
    }
    pending = PyErr_GetRaisedException();
    exc = PyObject_CallFunction(
        PyExc_ConnectionError, "s", "Connection is closed by peer");
    if (exc == NULL) {
        PyErr_WriteUnraisable((PyObject *)stream); /* no memory */
    }
    else {
        transport_settle(transport, stream->holder, exc);
        Py_DECREF(exc);
    }
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

/* ---- Python's side ---- */

int
stream_traverse(Stream *stream, visitproc visit, void *arg)
{
    const WriteQueue *queue = &stream->queue;

    for (size_t i = queue->first; i < queue->end; i++) {
        Py_VISIT(queue->items[i].owner);
    }
    Py_VISIT(stream->holder);
    return transport_traverse(&stream->transport, visit, arg);
}

void
stream_clear(Stream *stream)
{
    assert(!stream->corked); /* it is open then, and so reachable */
    if (!stream->writing) {  /* else libuv reads from them */
        truncate_queue(&stream->queue, 0);
        PyMem_Free(stream->queue.items);
        memset(&stream->queue, 0, sizeof(stream->queue));
    }
    Py_CLEAR(stream->holder);
    transport_clear(&stream->transport);
}

static PyObject *
write_meth(PyObject *self, PyObject *data)
{
    Stream *stream = CAST(Stream, self);
    int entered = transport_enter(&stream->transport);
    int err = 0;

    if (entered < 0) {
        return NULL;
    }
    err = stream_write(stream, data);
    transport_leave(&stream->transport, entered);
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
writelines_meth(PyObject *self, PyObject *lines)
{
    Stream *stream = CAST(Stream, self);
    int entered = transport_enter(&stream->transport);
    int err = 0;

    if (entered < 0) {
        return NULL;
    }
    err = stream_write_lines(stream, lines);
    transport_leave(&stream->transport, entered);
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
write_eof_meth(PyObject *self, PyObject *unused)
{
    Stream *stream = CAST(Stream, self);
    int entered = transport_enter(&stream->transport);

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    stream_write_eof(stream);
    transport_leave(&stream->transport, entered);
    Py_RETURN_NONE;
}

static PyObject *
can_write_eof_meth(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_TRUE;
}

static PyObject *
hold_meth(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Stream *stream = CAST(Stream, self);

    if (loop_check_thread(transport_loop(&stream->transport)) < 0) {
        return NULL;
    }
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "_hold() takes 2 arguments");
        return NULL;
    }
    if (stream_hold(stream,
                    args[0] == Py_None ? NULL : args[0],
                    args[1] == Py_None ? NULL : args[1]) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(write_doc,
             "write($self, data, /)\n--\n\n"
             "Send data; what the kernel does not take now is sent later.");
PyDoc_STRVAR(writelines_doc,
             "writelines($self, list_of_data, /)\n--\n\n"
             "Send all of them, in one system call if possible.");
PyDoc_STRVAR(write_eof_doc,
             "write_eof($self, /)\n--\n\n"
             "End the sending side once what was written has been sent.");
PyDoc_STRVAR(can_write_eof_doc,
             "can_write_eof($self, /)\n--\n\n"
             "True.");

PyDoc_STRVAR(hold_doc,
             "_hold($self, before, holder, /)\n--\n\n"
             "For sendfile: put a future in the place of the one before; None "
             "is no one.\nWhile there is one nothing is read, write() raises, "
             "and it gets None once\nnothing is queued any more, or a "
             "ConnectionError once the connection is lost.\nRaises "
             "RuntimeError if somebody else has the transport.");

static PyMethodDef methods[] = {
    {"_hold", METHOD(hold_meth), METH_FASTCALL, hold_doc},
    {"write", write_meth, METH_O, write_doc},
    {"writelines", writelines_meth, METH_O, writelines_doc},
    {"write_eof", write_eof_meth, METH_NOARGS, write_eof_doc},
    {"can_write_eof", can_write_eof_meth, METH_NOARGS, can_write_eof_doc},
    {NULL, NULL, 0, NULL},
};

int
stream_add_writing(PyTypeObject *type)
{
    if (transport_add_writing(type) < 0) {
        return -1;
    }
    return transport_add_table(type, methods);
}
