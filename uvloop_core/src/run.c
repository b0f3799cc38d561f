/* run.c - the turn, in asyncio's order: poll, collect, run, look at stop. */
#include "loop.h"

/* A turn may go without a poll while there is work, but not for long: so many
 * times in a row, or until 100 us after the last poll. A poll costs as much as
 * two turns of one callback: eight times take most of the gain, 64 the rest.
 */
#define RUN_MAX_SKIPPED 64
#define RUN_MAX_SKIPPED_NS 100000

/* A turn is short if it takes less. */
#define RUN_QUICK_NS 2000

/* Tell the handles whose fds the kernel refused to watch. */
static void
deliver_fd_errors(Loop *loop)
{
    FdError error = {0};

    while (poll_take_error(&loop->poll, &error)) {
        Handle *owner = loop_owner(loop, error.fd);

        if (owner != NULL && owner->state == HANDLE_OPEN) {
            Py_INCREF(owner);
            owner->ops->failed(owner, error.err);
            Py_DECREF(owner);
        }
    }
}

static void
poll_turn(Loop *loop)
{
    enter_leave(&loop->border); /* others may want the context meanwhile */
    loop->poll.hurry = loop->stopping;
    if (loop->registry.closing > 0) {
        poll_sweep(&loop->poll);
        enter_leave(&loop->border);
        loop->poll.hurry |= loop->border.fatal != NULL;
    }
    poll_once(&loop->poll);
    enter_leave(&loop->border);
    loop->polled_at = uv_hrtime();
    loop->skipped = 0;
    deliver_fd_errors(loop);
    if (PyErr_CheckSignals() < 0) {
        enter_fatal(&loop->border); /* out of run_forever, as from select() */
    }
}

/* Files go before timers in a turn, so a due timer asks for the poll. Without
 * timers the clock, which costs a sixth of a short turn, is read in each
 * fourth turn only, as long as the turns are short. */
static bool
is_poll_due(Loop *loop)
{
    uint64_t now = 0;

    if (loop->quick && loop->timers.count == 0 && loop->skipped % 4 != 0) {
        return false;
    }
    now = uv_hrtime();
    loop->quick = (now - loop->polled_at) / (loop->skipped + 1) < RUN_QUICK_NS;
    return now - loop->polled_at > RUN_MAX_SKIPPED_NS ||
           (loop->timers.count > 0 &&
            loop->timers.heap[0].when <= (int64_t)now);
}

static bool
may_skip_poll(Loop *loop, bool first)
{
    if (first || loop->stopping || ready_count(&loop->ready) == 0 ||
        loop->skipped >= RUN_MAX_SKIPPED || is_poll_due(loop)) {
        return false;
    }
    loop->skipped++;
    return true;
}

/* Other threads' calls and due timers go into the ring; 0 or -1. */
static int
collect(Loop *loop)
{
    if (inbox_collect(&loop->inbox, &loop->ready) < 0) {
        return -1;
    }
    if (loop->skipped > 0 || loop->timers.count == 0) {
        return 0; /* no timer was due when the poll was skipped */
    }
    return timers_collect(
        &loop->timers, &loop->host, &loop->ready, (int64_t)loop->polled_at);
}

/* In debug mode: the same, timed. */
static void
run_timed(Loop *loop, Callback *callback)
{
    uint64_t start = uv_hrtime();
    double seconds = 0;
    PyObject *args[3] = {NULL};
    PyObject *result = NULL;

    callback_run(&loop->border, callback);
    seconds = (double)(uv_hrtime() - start) / 1e9;
    if (seconds < loop->slow_callback_duration) {
        return;
    }
    enter_leave(&loop->border);
    args[0] = (PyObject *)loop;
    args[1] = (PyObject *)callback;
    args[2] = PyFloat_FromDouble(seconds);
    if (args[2] != NULL) {
        result = PyObject_VectorcallMethod(
            loop->st->names[NAME_slow_callback], args, 3, NULL);
        Py_DECREF(args[2]);
    }
    if (result == NULL) {
        enter_report(&loop->border,
                     "Exception in _slow_callback",
                     NAME_handle,
                     args[1]);
    }
    Py_XDECREF(result);
}

/* After a timer comes a timer, whose memory, and what it holds, has grown cold
 * while it waited: have it fetched while this one runs. Without a GIL another
 * thread may be taking out what it holds. */
static inline void
fetch_next(const Ready *ready)
{
    const Callback *next = ready->slots[ready->head & ready->mask];

    if (!COMPAT_FREE_THREADED) {
        __builtin_prefetch(next->context);
        __builtin_prefetch(next->args);
        __builtin_prefetch(&next->gate);
    }
}

/* Run what is in the ring now; what that pushes is the next turn's. */
static void
run_ready(Loop *loop)
{
    size_t count = ready_count(&loop->ready);

    while (count-- > 0 && loop->border.fatal == NULL) {
        Callback *callback = ready_pop(&loop->ready);

        if (callback->flags & CALLBACK_TIMER && count > 0) {
            fetch_next(&loop->ready);
        }
        callback->flags &= (uint8_t)~CALLBACK_QUEUED;
        if (!callback_is_cancelled(callback)) {
            if (loop->border.debug) {
                run_timed(loop, callback);
            }
            else {
                callback_run(&loop->border, callback);
            }
        }
        if (callback->flags & CALLBACK_FD) {
            Py_DECREF(callback);
        }
        else {
            callback_release(&loop->host, callback);
        }
    }
}

int
run_loop(Loop *loop)
{
    PyObject *fatal = NULL;
    bool first = true;

    loop->border.running = true;
    do {
        loop_touch(loop);
        if (!may_skip_poll(loop, first)) {
            poll_turn(loop);
        }
        first = false;
        if (loop->border.fatal == NULL && collect(loop) < 0) {
            enter_fatal(&loop->border);
        }
        run_ready(loop);
    } while (!loop->stopping && loop->border.fatal == NULL);

    enter_leave(&loop->border);
    if (inbox_collect(&loop->inbox, &loop->ready) < 0) {
        enter_fatal(&loop->border);
    }
    loop->stopping = false;
    loop->border.running = false;
    Py_CLEAR(loop->future_kwargs);
    ready_settle(&loop->ready);
    timers_settle(&loop->timers);
    poll_settle(&loop->poll);
    fatal = loop->border.fatal;
    loop->border.fatal = NULL;
    if (fatal != NULL) {
        PyErr_SetRaisedException(fatal);
        return -1;
    }
    return 0;
}

void
run_closing(Loop *loop)
{
    loop->poll.hurry = true;
    while (loop->registry.closing > 0) {
        poll_once(&loop->poll);
    }
}
