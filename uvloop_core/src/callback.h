/* callback.h - asyncio's Handle and TimerHandle: a callable to be run once
 * by the loop (a reader's or writer's: each time its fd is ready).
 *
 * The loop's queues own one reference each. Callbacks are not tracked by the
 * garbage collector while a running loop holds them (tracking costs half as
 * much again as the whole push): a running loop is alive, and so are they.
 * They are tracked once they outlive their turn in other hands, and when the
 * loop stops (callback_settle).
 */
#ifndef UVLOOP_CORE_CALLBACK_H
#define UVLOOP_CORE_CALLBACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "enter.h"

typedef struct CallbackHost CallbackHost;

/* Without a GIL, callable, context, args, shape, host and running are under
 * the object's own lock: any thread may cancel it and look at it. What each
 * run looks at comes first and fills one cache line. */
typedef struct {
    PyObject_HEAD
    PyObject *callable;    /* owned; NULL once run or cancelled */
    PyObject *context;     /* owned */
    PyObject *args;        /* owned, by `shape` */
    CallbackHost *host;    /* borrowed: NULL once no queue holds it */
    uint8_t shape;         /* ARGS_* */
    uint8_t flags;         /* CALLBACK_*; owner thread only */
    bool running;          /* cancel() must not drop what is being called */
    atomic_bool cancelled; /* any thread may set it */
    atomic_uchar phase;    /* PHASE_*: where it is, for other threads */
    PyObject *weakrefs;
    PyObject *source_traceback; /* owned: where it was made, in debug mode */
    _Atomic(PyObject *) gate; /* owned: a lock that is held while it runs, made
                                 by who waits for its end; or NULL */
} Callback;

enum {
    ARGS_NONE,
    ARGS_ONE,   /* args is the one argument */
    ARGS_TUPLE, /* args is a tuple of them */
    ARGS_REPR,  /* cancelled in debug mode: args is the repr it had */
};

enum {
    CALLBACK_QUEUED = 1,   /* a reader or writer that is in the ready ring */
    CALLBACK_FD = 2,       /* a reader or writer: stays usable after a run */
    CALLBACK_TIMER = 4,    /* a TimerCallback */
    CALLBACK_HEAPED = 8,   /* in the timers' heap */
    CALLBACK_COUNTED = 16, /* the heap knows that it is cancelled */
    CALLBACK_ONCE = 32,   /* a reader or writer that one event is enough for */
    CALLBACK_TRACKED = 64 /* the garbage collector knows it */
};

enum {
    PHASE_PRIVATE, /* other threads need not wait for its end */
    PHASE_DUE,
    PHASE_RUNNING,
    PHASE_DONE,
    PHASE_CANCELLED, /* by another thread, before it ran */
};

typedef struct {
    Callback base;
    int64_t when;      /* nanoseconds of loop.time() */
    uint64_t sequence; /* of the push: what is due at once goes in order */
    double seconds;    /* as call_at was told: what when() returns */
} TimerCallback;

/* Freed callbacks kept for the next push: blank, one reference each, linked
 * through `callable`. */
typedef struct {
    Callback *first;
    size_t count;
} CallbackCache;

/* What callbacks need of their loop; one a loop, embedded in it. */
struct CallbackHost {
    Border *border; /* borrowed: the same loop's */
    /* A timer in the heap was cancelled by the loop's own thread. */
    void (*timer_cancelled)(PyObject *loop, TimerCallback *timer);
    CallbackCache plain;
    CallbackCache timers;
};

/* New reference; NULL with an exception. `context` NULL or None: a copy of
 * the current one. `args` are borrowed. Runs Python code only in debug mode
 * (it extracts the stack). */
Callback *callback_new(CallbackHost *host,
                       PyObject *callable,
                       PyObject *context,
                       PyObject *const *args,
                       Py_ssize_t nargs);

/* Before others see it: call_soon_threadsafe made it, so from 3.14 on cancel()
 * in another thread waits for a call that has begun. */
void callback_share(Callback *callback);

/* The same for a timer that is due at loop.time() == seconds. */
TimerCallback *callback_new_timer(CallbackHost *host,
                                  double seconds,
                                  PyObject *callable,
                                  PyObject *context,
                                  PyObject *const *args,
                                  Py_ssize_t nargs);

/* Run it in its context and report what it raises. The caller holds a
 * reference. */
void callback_run(Border *border, Callback *callback);

/* Give up a queue's reference after the run or the cancel: into the cache if
 * nobody else holds it. May run Python code. */
void callback_release(CallbackHost *host, Callback *callback /* steals */);

/* Cancel for good. May run Python code. */
void callback_cancel(Callback *callback);

/* No queue holds it any more. */
void callback_leave(Callback *callback);

static inline bool
callback_is_cancelled(Callback *callback)
{
    return atomic_load_explicit(&callback->cancelled, memory_order_acquire);
}

/* The loop stops: let the collector see a callback that others hold too. */
void callback_settle(Callback *callback);

/* For the queues' tp_traverse: visit it, or through it where only the queue
 * holds it (it is not tracked then). */
int callback_visit(Callback *callback, visitproc visit, void *arg);

/* The loop is about to wait: free some of what is cached since many callbacks
 * were there at once, not so many as to be late for what comes. */
void callback_host_trim(CallbackHost *host);

void callback_host_free(CallbackHost *host);

/* Create the two types; 0 or -1. */
int callback_register(PyObject *module, State *st);

#endif
