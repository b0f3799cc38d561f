/* transport.h - what all transports share: the protocol and its context, the
 * order of a connection's life, flow control, and get_extra_info.
 *
 *   transport_schedule_start .. transport_start: connection_made, then
 *   reading, then the waiter -> close / abort / an error -> connection_lost
 *   by the ready ring -> release (the socket goes) -> handle_close.
 */
#ifndef UVLOOP_CORE_TRANSPORT_H
#define UVLOOP_CORE_TRANSPORT_H

#include "loop.h"
#include "server.h"

typedef struct Transport Transport;

/* What differs from kind to kind: a const table, set from above. */
typedef struct {
    HandleOps handle; /* first: handle.h sees only it */
    /* Begin or end reading. 0, or a negative libuv code; no Python code. */
    int (*start_reading)(Transport *transport);
    void (*stop_reading)(Transport *transport);
    /* Bytes that write() took and the kernel has not. */
    size_t (*buffered)(const Transport *transport);
    /* connection_lost was called: let the socket go, end in handle_close.
     * May run Python code. */
    void (*release)(Transport *transport);
    /* get_extra_info: 1 and a new reference, 0 for a name it does not have,
     * -1 with an exception. */
    int (*extra)(Transport *transport, PyObject *name, PyObject **value);
    /* The log's warning about writes after the end; NULL: a socket's. */
    const char *lost_warning;
} TransportOps;

struct Transport {
    Handle handle;
    PyObject *protocol; /* owned; NULL once connection_lost was called */
    PyObject *context;  /* owned: where the protocol is called */
    PyObject *waiter;   /* owned: a future, or NULL */
    PyObject *weakrefs;
    ServerLink link;
    size_t high; /* write buffer limits */
    size_t low;
    int lost;          /* connection_lost is due or done; then counts writes */
    bool started;      /* connection_made was called: reading may be on */
    bool closing;      /* close(), abort() or an error */
    bool paused;       /* pause_reading() */
    bool released;     /* the socket is gone */
    bool write_paused; /* pause_writing() was called */
    bool fills_buffers; /* the protocol is a BufferedProtocol */
};

static inline Loop *
transport_loop(const Transport *transport)
{
    return (Loop *)transport->handle.loop;
}

/* loop_enter(), loop_enter_unchecked() and loop_leave() with its loop. */
static inline int
transport_enter(const Transport *transport)
{
    return loop_enter(transport_loop(transport));
}

static inline int
transport_enter_unchecked(const Transport *transport)
{
    return loop_enter_unchecked(transport_loop(transport));
}

static inline void
transport_leave(const Transport *transport, int entered)
{
    loop_leave(transport_loop(transport), entered);
}

static inline const TransportOps *
transport_ops(const Transport *transport)
{
    return (const TransportOps *)transport->handle.ops;
}

static inline bool
transport_is_reading(const Transport *transport)
{
    return transport->started && !transport->closing && !transport->paused;
}

/* Fill in a fresh (zeroed) object, before handle_open: 0 or -1. `waiter` may
 * be NULL. Runs Python code (isinstance). Once it is open, the caller puts
 * it on its server's list (server_attach). */
int transport_init(Transport *transport,
                   State *st,
                   PyObject *protocol,
                   PyObject *context,
                   PyObject *waiter);

/* connection_made, reading, the waiter. Called by the loop, not from inside
 * Python code. Reports what goes wrong. */
void transport_start(Transport *transport);

/* Have that called in a later turn; 0 or -1. */
int transport_schedule_start(Transport *transport);

/* Before anything that could tell whether a write was sent: send what write
 * coalescing has put off, of all of the loop's transports. Keeps a pending
 * exception. May run Python code. */
void transport_flush(Transport *transport);

/* close(): stops reading, and connection_lost(None) once nothing is buffered.
 * Runs no Python code. */
void transport_close(Transport *transport);

/* abort(), or the end by an error: what is buffered is lost. `exc` is for
 * connection_lost, borrowed, or None. Runs no Python code. */
void transport_force_close(Transport *transport, PyObject *exc);

/* Something failed: an OSError is the network's business and only goes to the
 * debug log, everything else to the exception handler; then it closes by
 * force. KeyboardInterrupt and SystemExit end the run instead. `exc` is
 * borrowed. Runs Python code. */
void transport_fatal(Transport *transport, PyObject *exc, const char *message);

/* The same with the pending exception, which it consumes. */
void transport_fatal_pending(Transport *transport, const char *message);

/* The same with the OSError of a negative libuv code. */
void transport_fatal_uv(Transport *transport, int err, const char *message);

/* The buffer has grown, inside a call from Python: pause_writing() if it is
 * over the limit. 0; or -1 with KeyboardInterrupt or SystemExit. */
int transport_maybe_pause(Transport *transport);

/* The buffer has shrunk: resume_writing() if it is under the limit. Called by
 * the loop, not from inside Python code. */
void transport_maybe_resume(Transport *transport);

/* Give a future the result None, or the exception `exc` if that is not NULL;
 * unless it has either already. Borrows both, reports what goes wrong. */
void transport_settle(Transport *transport, PyObject *future, PyObject *exc);

/* Nothing is buffered any more: a closing transport ends now. */
void transport_drained(Transport *transport);

/* For write(): true if the connection is lost and the data is to be dropped
 * (in silence at first, then with asyncio's warning). */
bool transport_drops_write(Transport *transport);

/* asyncio's debug log, in debug mode: "%r <text>" of the transport. Keeps a
 * pending exception. */
void transport_debug(Transport *transport, const char *text);

/* asyncio's logger.debug or logger.warning, with the object for a format that
 * begins with "%r"; what it raises is not worth losing a connection for.
 * `exc`, of which the log shows the traceback, may be NULL. Keeps a pending
 * exception. */
void transport_log(State *st,
                   NameIndex level,
                   const char *format,
                   PyObject *object,
                   PyObject *exc);

/* 1 if protocol wants get_buffer: asyncio's rule, and uvloop's for classes
 * that derive from neither; 0; or -1. */
int transport_fills_buffers(State *st, PyObject *protocol);

/* What its get_buffer() gave, to be filled: 0; or -1 with an exception, also
 * if it is empty. */
int transport_export_buffer(PyObject *buffer /* steals */, Py_buffer *view);

/* The sizes at which somebody is told to pause and to resume. */
typedef struct {
    size_t high;
    size_t low;
} Limits;

/* What a set_*_buffer_limits is called, and its high water if none is given.
 */
typedef struct {
    const char *function;
    size_t high;
} LimitArgs;

/* The arguments of such a method: 0, or -1 with an exception. */
int transport_parse_limits(State *st,
                           const LimitArgs *given,
                           PyObject *const *args,
                           Py_ssize_t nargs,
                           PyObject *kwnames,
                           Limits *limits);

/* What the module's open_* functions are given, besides what they open. */
typedef struct {
    Loop *loop;        /* borrowed */
    PyObject *waiter;  /* borrowed, or NULL */
    PyObject *context; /* owned */
    int entered;       /* of loop_enter() */
} OpenArgs;

/* Check them, and enter the loop: 0, or -1 with an exception (a wrong type, a
 * closed loop, another thread). `waiter` and `context` may be NULL or None,
 * which for the context is a copy of the current one. */
int transport_open_args(State *st,
                        PyObject *loop,
                        PyObject *waiter,
                        PyObject *context,
                        OpenArgs *open);

/* Leave the loop, give up what is owned. May run Python code. */
void transport_open_done(OpenArgs *open);

/* 0; or -1 with RuntimeError: another transport has the fd. */
int transport_check_fd(Loop *loop, int fd);

/* HandleOps.shut and .failed of every transport. */
void transport_shut(Handle *handle);
void transport_failed(Handle *handle, int err);

int transport_traverse(Transport *transport, visitproc visit, void *arg);
void transport_clear(Transport *transport);

/* The end of tp_dealloc, after the kind's own clear: of an object that is
 * NEW or CLOSED. */
void transport_dealloc(Transport *transport);

/* Give a type the methods and attributes that all transports have, and those
 * of a way in or of a way out; 0 or -1. */
int transport_add_methods(PyTypeObject *type);
int transport_add_reading(PyTypeObject *type);
int transport_add_writing(PyTypeObject *type);

/* Give it a static table of methods, which ends with a NULL name; 0 or -1. */
int transport_add_table(PyTypeObject *type, PyMethodDef *table);

/* The State of a transport; borrowed. */
static inline State *
transport_state(const Transport *transport)
{
    return transport_loop(transport)->st;
}

#endif
