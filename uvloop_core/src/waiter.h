/* waiter.h - what a sock_* call awaits: a system call that is made again each
 * time its fd is ready, until it does not block.
 *
 * To a task it is a future. It gives its fd up at once when it is settled or
 * cancelled, not a turn later: by then the fd may be somebody else's. Until
 * then it holds the socket, as a file made of it does: close() of the socket
 * is put off so long.
 */
#ifndef UVLOOP_CORE_WAITER_H
#define UVLOOP_CORE_WAITER_H

#include "endpoint.h"
#include "loop.h"

typedef struct Waiter Waiter;

/* 1 with *result new, 0 if it would block, or -1 with an exception. */
typedef int (*WaiterCall)(Waiter *waiter, PyObject **result);

typedef enum {
    WAITER_PENDING,
    WAITER_DONE, /* `result` or `error` */
    WAITER_CANCELLED,
} WaiterState;

struct Waiter {
    PyObject_HEAD
    Loop *loop; /* owned */
    WaiterCall call;
    int fd; /* -1 until it is started */
    WatchKind kind;
    WaiterState state;
    bool
        blocking; /* asyncio's protocol: awaited, its task does not know yet */
    bool holds;   /* counted in sock._io_refs */
    Callback *watcher;  /* owned: NULL once it is given up */
    PyObject *sock;     /* owned */
    PyObject *arg;      /* owned: for `call`, as the next two; or NULL */
    Py_buffer data;     /* owned: data.obj is NULL if there is none */
    Py_ssize_t sent;    /* bytes of it */
    PyObject *result;   /* owned: until it is taken */
    PyObject *error;    /* owned: until it is raised */
    PyObject *message;  /* owned: what cancel() was given, or NULL */
    PyObject *callback; /* owned: the task's, to be told; or NULL */
    PyObject *context;  /* owned: what to call it in */
    Waiter *next;       /* borrowed: the loop's list of those that pend */
    Waiter *previous;
};

/* New, of a call that blocks now; it is not waited for yet. */
Waiter *
waiter_new(Loop *loop, PyObject *sock, WatchKind kind, WaiterCall call);

/* Begin to wait for the socket's fd: 0, or -1 with OSError. */
int waiter_start(Waiter *waiter, int fd);

/* The loop is closed: no call goes on, and their sockets may be closed. */
void waiter_abandon_all(Loop *loop);

int waiter_register(PyObject *module, State *st);

#endif
