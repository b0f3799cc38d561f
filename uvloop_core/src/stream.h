/* stream.h - bytes in and out: what TCP, UNIX sockets and pipes share.
 * stream_read.c is the way in, stream_write.c the way out.
 */
#ifndef UVLOOP_CORE_STREAM_H
#define UVLOOP_CORE_STREAM_H

#include <sys/uio.h>

#include "transport.h"

typedef struct Stream Stream;

/* What differs from kind to kind: a const table, set from above. */
typedef struct {
    TransportOps transport; /* first: transport.h sees only it */
    /* Send one piece, or several: the bytes that went, or a negative errno. */
    ssize_t (*send)(int fd, const void *data, size_t size);
    ssize_t (*send_pieces)(int fd, struct iovec *pieces, int count);
    /* Send no more: 0, or a negative errno. */
    int (*shut_write)(int fd);
    /* Have stream_writable called when the kernel takes more, again and again
     * until the queue is empty: 0, or -1 with an exception. NULL: libuv sends
     * what is queued. */
    int (*await_room)(Stream *stream);
    bool one_way;           /* a pipe: its end is the transport's end */
    const char *read_error; /* messages */
    const char *write_error;
} StreamOps;

/* What write() took and the kernel has not. */
typedef struct {
    PyObject *owner;  /* owned: a bytes object, or a memoryview */
    const char *data; /* raw: into the owner's memory */
    size_t size;
} WriteItem;

/* Items first..end-1 are queued. While it is not empty, libuv holds a request
 * for the first `flight` bytes of it. */
typedef struct {
    WriteItem *items; /* owned */
    size_t first;
    size_t end;
    size_t allocated;
    size_t size; /* bytes of all items */
    size_t flight;
} WriteQueue;

/* Into what a stream reads, see stream_read.c. */
typedef struct {
    size_t size;     /* predicted size of the next read */
    bool recycles;   /* predicted: the protocol does not keep what it gets */
    bool feeds;      /* predicted: a StreamReader gets half of that at least */
    bool full;       /* the last read has filled its room */
    uint8_t left;    /* full reads in a row before others have their turn */
    uint8_t dropped; /* messages in a row that the protocol did not keep */
    uint8_t misses;  /* how often that prediction was wrong */
} ReadState;

struct Stream {
    Transport transport;
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    uv_write_t request; /* the one in flight, if `writing` */
    WriteQueue queue;
    ReadState read;
    PyObject *holder;   /* owned: sendfile's future while the fd is its, which
                           is told what happens; or NULL */
    CorkItem cork;      /* on the loop's list, if `corked` */
    uint64_t corked_at; /* nanoseconds: when its first write was put off */
    uint64_t
        corked_forks; /* forks_count() then: a child sends nothing of it */
    int fd;           /* raw; -1 once released */
    bool corked;      /* what is queued waits for the end of the callback */
    bool writing;     /* libuv holds the request */
    bool sending;     /* items are being sent: others' writes only queue */
    bool eof_read;    /* the peer has ended its side */
    bool eof_written; /* write_eof() */
};

static inline const StreamOps *
stream_ops(const Stream *stream)
{
    return (const StreamOps *)stream->transport.handle.ops;
}

/* Before handle_open, with the fd that uv will have. */
void stream_init(Stream *stream, int fd);

/* TransportOps of every stream, and the HandleOps of one that reads so. */
int stream_start_reading(Transport *transport);
void stream_stop_reading(Transport *transport);
void stream_readable(Handle *handle);
size_t stream_buffered(const Transport *transport);

/* write(), writelines() and write_eof(): 0, or -1 with an exception (a wrong
 * argument, a write after the end). What the network does is not one, it ends
 * in connection_lost. May run Python code. */
int stream_write(Stream *stream, PyObject *data);
int stream_write_lines(Stream *stream, PyObject *lines);
void stream_write_eof(Stream *stream);

/* sendfile: `holder` in the place of `before`, of which either may be NULL (no
 * one). While there is one nothing is read, write() raises, and the holder is
 * told once nothing is queued or the connection is lost. 0, or -1 with
 * RuntimeError if `before` is not the holder. May run Python code. */
int stream_hold(Stream *stream, PyObject *before, PyObject *holder);

/* For TransportOps.release: tell the holder that the connection is lost. */
void stream_lost(Stream *stream);
/* The kernel takes more: what StreamOps.await_room has asked for. Called by
 * the loop, not from inside Python code. */
void stream_writable(Stream *stream);

/* Drop what is queued, of a stream whose connection is lost and of which
 * libuv holds no request. May run Python code. */
void stream_discard(Stream *stream);

int stream_traverse(Stream *stream, visitproc visit, void *arg);
void stream_clear(Stream *stream);

/* Give a type write() and the like, on top of transport_add_writing's; 0 or
 * -1. */
int stream_add_writing(PyTypeObject *type);

#endif
