#include "loop.h"

#include "args.h"
#include "errors.h"
#include "forks.h"

#include <math.h>

int
loop_check_closed(Loop *loop)
{
    if (loop->closed) {
        PyErr_SetString(PyExc_RuntimeError, "Event loop is closed");
        return -1;
    }
    return 0;
}

/* -1 with RuntimeError. */
static int
refuse_thread(void)
{
    PyErr_SetString(PyExc_RuntimeError,
                    "Non-thread-safe operation invoked on an event loop "
                    "other than the current one");
    return -1;
}

int
loop_check_thread(Loop *loop)
{
    unsigned long thread = 0;

    if (!COMPAT_FREE_THREADED && !loop->border.debug) {
        return 0; /* asyncio does not look either */
    }
    thread = border_thread(&loop->border);
    if (thread != 0 && thread != PyThread_get_thread_ident() &&
        !poll_is_foreign(&loop->poll) /* forked: that thread is not here */) {
        return refuse_thread();
    }
    return 0;
}

/* Take the loop for this thread: what loop_enter() returns. */
static int
take(Loop *loop)
{
    loop_touch(loop); /* in a forked child, who had it is not here */
    if (border_thread(&loop->border) == PyThread_get_thread_ident()) {
        return 0;
    }
    return border_take(&loop->border) ? 1 : refuse_thread();
}

int
loop_enter(Loop *loop)
{
    return COMPAT_FREE_THREADED ? take(loop) : loop_check_thread(loop);
}

int
loop_enter_unchecked(Loop *loop)
{
    return COMPAT_FREE_THREADED ? loop_enter(loop) : 0;
}

void
loop_leave(Loop *loop, int entered)
{
    if (entered > 0) {
        border_drop(&loop->border);
    }
}

/* ---- fds and their owners ---- */

int
loop_set_owner(Loop *loop, int fd, Handle *handle)
{
    size_t size = loop->owners_allocated == 0 ? 64 : loop->owners_allocated;
    Handle **owners = loop->owners;

    if ((size_t)fd >= loop->owners_allocated) {
        if (handle == NULL) {
            return 0;
        }
        while (size <= (size_t)fd) {
            size *= 2;
        }
        if (PyMem_Resize(owners, Handle *, size) == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        memset(owners + loop->owners_allocated,
               0,
               (size - loop->owners_allocated) * sizeof(Handle *));
        loop->owners = owners;
        loop->owners_allocated = size;
    }
    loop->owners[fd] = handle;
    poll_yield(&loop->poll, fd);
    return 0;
}

Handle *
loop_owner(Loop *loop, int fd)
{
    return fd >= 0 && (size_t)fd < loop->owners_allocated ? loop->owners[fd]
                                                          : NULL;
}

void
loop_touch(Loop *loop)
{
    if (!loop->open || !poll_is_foreign(&loop->poll) ||
        poll_is_polling(&loop->poll)) {
        return;
    }
    if (border_thread(&loop->border) != PyThread_get_thread_ident()) {
        loop->border.running = false; /* who ran it stayed in the parent */
        border_drop(&loop->border);
    }
    inbox_forked(&loop->inbox);
    if (uv_loop_fork(&loop->uv) < 0) {
        /* Once more, without a watched file that is gone by now. EMFILE: the
         * loop is deaf, the parent is not. */
        (void)uv_loop_fork(&loop->uv);
    }
    poll_forked(&loop->poll);
}

int
loop_watch(Loop *loop,
           int fd,
           WatchKind kind,
           PyMethodDef *def,
           PyObject *self,
           PyObject *context)
{
    PyObject *callable = PyCFunction_New(def, self);
    Callback *callback = NULL;
    int err = -1;

    if (callable != NULL) {
        loop_touch(loop);
        callback = callback_new(&loop->host, callable, context, NULL, 0);
    }
    if (callback != NULL) {
        err = poll_watch(&loop->poll, fd, kind, callback);
    }
    Py_XDECREF(callback);
    Py_XDECREF(callable);
    return err;
}

void
loop_unwatch(Loop *loop, int fd, WatchKind kind)
{
    loop_touch(loop);
    /* Whether there was one does not matter. */
    (void)poll_unwatch(&loop->poll, fd, kind);
}

static void
touch(PyObject *loop)
{
    loop_touch(CAST(Loop, loop));
}

void
loop_report(Loop *loop, const char *message, NameIndex key, PyObject *value)
{
    enter_report(&loop->border, message, key, value);
}

/* ---- scheduling ---- */

static void
timer_cancelled(PyObject *loop, TimerCallback *timer)
{
    Loop *l = CAST(Loop, loop);

    timers_cancelled(&l->timers, &l->host, timer);
}

/* A loop that does not run may be dropped: the collector has to see what
 * others hold of it. */
static void
settle(Loop *loop, Callback *callback)
{
    if (!border_is_running(&loop->border)) {
        callback_settle(callback);
    }
}

/* New callback in the ring; borrowed, NULL with an exception. */
static Callback *
push(Loop *loop,
     PyObject *callable,
     PyObject *context,
     PyObject *const *args,
     Py_ssize_t nargs)
{
    Callback *callback =
        callback_new(&loop->host, callable, context, args, nargs);

    if (callback != NULL && (inbox_collect(&loop->inbox, &loop->ready) < 0 ||
                             ready_push(&loop->ready, callback) < 0)) {
        Py_CLEAR(callback);
    }
    return callback;
}

int
loop_call_soon(Loop *loop,
               PyObject *callable,
               PyObject *context,
               PyObject *const *args,
               Py_ssize_t nargs)
{
    return push(loop, callable, context, args, nargs) == NULL ? -1 : 0;
}

/* New callback in the inbox: new reference, or NULL with an exception. */
static Callback *
push_threadsafe(Loop *loop,
                PyObject *callable,
                PyObject *context,
                PyObject *const *args,
                Py_ssize_t nargs)
{
    Callback *callback = NULL;

    loop_touch(loop);
    callback = callback_new(&loop->host, callable, context, args, nargs);
    if (callback == NULL) {
        return NULL;
    }
    callback_share(callback);
    Py_INCREF(callback); /* the caller's; the inbox takes the other */
    settle(loop, callback);
    switch (inbox_put(&loop->inbox, callback)) {
    case INBOX_OK:
        return callback;
    case INBOX_CLOSED:
        PyErr_SetString(PyExc_RuntimeError, "Event loop is closed");
        break;
    case INBOX_NO_MEMORY:
        PyErr_NoMemory();
        break;
    }
    Py_DECREF(callback);
    Py_DECREF(callback);
    return NULL;
}

int
loop_call_soon_threadsafe(Loop *loop, PyObject *callable)
{
    Callback *callback = push_threadsafe(loop, callable, NULL, NULL, 0);

    Py_XDECREF(callback);
    return callback == NULL ? -1 : 0;
}

/* asyncio's debug-mode check of a callback; 0 or -1. */
static int
check_callback(Loop *loop, PyObject *callable, const char *method)
{
    State *st = loop->st;
    const ObjectIndex tests[] = {OBJECT_ISCOROUTINE,
                                 OBJECT_ISCOROUTINEFUNCTION};

    for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
        PyObject *answer =
            PyObject_CallOneArg(st->objects[tests[i]], callable);
        int yes = answer == NULL ? -1 : PyObject_IsTrue(answer);

        Py_XDECREF(answer);
        if (yes > 0) {
            PyErr_Format(PyExc_TypeError,
                         "coroutines cannot be used with %s()",
                         method);
        }
        if (yes != 0) {
            return -1;
        }
    }
    if (!PyCallable_Check(callable)) {
        PyErr_Format(PyExc_TypeError,
                     "a callable object was expected by %s(), got %R",
                     method,
                     callable);
        return -1;
    }
    return 0;
}

/* The arguments of a call_*: its leading ones, then *args. */
typedef struct {
    PyObject *const *args; /* borrowed, as all here */
    Py_ssize_t nargs;
    PyObject *context;   /* NULL: not given */
    PyObject *spread[3]; /* what args points to if some came by keyword */
} Call;

/* Whether there is one keyword, `context`: so asyncio schedules each step of
 * a task. */
static inline bool
is_context_alone(PyObject *const *interned, PyObject *kwnames)
{
    return PyTuple_GET_SIZE(kwnames) == 1 &&
           args_same_name(interned[NAME_context],
                          PyTuple_GET_ITEM(kwnames, 0));
}

/* The rare part of parse_call, out of the way of the rest. */
Py_NO_INLINE static int
parse_keywords(Loop *loop,
               const char *method,
               const short *names,
               int leading,
               PyObject *kwnames,
               Call *call)
{
    PyObject *const *interned = loop->st->names;
    PyObject *const *args = call->args;
    Py_ssize_t nargs = call->nargs;

    if (nargs < leading) {
        const ArgSpec spec = {method, leading, leading, leading + 1, names};

        call->args = call->spread;
        call->nargs = leading;
        if (args_spread(&spec, interned, args, nargs, kwnames, call->spread) <
            0) {
            return -1;
        }
        call->context = call->spread[leading];
    }
    else {
        const ArgSpec spec = {method, 0, 0, 1, names + leading};

        return args_spread(
            &spec, interned, args + nargs, 0, kwnames, &call->context);
    }
    return 0;
}

/* Parse and check what every call_* shares. `names` are the leading
 * arguments, which may come by keyword if no *args follow, and `context`. 0
 * or -1. */
static inline int
parse_call(Loop *loop,
           const char *method,
           const short *names,
           int leading,
           PyObject *const *args,
           Py_ssize_t nargs,
           PyObject *kwnames,
           Call *call)
{
    call->args = args;
    call->nargs = nargs;
    call->context = NULL;
    if (nargs >= leading && kwnames != NULL &&
        is_context_alone(loop->st->names, kwnames)) {
        call->context = args[nargs];
    }
    else if ((nargs < leading || kwnames != NULL) &&
             parse_keywords(loop, method, names, leading, kwnames, call) < 0) {
        return -1;
    }
    return loop_check_closed(loop);
}

static const short soon_names[] = {NAME_callback, NAME_context};
static const short later_names[] = {NAME_delay, NAME_callback, NAME_context};
static const short at_names[] = {NAME_when, NAME_callback, NAME_context};

/* loop_enter(), and what debug mode looks at. */
static int
enter_checked(Loop *loop, PyObject *callable, const char *method)
{
    int entered = loop_enter(loop);

    if (entered >= 0 && loop->border.debug &&
        check_callback(loop, callable, method) < 0) {
        loop_leave(loop, entered);
        return -1;
    }
    return entered;
}

PyDoc_STRVAR(
    call_soon_doc,
    "call_soon($self, callback, *args, context=None)\n--\n\n"
    "Arrange for callback(*args) to be called in the next turn, first "
    "in first out.\n\n"
    "context: the contextvars.Context to run it in; a copy of the "
    "current one if None.\nRaises RuntimeError if the loop is "
    "closed.\nSource: asyncio.loop.call_soon.");

static PyObject *
call_soon_meth(PyObject *self,
               PyObject *const *args,
               Py_ssize_t nargs,
               PyObject *kwnames)
{
    Loop *loop = CAST(Loop, self);
    Callback *callback = NULL;
    Call call;
    int entered = 0;

    if (parse_call(
            loop, "call_soon", soon_names, 1, args, nargs, kwnames, &call) <
        0) {
        return NULL;
    }
    entered = enter_checked(loop, call.args[0], "call_soon");
    if (entered < 0) {
        return NULL;
    }
    callback =
        push(loop, call.args[0], call.context, call.args + 1, call.nargs - 1);
    if (callback != NULL) {
        Py_INCREF(callback);
        settle(loop, callback);
    }
    loop_leave(loop, entered);
    return (PyObject *)callback;
}

PyDoc_STRVAR(call_soon_threadsafe_doc,
             "call_soon_threadsafe($self, callback, *args, context=None)\n"
             "--\n\n"
             "call_soon() for other threads and signal handlers: wakes the "
             "loop.\nSource: asyncio.loop.call_soon_threadsafe.");

static PyObject *
call_soon_threadsafe_meth(PyObject *self,
                          PyObject *const *args,
                          Py_ssize_t nargs,
                          PyObject *kwnames)
{
    Loop *loop = CAST(Loop, self);
    Call call;

    if (parse_call(loop,
                   "call_soon_threadsafe",
                   soon_names,
                   1,
                   args,
                   nargs,
                   kwnames,
                   &call) < 0 ||
        (loop->border.debug &&
         check_callback(loop, call.args[0], "call_soon_threadsafe") < 0)) {
        return NULL;
    }
    return (PyObject *)push_threadsafe(
        loop, call.args[0], call.context, call.args + 1, call.nargs - 1);
}

/* The typed part of call_later and call_at. */
static PyObject *
push_timer(Loop *loop, double seconds, const Call *call)
{
    TimerCallback *timer = NULL;

    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "time must not be NaN");
        return NULL;
    }
    timer = callback_new_timer(&loop->host,
                               seconds,
                               call->args[1],
                               call->context,
                               call->args + 2,
                               call->nargs - 2);
    if (timer == NULL) {
        return NULL;
    }
    if (timers_push(&loop->timers, timer) < 0) {
        Py_DECREF(timer);
        return NULL;
    }
    Py_INCREF(timer);
    timers_settle_pushed(
        &loop->timers, timer, !border_is_running(&loop->border));
    return (PyObject *)timer;
}

TimerCallback *
loop_call_later(Loop *loop,
                double delay,
                PyObject *callable,
                PyObject *context)
{
    PyObject *args[2] = {NULL, callable};
    const Call call = {.args = args, .nargs = 2, .context = context};

    if (loop_check_closed(loop) < 0) {
        return NULL;
    }
    return (TimerCallback *)push_timer(
        loop, (double)loop_now() / 1e9 + delay, &call);
}

/* The common part of the two. */
static PyObject *
call_timer(Loop *loop, double seconds, const Call *call, const char *method)
{
    PyObject *timer = NULL;
    int entered = enter_checked(loop, call->args[1], method);

    if (entered >= 0) {
        timer = push_timer(loop, seconds, call);
        loop_leave(loop, entered);
    }
    return timer;
}

PyDoc_STRVAR(call_later_doc,
             "call_later($self, delay, callback, *args, context=None)\n"
             "--\n\n"
             "Arrange for callback(*args) to be called after delay seconds: "
             "never earlier, to the nanosecond of the clock.\n\n"
             "Raises TypeError if delay is None, ValueError if it is NaN.\n"
             "Source: asyncio.loop.call_later.");

static PyObject *
call_later_meth(PyObject *self,
                PyObject *const *args,
                Py_ssize_t nargs,
                PyObject *kwnames)
{
    Loop *loop = CAST(Loop, self);
    double delay = 0;
    Call call;

    if (parse_call(
            loop, "call_later", later_names, 2, args, nargs, kwnames, &call) <
        0) {
        return NULL;
    }
    if (call.args[0] == Py_None) {
        PyErr_SetString(PyExc_TypeError, "delay must not be None");
        return NULL;
    }
    delay = PyFloat_AsDouble(call.args[0]);
    if (delay == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    return call_timer(
        loop, (double)loop_now() / 1e9 + delay, &call, "call_later");
}

PyDoc_STRVAR(call_at_doc,
             "call_at($self, when, callback, *args, context=None)\n--\n\n"
             "Arrange for callback(*args) to be called at loop.time() == "
             "when, in seconds.\nSource: asyncio.loop.call_at.");

static PyObject *
call_at_meth(PyObject *self,
             PyObject *const *args,
             Py_ssize_t nargs,
             PyObject *kwnames)
{
    Loop *loop = CAST(Loop, self);
    double when = 0;
    Call call;

    if (parse_call(loop, "call_at", at_names, 2, args, nargs, kwnames, &call) <
        0) {
        return NULL;
    }
    if (call.args[0] == Py_None) {
        PyErr_SetString(PyExc_TypeError, "when cannot be None");
        return NULL;
    }
    when = PyFloat_AsDouble(call.args[0]);
    if (when == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    return call_timer(loop, when, &call, "call_at");
}

PyDoc_STRVAR(time_doc,
             "time($self, /)\n--\n\n"
             "Return the loop's clock in seconds: time.monotonic().");

static PyObject *
time_meth(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    return PyFloat_FromDouble((double)loop_now() / 1e9);
}

PyDoc_STRVAR(create_task_doc,
             COMPAT_CREATE_TASK "\n--\n\n"
                                "Have a coroutine run in a task.\n\n"
                                "Raises RuntimeError if the loop is closed.\n"
                                "Source: asyncio.loop.create_task.");

static PyObject *
create_task_meth(PyObject *self,
                 PyObject *const *args,
                 Py_ssize_t nargs,
                 PyObject *kwnames)
{
    Loop *loop = CAST(Loop, self);
    PyObject *factory = NULL;
    PyObject *task = NULL;

    if (loop_check_closed(loop) < 0) {
        return NULL;
    }
    Py_BEGIN_CRITICAL_SECTION(self);
    factory = Py_XNewRef(loop->task_factory); /* it may set another one */
    Py_END_CRITICAL_SECTION();
    task = task_create(loop->st, self, factory, args, nargs, kwnames);
    Py_XDECREF(factory);
    return task;
}

/* ---- user fds ---- */

static int
parse_fd(PyObject *object, int *fd)
{
    *fd = PyLong_AsInt(object);
    return *fd == -1 && PyErr_Occurred() ? -1 : 0;
}

/* add_reader and add_writer: (fd, callback, *args). */
static PyObject *
watch(Loop *loop,
      WatchKind kind,
      const char *method,
      PyObject *const *args,
      Py_ssize_t nargs)
{
    Callback *callback = NULL;
    int fd = -1;
    int entered = 0;

    if (nargs < 2) {
        return PyErr_Format(PyExc_TypeError,
                            "%s() takes at least 2 arguments (%zd given)",
                            method,
                            nargs);
    }
    if (loop_check_closed(loop) < 0 || parse_fd(args[0], &fd) < 0) {
        return NULL;
    }
    entered = loop_enter(loop);
    if (entered < 0) {
        return NULL;
    }
    loop_touch(loop);
    callback = callback_new(&loop->host, args[1], NULL, args + 2, nargs - 2);
    if (callback != NULL && poll_watch(&loop->poll, fd, kind, callback) < 0) {
        Py_CLEAR(callback);
    }
    if (callback != NULL) {
        settle(loop, callback);
    }
    loop_leave(loop, entered);
    return (PyObject *)callback;
}

static PyObject *
unwatch(Loop *loop, WatchKind kind, PyObject *arg)
{
    int fd = -1;
    int entered = 0;
    int found = 0;

    if (parse_fd(arg, &fd) < 0) {
        return NULL;
    }
    entered = loop_enter(loop);
    if (entered < 0) {
        return NULL;
    }
    loop_touch(loop);
    found = poll_unwatch(&loop->poll, fd, kind);
    loop_leave(loop, entered);
    return PyBool_FromLong(found);
}

PyDoc_STRVAR(add_reader_doc,
             "_add_reader($self, fd, callback, /, *args)\n--\n\n"
             "Call callback(*args) whenever fd (an int) is readable; returns "
             "its Handle.\nRaises OSError for an fd that is closed or cannot "
             "be watched.");

static PyObject *
add_reader_meth(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return watch(CAST(Loop, self), WATCH_READ, "_add_reader", args, nargs);
}

PyDoc_STRVAR(add_writer_doc,
             "_add_writer($self, fd, callback, /, *args)\n--\n\n"
             "Call callback(*args) whenever fd (an int) is writable; see "
             "_add_reader.");

static PyObject *
add_writer_meth(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    return watch(CAST(Loop, self), WATCH_WRITE, "_add_writer", args, nargs);
}

PyDoc_STRVAR(remove_reader_doc,
             "_remove_reader($self, fd, /)\n--\n\n"
             "Stop watching; returns whether there was a callback.");

static PyObject *
remove_reader_meth(PyObject *self, PyObject *arg)
{
    return unwatch(CAST(Loop, self), WATCH_READ, arg);
}

PyDoc_STRVAR(remove_writer_doc,
             "_remove_writer($self, fd, /)\n--\n\n"
             "Stop watching; returns whether there was a callback.");

static PyObject *
remove_writer_meth(PyObject *self, PyObject *arg)
{
    return unwatch(CAST(Loop, self), WATCH_WRITE, arg);
}

PyDoc_STRVAR(owner_doc,
             "_owner($self, fd, /)\n--\n\n"
             "Return the transport that owns fd, or None.");

static PyObject *
owner_meth(PyObject *self, PyObject *arg)
{
    Loop *loop = CAST(Loop, self);
    PyObject *owner = NULL;
    int fd = -1;
    int entered = 0;

    if (parse_fd(arg, &fd) < 0) {
        return NULL;
    }
    entered = loop_enter_unchecked(loop);
    if (entered < 0) {
        return NULL;
    }
    owner = (PyObject *)loop_owner(loop, fd);
    owner = Py_NewRef(owner == NULL ? Py_None : owner);
    loop_leave(loop, entered);
    return owner;
}

/* ---- running and closing ---- */

PyDoc_STRVAR(run_doc,
             "_run($self, /)\n--\n\n"
             "Run turns until stop(). Raises RuntimeError if the loop is "
             "closed or running, and KeyboardInterrupt or SystemExit from a "
             "callback.");

static PyObject *
run_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Loop *loop = CAST(Loop, self);
    int entered = 0;
    int err = 0;

    if (loop_check_closed(loop) < 0) {
        return NULL;
    }
    if (border_is_running(&loop->border)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "This event loop is already running");
        return NULL;
    }
    entered = take(loop);
    if (entered < 0) {
        return NULL;
    }
    err = run_loop(loop);
    loop_leave(loop, entered);
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(stop_doc,
             "stop($self, /)\n--\n\n"
             "Stop at the end of the current turn (of the next one, if the "
             "loop does not run).\nSource: asyncio.loop.stop.");

static PyObject *
stop_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Loop *loop = CAST(Loop, self);
    int entered = loop_enter_unchecked(loop);

    if (entered < 0) {
        return NULL;
    }
    loop->stopping = true;
    loop->poll.hurry = true; /* it may be about to wait */
    loop_leave(loop, entered);
    Py_RETURN_NONE;
}

/* Close everything without calling user code. Idempotent. */
static void
close_loop(Loop *loop)
{
    if (loop->closed) {
        return; /* or is being closed: what goes may call this again */
    }
    cork_flush(&loop->border.cork); /* Handle._run() has called us */
    loop->closed = true;
    loop_touch(loop);
    inbox_close(&loop->inbox);
    inbox_clear(&loop->inbox, &loop->host);
    ready_clear(&loop->ready, &loop->host);
    timers_clear(&loop->timers, &loop->host);
    poll_clear(&loop->poll);
    handle_shut_all(&loop->registry);
    handle_close_plain(&loop->registry, (uv_handle_t *)&loop->wakeup);
    run_closing(loop);
    loop->open = false;
    (void)uv_loop_close(&loop->uv); /* EBUSY is impossible: all are closed */
    /* What the closing transports have dropped may have pushed again. */
    ready_clear(&loop->ready, &loop->host);
}

PyDoc_STRVAR(close_doc,
             "_close($self, /)\n--\n\n"
             "Cancel what is scheduled, close the transports (ResourceWarning "
             "for each) and libuv's loop. Idempotent.\nRaises RuntimeError "
             "while the loop runs.");

static PyObject *
close_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Loop *loop = CAST(Loop, self);
    int entered = 0;

    if (border_is_running(&loop->border)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Cannot close a running event loop");
        return NULL;
    }
    entered = take(loop);
    if (entered < 0) {
        return NULL;
    }
    close_loop(loop);
    loop_leave(loop, entered);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(is_running_doc,
             "is_running($self, /)\n--\n\nReturn True while the loop runs.");

static PyObject *
is_running_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(border_is_running(&CAST(Loop, self)->border));
}

PyDoc_STRVAR(
    is_closed_doc,
    "is_closed($self, /)\n--\n\nReturn True once close() was called.");

static PyObject *
is_closed_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(CAST(Loop, self)->closed);
}

/* {"loop": loop}: new reference, or NULL. It is kept while the loop runs, and
 * is alive anyway: at other times it would keep alive what nobody holds. Not
 * without a GIL: there any thread may come here. */
static PyObject *
make_future_kwargs(Loop *loop)
{
    PyObject *kwargs = PyDict_New();

    if (kwargs != NULL &&
        PyDict_SetItem(kwargs, loop->st->names[NAME_loop], (PyObject *)loop) <
            0) {
        Py_CLEAR(kwargs);
    }
    if (border_is_running(&loop->border) && !COMPAT_FREE_THREADED) {
        Py_XSETREF(loop->future_kwargs, Py_XNewRef(kwargs));
    }
    return kwargs;
}

PyDoc_STRVAR(create_future_doc,
             "create_future($self, /)\n--\n\n"
             "Return a new future of this loop.");

static PyObject *
create_future_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Loop *loop = CAST(Loop, self);
    PyObject *kwargs = loop->future_kwargs == NULL
                           ? make_future_kwargs(loop)
                           : Py_NewRef(loop->future_kwargs);
    PyObject *future = NULL;

    if (kwargs != NULL) {
        future = PyObject_VectorcallDict(
            loop->st->objects[OBJECT_FUTURE], NULL, 0, kwargs);
        Py_DECREF(kwargs);
    }
    return future;
}

PyDoc_STRVAR(get_debug_doc,
             "get_debug($self, /)\n--\n\nReturn True in debug mode.");

static PyObject *
get_debug_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(CAST(Loop, self)->border.debug);
}

PyDoc_STRVAR(set_debug_doc,
             "_set_debug($self, enabled, /)\n--\n\nSet the debug flag.");

static PyObject *
set_debug_meth(PyObject *self, PyObject *arg)
{
    int enabled = PyObject_IsTrue(arg);

    if (enabled < 0) {
        return NULL;
    }
    CAST(Loop, self)->border.debug = enabled;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(check_thread_doc,
             "_check_thread($self, /)\n--\n\n"
             "Raise RuntimeError as call_soon() would, if this is another "
             "thread than the one that runs the loop.");

static PyObject *
check_thread_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (loop_check_thread(CAST(Loop, self)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(get_backend_id_doc,
             "_get_backend_id($self, /)\n--\n\n"
             "Return the fd of the loop's epoll set, -1 once closed.");

static PyObject *
get_backend_id_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Loop *loop = CAST(Loop, self);

    return PyLong_FromLong(loop->open ? uv_backend_fd(&loop->uv) : -1);
}

static void
drop_capsule(PyObject *capsule)
{
    PyObject *loop = PyCapsule_GetContext(capsule);

    Py_XDECREF(loop);
}

PyDoc_STRVAR(libuv_loop_doc,
             "_libuv_loop($self, /)\n--\n\n"
             "Return a capsule without a name of the loop's uv_loop_t. It "
             "holds the loop.\nRaises RuntimeError once the loop is closed.");

static PyObject *
libuv_loop_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Loop *loop = CAST(Loop, self);
    PyObject *capsule = NULL;

    if (loop_check_closed(loop) < 0) {
        return NULL;
    }
    capsule = PyCapsule_New(&loop->uv, NULL, drop_capsule);
    if (capsule == NULL || PyCapsule_SetContext(capsule, self) < 0) {
        Py_XDECREF(capsule);
        return NULL;
    }
    Py_INCREF(self); /* drop_capsule gives it back */
    return capsule;
}

PyDoc_STRVAR(
    own_methods_doc,
    "_own_methods($type, /)\n--\n\n"
    "Define the methods that a subclass inherits from here on itself, "
    "too. CPython is quick where an object's class is the one that a "
    "method is defined on, and else walks through the bases.");

static PyObject *
own_methods_meth(PyObject *type, PyObject *Py_UNUSED(ignored))
{
    State *st = state_of_type((PyTypeObject *)type);
    PyTypeObject *base = NULL;
    int err = 0;

    if (st == NULL) {
        return NULL;
    }
    base = st->types[TYPE_LOOP];
    for (PyMethodDef *def = base->tp_methods; err == 0 && def->ml_name;
         def++) {
        PyObject *inherited = PyObject_GetAttrString(type, def->ml_name);
        PyObject *ours =
            PyObject_GetAttrString((PyObject *)base, def->ml_name);

        if (inherited == NULL || ours == NULL) {
            err = -1;
        }
        else if (inherited == ours) { /* nothing overrides it */
            err = state_add_descriptor(
                (PyTypeObject *)type,
                def->ml_name,
                PyDescr_NewMethod((PyTypeObject *)type, def));
        }
        Py_XDECREF(inherited);
        Py_XDECREF(ours);
    }
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- attributes ---- */

static PyObject *
thread_id_get(PyObject *self, void *Py_UNUSED(closure))
{
    Border *border = &CAST(Loop, self)->border;

    return border_is_running(border)
               ? PyLong_FromUnsignedLong(border_thread(border))
               : Py_NewRef(Py_None);
}

static PyObject *
write_coalescing_get(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(CAST(Loop, self)->border.cork.enabled);
}

static int
write_coalescing_set(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    Loop *loop = CAST(Loop, self);
    int entered = 0;

    if (value == NULL || !PyBool_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "write_coalescing must be a bool");
        return -1;
    }
    entered = loop_enter(loop);
    if (entered < 0) {
        return -1;
    }
    loop->border.cork.enabled = value == Py_True;
    cork_flush(&loop->border.cork);
    loop_leave(loop, entered);
    return 0;
}

static PyObject *
handles_opened_get(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(CAST(Loop, self)->registry.opened);
}

static PyObject *
handles_closed_get(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(CAST(Loop, self)->registry.closed);
}

static PyObject *
requests_get(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(CAST(Loop, self)->registry.requests);
}

/* ---- slots ---- */

static void
on_wakeup(uv_async_t *Py_UNUSED(async))
{
    /* Being woken is all: the turn looks at the inbox. */
    assert_attached();
}

/* libuv's loop and the async that keeps it alive; 0 or -1. */
static int
open_loop(Loop *loop)
{
    int err = uv_loop_init(&loop->uv);

    if (err < 0) {
        return raise_uv(loop->st, err);
    }
    err = uv_async_init(&loop->uv, &loop->wakeup, on_wakeup);
    if (err < 0) {
        (void)uv_loop_close(&loop->uv); /* nothing is open in it */
        return raise_uv(loop->st, err);
    }
    loop->open = true;
    return 0;
}

static PyObject *
loop_tp_new(PyTypeObject *type,
            PyObject *Py_UNUSED(args),
            PyObject *Py_UNUSED(kwargs))
{
    State *st = state_of_type(type);
    Loop *loop = NULL;

    if (st == NULL) {
        return NULL;
    }
    loop = (Loop *)type->tp_alloc(type, 0);
    if (loop == NULL) {
        return NULL;
    }
    loop->st = st;
    loop->border.st = st;
    loop->border.loop = (PyObject *)loop;
    loop->registry.loop = (PyObject *)loop;
    loop->registry.touch = touch;
    loop->host.border = &loop->border;
    loop->host.timer_cancelled = timer_cancelled;
    loop->poll.uv = &loop->uv;
    loop->poll.ready = &loop->ready;
    loop->poll.timers = &loop->timers;
    loop->poll.inbox = &loop->inbox;
    loop->poll.host = &loop->host;
    loop->slow_callback_duration = 0.1;
    loop->closed = true; /* until it is whole */
    if (ready_init(&loop->ready) < 0 || poll_init(&loop->poll) < 0 ||
        inbox_init(&loop->inbox, &loop->wakeup) < 0) {
        Py_DECREF(loop);
        return NULL;
    }
    loop->read_buffer = PyMem_RawMalloc(LOOP_READ_BUFFER);
    if (loop->read_buffer == NULL) {
        PyErr_NoMemory();
        Py_DECREF(loop);
        return NULL;
    }
    if (open_loop(loop) < 0) {
        Py_DECREF(loop);
        return NULL;
    }
    loop->closed = false;
    return (PyObject *)loop;
}

static int
loop_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    Loop *loop = CAST(Loop, self);
    int err = 0;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(loop->border.context);
    Py_VISIT(loop->border.fatal);
    Py_VISIT(loop->future_kwargs);
    Py_VISIT(loop->task_factory);
    for (Handle *h = loop->registry.first; h != NULL; h = h->next) {
        Py_VISIT(h);
    }
    if (loop->ready.slots == NULL) {
        return 0; /* half made */
    }
    err = ready_traverse(&loop->ready, visit, arg);
    if (err == 0) {
        err = timers_traverse(&loop->timers, visit, arg);
    }
    if (err == 0) {
        err = inbox_traverse(&loop->inbox, visit, arg);
    }
    if (err == 0) {
        err = poll_traverse(&loop->poll, visit, arg);
    }
    return err;
}

static int
loop_tp_clear(PyObject *self)
{
    Loop *loop = CAST(Loop, self);

    Py_CLEAR(loop->border.context);
    Py_CLEAR(loop->border.fatal);
    Py_CLEAR(loop->future_kwargs);
    Py_CLEAR(loop->task_factory);
    return 0;
}

/* Dropped without close(). It runs before any tp_clear, so everything it
 * reaches is whole. A loop that runs is held by its frame; one that a daemon
 * thread ran when the interpreter ended is left alone. */
static void
loop_tp_finalize(PyObject *self)
{
    Loop *loop = CAST(Loop, self);
    PyObject *pending = NULL;

    if (!loop->open || border_is_running(&loop->border)) {
        return;
    }
    pending = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning(self, 1, "unclosed event loop %R", self) < 0) {
        PyErr_WriteUnraisable(self); /* warnings are errors here */
    }
    close_loop(loop);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

static void
loop_tp_dealloc(PyObject *self)
{
    Loop *loop = CAST(Loop, self);
    PyTypeObject *type = Py_TYPE(self);

    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return; /* resurrected */
    }
    PyObject_GC_UnTrack(self);
    (void)loop_tp_clear(self);
    callback_host_free(&loop->host);
    ready_free(&loop->ready);
    timers_free(&loop->timers);
    poll_free(&loop->poll);
    if (loop->inbox.wakeup != NULL) {
        inbox_free(&loop->inbox);
    }
    PyMem_Free(loop->owners);
    PyMem_RawFree(loop->read_buffer);
    PyMem_RawFree(loop->datagrams);
    Py_XDECREF(loop->receiving);
    Py_XDECREF(loop->spares[0].bytes);
    Py_XDECREF(loop->spares[1].bytes);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- tables ---- */

static PyMethodDef loop_methods[] = {
    {"call_soon",
     METHOD(call_soon_meth),
     METH_FASTCALL | METH_KEYWORDS,
     call_soon_doc},
    {"call_soon_threadsafe",
     METHOD(call_soon_threadsafe_meth),
     METH_FASTCALL | METH_KEYWORDS,
     call_soon_threadsafe_doc},
    {"call_later",
     METHOD(call_later_meth),
     METH_FASTCALL | METH_KEYWORDS,
     call_later_doc},
    {"call_at",
     METHOD(call_at_meth),
     METH_FASTCALL | METH_KEYWORDS,
     call_at_doc},
    {"create_task",
     METHOD(create_task_meth),
     METH_FASTCALL | METH_KEYWORDS,
     create_task_doc},
    {"time", time_meth, METH_NOARGS, time_doc},
    {"stop", stop_meth, METH_NOARGS, stop_doc},
    {"is_running", is_running_meth, METH_NOARGS, is_running_doc},
    {"is_closed", is_closed_meth, METH_NOARGS, is_closed_doc},
    {"create_future", create_future_meth, METH_NOARGS, create_future_doc},
    {"get_debug", get_debug_meth, METH_NOARGS, get_debug_doc},
    {"_set_debug", set_debug_meth, METH_O, set_debug_doc},
    {"_check_thread", check_thread_meth, METH_NOARGS, check_thread_doc},
    {"_run", run_meth, METH_NOARGS, run_doc},
    {"_close", close_meth, METH_NOARGS, close_doc},
    {"_add_reader", METHOD(add_reader_meth), METH_FASTCALL, add_reader_doc},
    {"_add_writer", METHOD(add_writer_meth), METH_FASTCALL, add_writer_doc},
    {"_remove_reader", remove_reader_meth, METH_O, remove_reader_doc},
    {"_remove_writer", remove_writer_meth, METH_O, remove_writer_doc},
    {"_owner", owner_meth, METH_O, owner_doc},
    {"_get_backend_id", get_backend_id_meth, METH_NOARGS, get_backend_id_doc},
    {"_libuv_loop", libuv_loop_meth, METH_NOARGS, libuv_loop_doc},
    {"_own_methods",
     own_methods_meth,
     METH_NOARGS | METH_CLASS,
     own_methods_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef loop_getset[] = {
    {"write_coalescing",
     write_coalescing_get,
     write_coalescing_set,
     "Send what a callback writes to a transport when it returns, in one "
     "piece (a bool). Off, each write is sent at once.",
     NULL},
    {"_thread_id", thread_id_get, NULL, NULL, NULL},
    {"_handles_opened", handles_opened_get, NULL, NULL, NULL},
    {"_handles_closed", handles_closed_get, NULL, NULL, NULL},
    {"_requests", requests_get, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef loop_members[] = {
    {"slow_callback_duration",
     Py_T_DOUBLE,
     offsetof(Loop, slow_callback_duration),
     0,
     "In debug mode, callbacks that take longer are logged (seconds)."},
    {"_task_factory",
     Py_T_OBJECT_EX,
     offsetof(Loop, task_factory),
     0,
     "What makes the tasks, None: asyncio.Task."},
    {"_closed", Py_T_BOOL, offsetof(Loop, closed), Py_READONLY, NULL},
    {"_debug", Py_T_BOOL, offsetof(Loop, border.debug), Py_READONLY, NULL},
    {"_stopping", Py_T_BOOL, offsetof(Loop, stopping), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(loop_doc,
             "The part of an event loop that runs per event, on libuv. Use "
             "uvloop_core.Loop.");

static PyType_Slot loop_slots[] = {
    {Py_tp_doc, (void *)loop_doc},
    {Py_tp_new, loop_tp_new},
    {Py_tp_traverse, loop_tp_traverse},
    {Py_tp_clear, loop_tp_clear},
    {Py_tp_finalize, loop_tp_finalize},
    {Py_tp_dealloc, loop_tp_dealloc},
    {Py_tp_methods, loop_methods},
    {Py_tp_getset, loop_getset},
    {Py_tp_members, loop_members},
    {0, NULL},
};

static PyType_Spec loop_spec = {
    .name = "uvloop_core._core.Loop",
    .basicsize = sizeof(Loop),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = loop_slots,
};

int
loop_register(PyObject *module, State *st)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &loop_spec, NULL);

    st->types[TYPE_LOOP] = (PyTypeObject *)type;
    return type == NULL ? -1 : PyModule_AddObjectRef(module, "Loop", type);
}
