/* handle.h - the lifetime of every libuv handle: one pattern.
 *
 *   NEW --handle_open()--> OPEN --handle_close()--> CLOSING
 *       --on_closed()--> CLOSED --tp_dealloc
 *
 * The uv struct is embedded in the Python object. The registry's list owns
 * exactly one reference to each handle from handle_open to on_closed, so an
 * open handle cannot be deallocated; nothing else plays with references.
 */
#ifndef UVLOOP_CORE_HANDLE_H
#define UVLOOP_CORE_HANDLE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "state.h"

typedef enum {
    HANDLE_NEW,
    HANDLE_OPEN,
    HANDLE_CLOSING,
    HANDLE_CLOSED,
} HandleState;

typedef struct Handle Handle;

/* What a kind of handle gives the lifetime: a const table, set from above. */
typedef struct {
    /* Close without calling user code: the loop is being closed or has been
     * dropped. Ends in handle_close. May warn (ResourceWarning). */
    void (*shut)(Handle *handle);
    /* libuv has let go of the uv struct: drop what is left. May run Python
     * code by dropping references. May be NULL. */
    void (*closed)(Handle *handle);
    /* The kernel refused to watch the fd, with a negative errno: close with
     * the OSError. May run Python code. */
    void (*failed)(Handle *handle, int err);
    /* There is input on the fd, or its end; see poll_set_reader. May run
     * Python code. NULL where that is never called. */
    void (*readable)(Handle *handle);
} HandleOps;

/* One a loop, embedded in it. */
typedef struct {
    PyObject *loop; /* borrowed: it embeds this struct */
    /* Before libuv is touched: a forked child gets a kernel queue of its own
     * first, else closing here would make the parent deaf. */
    void (*touch)(PyObject *loop);
    Handle *first;     /* owned: every OPEN and CLOSING handle, by a list */
    uint64_t opened;   /* counters, always on: the tests' teardown asserts */
    uint64_t closed;   /*   that opened == closed and requests == 0 */
    uint64_t requests; /* in flight */
    uint64_t closing;  /* handles between uv_close and on_closed */
} Registry;

/* The head of every Python object that embeds a uv handle. The types are
 * subclasses of asyncio's transports, whose one slot comes first. */
struct Handle {
    PyObject_HEAD
    PyObject *extra;      /* owned: asyncio's slot `_extra`, or NULL */
    const HandleOps *ops; /* static */
    Registry *registry;   /* borrowed: lives in the loop that `loop` holds */
    PyObject *loop;       /* owned; dropped only by tp_dealloc */
    uv_handle_t *uv;      /* raw: points into this object */
    Handle *prev;         /* borrowed: the registry's list */
    Handle *next;
    HandleState state;
    unsigned requests; /* in flight, each with a reference; see req.h */
};

/* Bind a NEW handle to its loop and uv struct, whose uv_*_init the caller has
 * done: takes the list's reference. The handle is OPEN afterwards. */
void handle_open(Handle *handle,
                 const HandleOps *ops,
                 Registry *registry,
                 uv_handle_t *uv);

/* Close: idempotent, the only uv_close in the tree. Runs no Python code. */
void handle_close(Handle *handle);

/* Close a uv handle that is no Python object (the loop's own async). */
void handle_close_plain(Registry *registry, uv_handle_t *uv);

/* tp_traverse and tp_clear of what Handle itself holds. `loop` is visited,
 * never cleared: the uv struct lives in its uv_loop_t. */
int handle_traverse(Handle *handle, visitproc visit, void *arg);
void handle_clear(Handle *handle);

/* Call ops->shut for every open handle. */
void handle_shut_all(Registry *registry);

#endif
