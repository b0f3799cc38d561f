/* datagrams.h - many datagrams by one system call: a batch that is received,
 * a queue that is sent. Knows no transport.
 */
#ifndef UVLOOP_CORE_DATAGRAMS_H
#define UVLOOP_CORE_DATAGRAMS_H

#include "addr.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* At most so many datagrams are received at once: others want to be served
 * too. */
#define BATCH_MAX 20

/* The room that they are received into. An internet datagram is less than 64
 * KiB; a UNIX one may be bigger, and gets what asyncio gives it. */
#define BATCH_ROOM ((size_t)BATCH_MAX * 64 * 1024)

#if defined(__linux__) && !defined(PORTABLE)
#define DATAGRAMS_HAVE_MMSG 1
typedef struct mmsghdr Message;
#else
#define DATAGRAMS_HAVE_MMSG 0
typedef struct {
    struct msghdr msg_hdr;
    unsigned msg_len;
} Message;
#endif

/* One a loop; its memory is touched as far as datagrams fill it. */
typedef struct {
    size_t slot; /* room for one: what the pieces are made for; 0: nothing */
    Message messages[BATCH_MAX];
    struct iovec pieces[BATCH_MAX];
    Addr names[BATCH_MAX]; /* whence each came */
    char room[BATCH_ROOM];
} Batch;

/* How many a socket is asked for. For one it is the plain call; for more, the
 * kernel looks for one more than there are, and that costs. One a socket,
 * which begins with {1, 0, 0}. */
typedef struct {
    unsigned next;
    unsigned alone; /* how many came one at a time, in a row */
    unsigned vain;  /* how often two were asked for and one came, in a row */
} Forecast;

/* What the kernel has not taken yet. */
typedef struct {
    PyObject *bytes; /* owned */
    Addr addr;       /* size 0: the socket is connected */
} Datagram;

/* Items first..end-1 are queued. */
typedef struct {
    Datagram *items; /* owned */
    size_t first;
    size_t end;
    size_t allocated;
    size_t size; /* as asyncio counts it */
} DatagramQueue;

/* The batch at *memory, made if that is NULL (free it by PyMem_RawFree);
 * borrowed, or NULL with MemoryError. */
Batch *batch_get(void **memory);

/* Receive into it from a socket of a family: how many came, or a negative
 * errno. What is left makes the socket ready again. */
int batch_receive(Batch *batch, int fd, int family, Forecast *forecast);

/* Datagram i of the batch as bytes: new reference, or NULL. */
PyObject *batch_bytes(const Batch *batch, int i);

static inline bool
datagrams_is_empty(const DatagramQueue *queue)
{
    return queue->first == queue->end;
}

/* Send one now; addr NULL: to the peer of a connected socket. 0, or a negative
 * errno. */
int datagrams_send(int fd, const void *data, size_t size, const Addr *addr);

/* Append one, a copy of the data: 0, or -1 with MemoryError. */
int datagrams_push(DatagramQueue *queue,
                   const void *data,
                   size_t size,
                   const Addr *addr);

/* Drop the first ones. */
void datagrams_pop(DatagramQueue *queue, size_t count);

/* Send the first ones of a queue that is not empty: how many went, or the
 * negative errno of the first. */
int datagrams_flush(DatagramQueue *queue, int fd);

/* Drop all and the queue's memory. */
void datagrams_clear(DatagramQueue *queue);

#endif
