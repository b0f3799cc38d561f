#include "callback.h"

/* As many stay cached while the loop waits; of more than that, so many are
 * freed at each wait. */
#define CACHE_KEPT 1024
#define CACHE_TRIMMED 256

/* The freelist belongs to the loop's thread; before a run, to anyone (with a
 * GIL one at a time; without, to who has taken the loop). */
static bool
is_cache_ours(const CallbackHost *host)
{
    return !COMPAT_FREE_THREADED ||
           border_thread(host->border) == PyThread_get_thread_ident();
}

static void
cache_push(CallbackCache *cache, Callback *callback /* steals */)
{
    callback->callable = (PyObject *)cache->first;
    cache->first = callback;
    cache->count++;
}

/* One of at least one; new reference, blank. */
static Callback *
cache_pop(CallbackCache *cache)
{
    Callback *callback = cache->first;

    cache->first = (Callback *)callback->callable;
    cache->count--;
    callback->callable = NULL;
    return callback;
}

static void
cache_free(CallbackCache *cache, size_t count)
{
    while (count-- > 0) {
        Py_DECREF(cache_pop(cache));
    }
}

/* New reference, blank: no context, nothing to call, no arguments; NULL with
 * an exception. */
static Callback *
allocate(CallbackHost *host, bool timer)
{
    State *st = host->border->st;
    CallbackCache *cache = timer ? &host->timers : &host->plain;
    Callback *callback = NULL;

    if (cache->count > 0 && is_cache_ours(host)) {
        return cache_pop(cache);
    }
    if (timer) {
        callback = (Callback *)PyObject_GC_New(TimerCallback,
                                               st->types[TYPE_TIMER_HANDLE]);
    }
    else {
        callback = PyObject_GC_New(Callback, st->types[TYPE_HANDLE]);
    }
    if (callback != NULL) {
        callback->callable = NULL;
        callback->context = NULL;
        callback->args = NULL;
        callback->source_traceback = NULL;
        callback->weakrefs = NULL;
        callback->shape = ARGS_NONE;
        callback->running = false;
        atomic_init(&callback->gate, NULL);
    }
    return callback;
}

static PyObject *
args_new(PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *tuple = PyTuple_New(nargs);

    for (Py_ssize_t i = 0; tuple != NULL && i < nargs; i++) {
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    }
    return tuple;
}

/* Fill in a callback from allocate(); 0, or -1 with the callback whole and
 * an exception. */
static int
fill(Callback *callback,
     CallbackHost *host,
     PyObject *callable,
     PyObject *context,
     PyObject *const *args,
     Py_ssize_t nargs)
{
    State *st = host->border->st;

    callback->host = host;
    callback->flags = 0;
    atomic_store_explicit(&callback->cancelled, false, memory_order_relaxed);
    atomic_store_explicit(
        &callback->phase, PHASE_PRIVATE, memory_order_relaxed);
    callback->callable = Py_NewRef(callable);
    callback->context = context == NULL || context == Py_None
                            ? PyContext_CopyCurrent()
                            : Py_NewRef(context);
    if (callback->context == NULL) {
        return -1;
    }
    if (nargs == 1) {
        callback->args = Py_NewRef(args[0]);
        callback->shape = ARGS_ONE;
    }
    else if (nargs > 1) {
        callback->args = args_new(args, nargs);
        callback->shape = ARGS_TUPLE;
        if (callback->args == NULL) {
            return -1;
        }
    }
    if (host->border->debug) {
        callback->source_traceback =
            PyObject_CallNoArgs(st->objects[OBJECT_EXTRACT_STACK]);
        return callback->source_traceback == NULL ? -1 : 0;
    }
    return 0;
}

Callback *
callback_new(CallbackHost *host,
             PyObject *callable,
             PyObject *context,
             PyObject *const *args,
             Py_ssize_t nargs)
{
    Callback *callback = allocate(host, false);

    if (callback != NULL &&
        fill(callback, host, callable, context, args, nargs) < 0) {
        Py_CLEAR(callback);
    }
    return callback;
}

void
callback_share(Callback *callback)
{
    if (COMPAT_HANDLES_WAIT) {
        /* Nobody else knows it yet. */
        atomic_store_explicit(
            &callback->phase, PHASE_DUE, memory_order_relaxed);
    }
}

/* Nanoseconds of loop.time() that are never before `seconds`, but may be the
 * next ones: what exactly they are would take a division. */
static int64_t
to_nanoseconds(double seconds)
{
    int64_t ns = 0;

    if (seconds <= 0) {
        return 0;
    }
    if (seconds > (double)INT64_MAX / 2e9) {
        return INT64_MAX / 2;
    }
    ns = (int64_t)(seconds * 1e9);
    return ns + 1 + (ns >> 52); /* one unit of the double's last place */
}

TimerCallback *
callback_new_timer(CallbackHost *host,
                   double seconds,
                   PyObject *callable,
                   PyObject *context,
                   PyObject *const *args,
                   Py_ssize_t nargs)
{
    TimerCallback *timer = (TimerCallback *)allocate(host, true);

    if (timer == NULL) {
        return NULL;
    }
    timer->seconds = seconds;
    timer->when = to_nanoseconds(seconds);
    if (fill(&timer->base, host, callable, context, args, nargs) < 0) {
        Py_DECREF(timer);
        return NULL;
    }
    timer->base.flags = CALLBACK_TIMER;
    return timer;
}

/* What is to be called, taken out of a callback or copied from it: to be used
 * without its lock. */
typedef struct {
    PyObject *callable; /* owned, or NULL */
    PyObject *args;     /* owned, by `shape` */
    uint8_t shape;
} Call;

static Call
copy_call(Callback *callback)
{
    Call call;

    Py_BEGIN_CRITICAL_SECTION(callback);
    call.callable = Py_XNewRef(callback->callable);
    call.args = Py_XNewRef(callback->args);
    call.shape = callback->shape;
    Py_END_CRITICAL_SECTION();
    return call;
}

static void
free_call(Call *call)
{
    Py_CLEAR(call->callable);
    Py_CLEAR(call->args);
}

/* Its arguments as a tuple; new reference. */
static PyObject *
call_args(const Call *call)
{
    if (call->shape == ARGS_TUPLE) {
        return Py_NewRef(call->args);
    }
    return args_new(&call->args, call->shape == ARGS_ONE ? 1 : 0);
}

/* asyncio's description, "name(args) at file:line"; new reference. */
static PyObject *
describe(State *st, const Call *call)
{
    PyObject *args = call_args(call);
    PyObject *text = NULL;

    if (args != NULL) {
        text = PyObject_CallFunctionObjArgs(
            st->objects[OBJECT_FORMAT_CALLBACK], call->callable, args, NULL);
        Py_DECREF(args);
    }
    return text;
}

static void
report(Border *border, Callback *callback)
{
    PyObject *exc = PyErr_GetRaisedException();
    Call call = copy_call(callback);
    PyObject *text = NULL;
    PyObject *message = NULL;

    enter_leave(border);
    text = describe(border->st, &call);
    free_call(&call);
    if (text != NULL) {
        message = PyUnicode_FromFormat("Exception in callback %U", text);
        Py_DECREF(text);
    }
    if (message == NULL) {
        PyErr_Clear(); /* a bad repr must not hide the callback's exception */
    }
    PyErr_SetRaisedException(exc);
    enter_report_object(border,
                        message,
                        NAME_handle,
                        (PyObject *)callback,
                        NAME_source_traceback,
                        callback->source_traceback);
    Py_XDECREF(message);
}

/* Take callable and arguments out, unless they are being called; `text`, if
 * it is not NULL, takes their place. The context stays for get_context(). */
static void
drop_call(Callback *callback, PyObject *text /* steals */)
{
    Call call = {NULL, text, ARGS_NONE};

    Py_BEGIN_CRITICAL_SECTION(callback);
    if (!callback->running) {
        call = (Call){callback->callable, callback->args, callback->shape};
        callback->callable = NULL;
        callback->args = text;
        callback->shape = text == NULL ? ARGS_NONE : ARGS_REPR;
    }
    Py_END_CRITICAL_SECTION();
    free_call(&call);
}

/* Whether there is something to call: it stays until end_run(). */
static bool
begin_run(Callback *callback)
{
    bool found = false;

    Py_BEGIN_CRITICAL_SECTION(callback);
    found = callback->callable != NULL;
    callback->running = found;
    Py_END_CRITICAL_SECTION();
    return found;
}

static void
end_run(Callback *callback)
{
    Py_BEGIN_CRITICAL_SECTION(callback);
    callback->running = false;
    Py_END_CRITICAL_SECTION();
    if (callback_is_cancelled(callback)) {
        drop_call(callback, NULL); /* cancel() left it to us */
    }
}

/* ---- a call that other threads may wait for ---- */

/* What orders phase and gate: the GIL, where there is one. */
#define PHASE_ORDER                                                           \
    (COMPAT_FREE_THREADED ? memory_order_seq_cst : memory_order_relaxed)

/* The phase goes from `before` to `after`, if it is that. */
static bool
change_phase(Callback *callback, unsigned char before, unsigned char after)
{
    if (!COMPAT_FREE_THREADED) {
        if (atomic_load_explicit(&callback->phase, PHASE_ORDER) != before) {
            return false;
        }
        atomic_store_explicit(&callback->phase, after, PHASE_ORDER);
        return true;
    }
    return atomic_compare_exchange_strong(&callback->phase, &before, after);
}

/* False: another thread has cancelled it just now. */
static bool
begin_shared(Callback *callback)
{
    return change_phase(callback, PHASE_DUE, PHASE_RUNNING) ||
           change_phase(callback, PHASE_DONE, PHASE_RUNNING) ||
           atomic_load(&callback->phase) == PHASE_RUNNING;
}

/* Let those go on who wait. */
static void
end_shared(Border *border, Callback *callback)
{
    PyObject *gate = NULL;
    PyObject *result = NULL;

    atomic_store_explicit(&callback->phase, PHASE_DONE, PHASE_ORDER);
    gate = atomic_load(&callback->gate);
    if (gate != NULL) {
        result =
            PyObject_CallMethodNoArgs(gate, border->st->names[NAME_release]);
        if (result == NULL) {
            PyErr_Clear(); /* opened before: it was run by hand again */
        }
        Py_XDECREF(result);
    }
}

/* A gate, closed, for a call that runs: borrowed, or NULL. */
static PyObject *
make_gate(State *st, Callback *callback)
{
    PyObject *gate = PyObject_CallNoArgs(st->objects[OBJECT_LOCK]);
    PyObject *other = NULL;
    PyObject *result = NULL;

    if (gate != NULL) {
        result = PyObject_CallMethodNoArgs(gate, st->names[NAME_acquire]);
    }
    if (result == NULL) {
        Py_XDECREF(gate);
        return NULL;
    }
    Py_DECREF(result);
    if (!atomic_compare_exchange_strong(&callback->gate, &other, gate)) {
        Py_DECREF(gate); /* somebody else waits too, by a gate of theirs */
        return other;
    }
    return gate;
}

/* In another thread: wait for the end of the call, if it has begun; 0 or -1.
 * The gate is there before the phase is looked at again, and at the end of the
 * call the phase changes before the gate is looked for: one sees the other. */
static int
wait_for_end(Callback *callback)
{
    State *st = state_of_type(Py_TYPE(callback));
    PyObject *gate = NULL;
    PyObject *result = NULL;

    if (st == NULL) {
        return -1;
    }
    if (atomic_load(&callback->phase) != PHASE_RUNNING) {
        return 0;
    }
    gate = make_gate(st, callback);
    if (gate == NULL) {
        return -1;
    }
    if (atomic_load(&callback->phase) != PHASE_RUNNING) {
        return 0;
    }
    result = PyObject_CallMethodNoArgs(gate, st->names[NAME_acquire]);
    if (result != NULL) {
        Py_DECREF(result);
        /* For the next one who waits. */
        result = PyObject_CallMethodNoArgs(gate, st->names[NAME_release]);
    }
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static void
drop_gate(Callback *callback)
{
    PyObject *gate =
        atomic_load_explicit(&callback->gate, memory_order_relaxed);

    if (gate != NULL) { /* hardly ever; nobody waits any more */
        atomic_store_explicit(&callback->gate, NULL, memory_order_relaxed);
        Py_DECREF(gate);
    }
}

void
callback_run(Border *border, Callback *callback)
{
    /* Slot 0 is the callee's to use for `self`. */
    PyObject *stack[2] = {NULL, NULL};
    PyObject *const *args = stack + 1;
    size_t nargsf = PY_VECTORCALL_ARGUMENTS_OFFSET;
    PyObject *result = NULL;

    bool shared = COMPAT_HANDLES_WAIT &&
                  atomic_load_explicit(&callback->phase,
                                       memory_order_relaxed) != PHASE_PRIVATE;

    if (!begin_run(callback)) {
        return; /* cancelled */
    }
    if (shared && !begin_shared(callback)) {
        end_run(callback); /* cancelled just now */
        return;            /* cancelled */
    }
    stack[1] = callback->args;
    if (callback->shape == ARGS_ONE) {
        nargsf |= 1;
    }
    else if (callback->shape == ARGS_TUPLE) {
        args = &PyTuple_GET_ITEM(callback->args, 0);
        nargsf = (size_t)PyTuple_GET_SIZE(callback->args);
    }
    result = enter_call(
        border, callback->context, callback->callable, args, nargsf);
    if (result == NULL) {
        report(border, callback);
    }
    else {
        Py_DECREF(result);
    }
    if (shared) {
        end_shared(border, callback);
    }
    end_run(callback);
}

void
callback_leave(Callback *callback)
{
    Py_BEGIN_CRITICAL_SECTION(callback);
    callback->host = NULL;
    Py_END_CRITICAL_SECTION();
}

void
callback_release(CallbackHost *host, Callback *callback)
{
    callback_leave(callback);
    if (callback->shape != ARGS_REPR) {
        drop_call(callback, NULL);
    }
    if (object_is_ours((PyObject *)callback) && callback->weakrefs == NULL &&
        callback->source_traceback == NULL && callback->shape == ARGS_NONE &&
        is_cache_ours(host)) {
        if (callback->flags & CALLBACK_TRACKED) {
            PyObject_GC_UnTrack(callback);
        }
        drop_gate(callback);
        Py_CLEAR(callback->context);
        cache_push(callback->flags & CALLBACK_TIMER ? &host->timers
                                                    : &host->plain,
                   callback);
        return;
    }
    callback_settle(callback);
    Py_DECREF(callback);
}

void
callback_cancel(Callback *callback)
{
    State *st = NULL;
    PyObject *text = NULL;

    if (callback_is_cancelled(callback)) {
        return;
    }
    Py_BEGIN_CRITICAL_SECTION(callback);
    if (callback->host != NULL && callback->host->border->debug) {
        st = callback->host->border->st;
    }
    Py_END_CRITICAL_SECTION();
    if (st != NULL) {
        Call call = copy_call(callback);

        if (call.callable != NULL) {
            text = describe(st, &call); /* what repr() says from now on */
        }
        free_call(&call);
        if (text == NULL) {
            PyErr_Clear(); /* repr() is then the short one */
        }
    }
    atomic_store_explicit(&callback->cancelled, true, memory_order_release);
    drop_call(callback, text);
}

void
callback_settle(Callback *callback)
{
    if (Py_REFCNT(callback) > 1 && !(callback->flags & CALLBACK_TRACKED)) {
        callback->flags |= CALLBACK_TRACKED;
        PyObject_GC_Track(callback);
    }
}

static int
visit_inner(Callback *callback, visitproc visit, void *arg)
{
    Py_VISIT(callback->callable);
    Py_VISIT(callback->args);
    Py_VISIT(callback->context);
    Py_VISIT(callback->source_traceback);
    return 0;
}

int
callback_visit(Callback *callback, visitproc visit, void *arg)
{
    if (callback->flags & CALLBACK_TRACKED) {
        Py_VISIT(callback);
        return 0;
    }
    /* Held by others too and not tracked: the loop runs, so it is alive. */
    return Py_REFCNT(callback) == 1 ? visit_inner(callback, visit, arg) : 0;
}

static void
cache_trim(CallbackCache *cache)
{
    if (cache->count > CACHE_KEPT) {
        size_t surplus = cache->count - CACHE_KEPT;

        cache_free(cache, surplus < CACHE_TRIMMED ? surplus : CACHE_TRIMMED);
    }
}

void
callback_host_trim(CallbackHost *host)
{
    cache_trim(&host->plain);
    cache_trim(&host->timers);
}

void
callback_host_free(CallbackHost *host)
{
    cache_free(&host->plain, host->plain.count);
    cache_free(&host->timers, host->timers.count);
}

/* ---- Python entry points ---- */

/* The thread that has the loop whose queue holds the callback; 0: none. */
static unsigned long
loop_thread(Callback *callback)
{
    unsigned long thread = 0;

    Py_BEGIN_CRITICAL_SECTION(callback);
    if (callback->host != NULL) {
        thread = border_thread(callback->host->border);
    }
    Py_END_CRITICAL_SECTION();
    return thread;
}

/* True if another thread has the loop that the callback waits for. */
static bool
is_foreign(Callback *callback)
{
    unsigned long runner = loop_thread(callback);

    return runner != 0 && runner != PyThread_get_thread_ident();
}

PyDoc_STRVAR(cancel_doc,
             "cancel($self, /)\n--\n\n"
             "Cancel the callback. Any thread may call it; after the callback "
             "has run it does nothing.");

static PyObject *
cancel_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Callback *callback = CAST(Callback, self);
    CallbackHost *host = NULL;
    unsigned long runner = loop_thread(callback);
    bool is_owner = runner == PyThread_get_thread_ident();

    if (runner != 0 && !is_owner) {
        if (COMPAT_HANDLES_WAIT &&
            !change_phase(callback, PHASE_DUE, PHASE_CANCELLED) &&
            wait_for_end(callback) < 0) {
            return NULL;
        }
        /* The loop drops it when it comes by. */
        atomic_store_explicit(
            &callback->cancelled, true, memory_order_release);
        Py_RETURN_NONE;
    }
    if (callback_is_cancelled(callback)) {
        Py_RETURN_NONE;
    }
    callback_cancel(callback);
    if (COMPAT_FREE_THREADED && !is_owner) {
        Py_RETURN_NONE; /* the heap is not ours, it comes across it */
    }
    host = callback->host; /* dropping the call may have closed the loop */
    if (host != NULL && callback->flags & CALLBACK_HEAPED) {
        host->timer_cancelled(host->border->loop, (TimerCallback *)callback);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(cancelled_doc,
             "cancelled($self, /)\n--\n\n"
             "Return True if the callback was cancelled.");

static PyObject *
cancelled_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Callback *callback = CAST(Callback, self);

    if (COMPAT_HANDLES_WAIT && is_foreign(callback) &&
        wait_for_end(callback) < 0) {
        return NULL;
    }
    return PyBool_FromLong(callback_is_cancelled(callback));
}

PyDoc_STRVAR(get_context_doc,
             "get_context($self, /)\n--\n\n"
             "Return the contextvars.Context the callback runs in.");

static PyObject *
get_context_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *context = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    context = Py_XNewRef(CAST(Callback, self)->context);
    Py_END_CRITICAL_SECTION();
    return context == NULL ? Py_NewRef(Py_None) : context;
}

PyDoc_STRVAR(run_doc,
             "_run($self, /)\n--\n\n"
             "Run the callback now, as the loop would.");

/* Whose loop this thread has from now on, for _run(): 1 if it had not before,
 * 0 if it had (or with a GIL, which does it), -1 with RuntimeError. */
static int
take_loop(Callback *callback)
{
    int taken = 0;

    Py_BEGIN_CRITICAL_SECTION(callback);
    if (COMPAT_FREE_THREADED && callback->host != NULL &&
        border_thread(callback->host->border) != PyThread_get_thread_ident()) {
        taken = border_take(callback->host->border) ? 1 : -1;
    }
    Py_END_CRITICAL_SECTION();
    if (taken < 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "another thread runs the callback's loop");
    }
    return taken;
}

static PyObject *
run_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Callback *callback = CAST(Callback, self);
    int taken = take_loop(callback);
    Border *border = NULL;
    PyObject *loop = NULL;
    PyObject *outer = NULL;

    if (taken < 0) {
        return NULL;
    }
    if (callback->host != NULL) {
        border = callback->host->border;
        loop = Py_NewRef(border->loop); /* the callback may drop it */
        /* Inside of whatever the loop has entered. */
        outer = border->context;
        border->context = NULL;
        callback_run(border, callback);
        enter_leave(border);
        border->context = outer;
        if (taken > 0) {
            border_drop(border);
        }
        Py_DECREF(loop);
    }
    Py_RETURN_NONE;
}

/* asyncio's class, so that isinstance() knows a handle: to derive from it
 * would add its ten slots to each. */
static PyObject *
class_get(PyObject *self, void *Py_UNUSED(closure))
{
    Callback *callback = CAST(Callback, self);
    State *st = state_of_type(Py_TYPE(self));
    ObjectIndex index = OBJECT_ASYNCIO_HANDLE;

    if (st == NULL) {
        return NULL;
    }
    if (callback->flags & CALLBACK_TIMER) {
        index = OBJECT_ASYNCIO_TIMER_HANDLE;
    }
    else if (atomic_load(&callback->phase) != PHASE_PRIVATE) {
        index = OBJECT_ASYNCIO_THREADSAFE_HANDLE;
    }
    return Py_NewRef(st->objects[index]);
}

static PyObject *
callback_get(PyObject *self, void *Py_UNUSED(closure))
{
    Call call = copy_call(CAST(Callback, self));

    Py_XDECREF(call.args);
    return call.callable == NULL ? Py_NewRef(Py_None) : call.callable;
}

static PyObject *
args_get(PyObject *self, void *Py_UNUSED(closure))
{
    Call call = copy_call(CAST(Callback, self));
    PyObject *args =
        call.callable == NULL ? Py_NewRef(Py_None) : call_args(&call);

    free_call(&call);
    return args;
}

static PyObject *
loop_get(PyObject *self, void *Py_UNUSED(closure))
{
    Callback *callback = CAST(Callback, self);
    PyObject *loop = Py_None;

    Py_BEGIN_CRITICAL_SECTION(self);
    if (callback->host != NULL) {
        loop = callback->host->border->loop;
    }
    Py_INCREF(loop);
    Py_END_CRITICAL_SECTION();
    return loop;
}

static PyObject *
source_traceback_get(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *traceback = CAST(Callback, self)->source_traceback;

    return Py_NewRef(traceback == NULL ? Py_None : traceback);
}

static PyObject *
is_cancelled_get(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(callback_is_cancelled(CAST(Callback, self)));
}

/* " created at file:line" of a debug-mode callback, or "". */
static PyObject *
describe_source(Callback *callback)
{
    PyObject *frame = NULL;
    PyObject *text = NULL;
    PyObject *stack = callback->source_traceback;

    if (stack != NULL && PyList_Check(stack) && PyList_GET_SIZE(stack) > 0) {
        frame = PySequence_GetItem(stack, PyList_GET_SIZE(stack) - 1);
    }
    if (frame != NULL) {
        PyObject *file = PySequence_GetItem(frame, 0);
        PyObject *line = PySequence_GetItem(frame, 1);

        if (file != NULL && line != NULL) {
            text = PyUnicode_FromFormat(" created at %S:%S", file, line);
        }
        Py_XDECREF(file);
        Py_XDECREF(line);
        Py_DECREF(frame);
        return text;
    }
    PyErr_Clear(); /* an empty stack: nothing to say */
    return PyUnicode_FromString("");
}

static PyObject *
callback_tp_repr(PyObject *self)
{
    Callback *callback = CAST(Callback, self);
    State *st = state_of_type(Py_TYPE(self));
    PyObject *what = NULL;
    PyObject *source = NULL;
    PyObject *text = NULL;
    const char *name =
        callback->flags & CALLBACK_TIMER ? "TimerHandle" : "Handle";
    const char *state = callback_is_cancelled(callback) ? " cancelled" : "";
    Call call;

    if (st == NULL) {
        return NULL;
    }
    call = copy_call(callback);
    if (call.shape == ARGS_REPR) {
        what = PyUnicode_FromFormat(" %U", call.args);
    }
    else if (call.callable != NULL) {
        PyObject *description = describe(st, &call);

        if (description != NULL) {
            what = PyUnicode_FromFormat(" %U", description);
            Py_DECREF(description);
        }
    }
    else {
        what = PyUnicode_FromString("");
    }
    free_call(&call);
    source = what == NULL ? NULL : describe_source(callback);
    if (source != NULL) {
        PyObject *when = NULL;

        if (callback->flags & CALLBACK_TIMER) {
            PyObject *seconds =
                PyFloat_FromDouble(((TimerCallback *)callback)->seconds);

            if (seconds != NULL) {
                when = PyUnicode_FromFormat(" when=%R", seconds);
                Py_DECREF(seconds);
            }
        }
        else {
            when = PyUnicode_FromString("");
        }
        if (when != NULL) {
            text = PyUnicode_FromFormat(
                "<%s%s%U%U%U>", name, state, when, what, source);
            Py_DECREF(when);
        }
    }
    Py_XDECREF(what);
    Py_XDECREF(source);
    return text;
}

static int
callback_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return visit_inner(CAST(Callback, self), visit, arg);
}

static int
callback_tp_clear(PyObject *self)
{
    Callback *callback = CAST(Callback, self);

    drop_call(callback, NULL);
    Py_CLEAR(callback->context);
    Py_CLEAR(callback->source_traceback);
    return 0;
}

static void
callback_tp_dealloc(PyObject *self)
{
    Callback *callback = CAST(Callback, self);
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (callback->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    (void)callback_tp_clear(self);
    drop_gate(callback);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

/* ---- TimerHandle ---- */

PyDoc_STRVAR(
    when_doc,
    "when($self, /)\n--\n\n"
    "Return the time the callback is due, in seconds of loop.time().");

static PyObject *
when_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyFloat_FromDouble(CAST(TimerCallback, self)->seconds);
}

static PyObject *
when_get(PyObject *self, void *Py_UNUSED(closure))
{
    return PyFloat_FromDouble(CAST(TimerCallback, self)->seconds);
}

static PyObject *
scheduled_get(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(CAST(Callback, self)->flags & CALLBACK_HEAPED);
}

static int
scheduled_set(PyObject *Py_UNUSED(self),
              PyObject *Py_UNUSED(value),
              void *Py_UNUSED(closure))
{
    PyErr_SetString(PyExc_AttributeError, "_scheduled is the loop's to set");
    return -1;
}

static Py_hash_t
timer_tp_hash(PyObject *self)
{
    PyObject *when = when_meth(self, NULL);
    Py_hash_t hash = -1;

    if (when != NULL) {
        hash = PyObject_Hash(when);
        Py_DECREF(when);
    }
    return hash;
}

/* asyncio's equality: when, callback, args and whether it is cancelled. */
static int
timer_equals(TimerCallback *a, TimerCallback *b)
{
    Call one = copy_call(&a->base);
    Call other = copy_call(&b->base);
    int same =
        a->seconds == b->seconds && one.shape == other.shape &&
        callback_is_cancelled(&a->base) == callback_is_cancelled(&b->base) &&
        (one.callable == NULL) == (other.callable == NULL);

    if (same && one.callable != NULL) {
        same = PyObject_RichCompareBool(one.callable, other.callable, Py_EQ);
    }
    if (same == 1 && one.args != NULL && other.args != NULL) {
        same = PyObject_RichCompareBool(one.args, other.args, Py_EQ);
    }
    free_call(&one);
    free_call(&other);
    return same;
}

static PyObject *
timer_tp_richcompare(PyObject *self, PyObject *other, int op)
{
    TimerCallback *a = CAST(TimerCallback, self);
    TimerCallback *b = CAST(TimerCallback, other);
    int same = 0;

    if (Py_TYPE(self) != Py_TYPE(other)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (op == Py_LT || op == Py_GT) {
        Py_RETURN_RICHCOMPARE(a->seconds, b->seconds, op);
    }
    same = self == other ? 1 : timer_equals(a, b);
    if (same < 0) {
        return NULL;
    }
    if (op == Py_LE && a->seconds < b->seconds) {
        same = 1;
    }
    if (op == Py_GE && a->seconds > b->seconds) {
        same = 1;
    }
    return PyBool_FromLong(op == Py_NE ? !same : same);
}

/* ---- tables ---- */

static PyMethodDef callback_methods[] = {
    {"cancel", cancel_meth, METH_NOARGS, cancel_doc},
    {"cancelled", cancelled_meth, METH_NOARGS, cancelled_doc},
    {"get_context", get_context_meth, METH_NOARGS, get_context_doc},
    {"_run", run_meth, METH_NOARGS, run_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef timer_methods[] = {
    {"cancel", cancel_meth, METH_NOARGS, cancel_doc},
    {"cancelled", cancelled_meth, METH_NOARGS, cancelled_doc},
    {"get_context", get_context_meth, METH_NOARGS, get_context_doc},
    {"_run", run_meth, METH_NOARGS, run_doc},
    {"when", when_meth, METH_NOARGS, when_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef callback_getset[] = {
    {"__class__", class_get, NULL, NULL, NULL},
    {"_callback", callback_get, NULL, NULL, NULL},
    {"_args", args_get, NULL, NULL, NULL},
    {"_loop", loop_get, NULL, NULL, NULL},
    {"_cancelled", is_cancelled_get, NULL, NULL, NULL},
    {"_source_traceback", source_traceback_get, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef timer_getset[] = {
    {"__class__", class_get, NULL, NULL, NULL},
    {"_callback", callback_get, NULL, NULL, NULL},
    {"_args", args_get, NULL, NULL, NULL},
    {"_loop", loop_get, NULL, NULL, NULL},
    {"_cancelled", is_cancelled_get, NULL, NULL, NULL},
    {"_source_traceback", source_traceback_get, NULL, NULL, NULL},
    {"_when", when_get, NULL, NULL, NULL},
    {"_scheduled", scheduled_get, scheduled_set, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef callback_members[] = {
    {"__weaklistoffset__",
     Py_T_PYSSIZET,
     offsetof(Callback, weakrefs),
     Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(callback_doc,
             "A callback that the loop will run: what call_soon() returns.");

static PyType_Slot callback_slots[] = {
    {Py_tp_doc, (void *)callback_doc},
    {Py_tp_repr, callback_tp_repr},
    {Py_tp_traverse, callback_tp_traverse},
    {Py_tp_clear, callback_tp_clear},
    {Py_tp_dealloc, callback_tp_dealloc},
    {Py_tp_methods, callback_methods},
    {Py_tp_getset, callback_getset},
    {Py_tp_members, callback_members},
    {0, NULL},
};

static PyType_Spec callback_spec = {
    .name = "uvloop_core._core.Handle",
    .basicsize = sizeof(Callback),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = callback_slots,
};

PyDoc_STRVAR(timer_doc,
             "A callback that is due at a time: what call_later() returns.");

static PyType_Slot timer_slots[] = {
    {Py_tp_doc, (void *)timer_doc},
    {Py_tp_repr, callback_tp_repr},
    {Py_tp_hash, timer_tp_hash},
    {Py_tp_richcompare, timer_tp_richcompare},
    {Py_tp_traverse, callback_tp_traverse},
    {Py_tp_clear, callback_tp_clear},
    {Py_tp_dealloc, callback_tp_dealloc},
    {Py_tp_methods, timer_methods},
    {Py_tp_getset, timer_getset},
    {Py_tp_members, callback_members},
    {0, NULL},
};

static PyType_Spec timer_spec = {
    .name = "uvloop_core._core.TimerHandle",
    .basicsize = sizeof(TimerCallback),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = timer_slots,
};

int
callback_register(PyObject *module, State *st)
{
    PyObject *handle = PyType_FromModuleAndSpec(module, &callback_spec, NULL);
    PyObject *timer = PyType_FromModuleAndSpec(module, &timer_spec, NULL);

    st->types[TYPE_HANDLE] = (PyTypeObject *)handle;
    st->types[TYPE_TIMER_HANDLE] = (PyTypeObject *)timer;
    if (handle == NULL || timer == NULL ||
        PyModule_AddObjectRef(module, "Handle", handle) < 0 ||
        PyModule_AddObjectRef(module, "TimerHandle", timer) < 0) {
        return -1;
    }
    return 0;
}
