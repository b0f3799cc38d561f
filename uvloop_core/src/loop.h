/* loop.h - the Loop: what every turn works on. */
#ifndef UVLOOP_CORE_LOOP_H
#define UVLOOP_CORE_LOOP_H

#include <uv.h>

#include "callback.h"
#include "enter.h"
#include "handle.h"
#include "inbox.h"
#include "poll.h"
#include "ready.h"
#include "task.h"
#include "timers.h"

/* Reads up to this size go into the loop's shared buffer first. */
#define LOOP_READ_BUFFER ((size_t)64 * 1024)

/* A bytes object that a protocol did not keep, for the next read; NULL: none.
 * A small one of LOOP_SPARE_SMALL bytes and a bigger one. */
#define LOOP_SPARE_SMALL (16 * 1024)

typedef struct {
    PyObject *bytes; /* owned, by nobody else but who is called with it */
    size_t size;     /* the room in it; 0 without one */
} LoopSpare;

typedef struct Loop {
    PyObject_HEAD
    State *st; /* borrowed: the module outlives its types */
    Border border;
    Registry registry;
    Ready ready;
    Timers timers;
    Inbox inbox;
    Poll poll;
    CallbackHost host;

    uv_loop_t uv;
    uv_async_t wakeup; /* keeps uv_run alive and wakes it */

    Handle **owners; /* borrowed, by fd: whose it is; see loop_owner */
    size_t owners_allocated;

    PyObject *future_kwargs; /* owned: {"loop": this}, for create_future() of
                                a loop that runs; or NULL */

    char *read_buffer; /* owned: LOOP_READ_BUFFER bytes */
    LoopSpare spares[2];
    PyObject *receiving;    /* owned: bytes for sockets.c to fill, or NULL */
    struct Waiter *waiters; /* borrowed: those that pend; see waiter.h */
    void *datagrams;        /* owned: raw, what udp.c receives into; or NULL */

    PyObject *task_factory;        /* owned; NULL or None: asyncio.Task */
    double slow_callback_duration; /* seconds */
    uint64_t polled_at;            /* nanoseconds, of the last poll */
    unsigned skipped;              /* polls skipped in a row */
    bool quick;                    /* the turns since then were short */
    bool open;                     /* uv is initialised */
    atomic_bool closed;            /* any thread may look */
    bool stopping;
} Loop;

/* 0, or -1 with RuntimeError: the loop is closed, or (in debug mode, and
 * always on free-threaded builds) this is not the thread that runs it. */
int loop_check_closed(Loop *loop);
int loop_check_thread(Loop *loop);

/* Every entry point from Python that works on the loop, or on what it holds,
 * is between these two. The thread is checked; without a GIL, a loop that
 * does not run is moreover taken: by one thread at a time. Returns -1 with
 * RuntimeError if another one has it, else what loop_leave() is to be given.
 * May be nested. */
int loop_enter(Loop *loop);
void loop_leave(Loop *loop, int entered);

/* The same for what asyncio lets any thread do, in debug mode too: checked
 * only without a GIL. */
int loop_enter_unchecked(Loop *loop);

/* loop.time() in nanoseconds. */
static inline int64_t
loop_now(void)
{
    return (int64_t)uv_hrtime();
}

/* Append a C-made call to the ring: `callable` with nargs arguments in
 * `context` (NULL: a copy of the current one); 0 or -1. */
int loop_call_soon(Loop *loop,
                   PyObject *callable,
                   PyObject *context,
                   PyObject *const *args,
                   Py_ssize_t nargs);

/* The same from any thread, without arguments: wakes the loop. -1 also if the
 * loop is closed. */
int loop_call_soon_threadsafe(Loop *loop, PyObject *callable);

/* loop_call_soon after so many seconds: the timer, a new reference, to be
 * cancelled with callback_cancel; or NULL with an exception (a closed loop).
 * May run Python code. */
TimerCallback *loop_call_later(Loop *loop,
                               double delay,
                               PyObject *callable,
                               PyObject *context);

/* Note or forget (NULL) which handle an fd belongs to; 0, or -1 with
 * MemoryError (never when forgetting). */
int loop_set_owner(Loop *loop, int fd, Handle *handle);

/* The handle that fd belongs to: borrowed, or NULL. */
Handle *loop_owner(Loop *loop, int fd);

/* Have the function of `def` called with `self`, in `context`, whenever fd is
 * ready; until loop_unwatch. 0, or -1 with an exception. */
int loop_watch(Loop *loop,
               int fd,
               WatchKind kind,
               PyMethodDef *def,
               PyObject *self,
               PyObject *context);

/* End that; a no-op if there is nothing to end. May run Python code. */
void loop_unwatch(Loop *loop, int fd, WatchKind kind);

/* In a forked child, before the first uv call: a kernel queue of its own.
 * A no-op elsewhere, and inside uv_run (the hooks protect the parent). */
void loop_touch(Loop *loop);

/* Report the pending exception: enter_report with this loop's border. */
void
loop_report(Loop *loop, const char *message, NameIndex key, PyObject *value);

int loop_register(PyObject *module, State *st);

/* run.c: run until stop; 0, or -1 with what a callback raised to the top. */
int run_loop(Loop *loop);

/* run.c: run libuv until every closing handle is closed. Runs no user code. */
void run_closing(Loop *loop);

#endif
