#include "waiter.h"

#include "args.h"

/* ---- the hold of the socket ---- */

static int
hold(Waiter *waiter)
{
    int counted = endpoint_count_user(waiter->loop->st, waiter->sock, 1);

    waiter->holds = counted > 0;
    return counted < 0 ? -1 : 0;
}

/* A close() that was put off is made up for; 0 or -1. */
static int
close_if_asked(Waiter *waiter)
{
    PyObject *const *names = waiter->loop->st->names;
    PyObject *closed = PyObject_GetAttr(waiter->sock, names[NAME_closed]);
    int is_closed = closed == NULL ? -1 : PyObject_IsTrue(closed);
    PyObject *result = NULL;

    Py_XDECREF(closed);
    if (is_closed <= 0) {
        return is_closed;
    }
    result = PyObject_CallMethodNoArgs(waiter->sock, names[NAME_close]);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* Undo hold(). No Python code is run for it, but of a socket that was closed
 * meanwhile: the first such code would be where a signal is handled, and what
 * that raises would be lost with us. */
static void
let_go(Waiter *waiter)
{
    Border *border = &waiter->loop->border;

    if (!waiter->holds) {
        return;
    }
    waiter->holds = false;
    if (endpoint_count_user(waiter->loop->st, waiter->sock, -1) >= 0 &&
        close_if_asked(waiter) == 0) {
        return;
    }
    if (border_is_running(border) &&
        (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
         PyErr_ExceptionMatches(PyExc_SystemExit))) {
        enter_fatal_inside(border);
        return;
    }
    PyErr_WriteUnraisable(waiter->sock); /* its fd was closed before */
}

/* ---- the loop's list ---- */

static void
link_in(Waiter *waiter)
{
    Loop *loop = waiter->loop;

    waiter->next = loop->waiters;
    if (waiter->next != NULL) {
        waiter->next->previous = waiter;
    }
    loop->waiters = waiter;
}

static void
link_out(Waiter *waiter)
{
    if (waiter->next != NULL) {
        waiter->next->previous = waiter->previous;
    }
    if (waiter->previous != NULL) {
        waiter->previous->next = waiter->next;
    }
    else if (waiter->loop->waiters == waiter) {
        waiter->loop->waiters = waiter->next;
    }
    waiter->next = NULL;
    waiter->previous = NULL;
}

/* ---- the end ---- */

/* Give up the fd, the socket and the data. Keeps a pending exception. May run
 * Python code. */
static void
give_up(Waiter *waiter)
{
    Callback *watcher = waiter->watcher;
    PyObject *pending = NULL;

    if (watcher == NULL) {
        return;
    }
    pending = PyErr_GetRaisedException();
    waiter->watcher = NULL;
    link_out(waiter);
    /* If it is cancelled, another reader or writer has taken its place. */
    if (!callback_is_cancelled(watcher)) {
        loop_unwatch(waiter->loop, waiter->fd, waiter->kind);
    }
    Py_DECREF(watcher);
    PyBuffer_Release(&waiter->data);
    Py_CLEAR(waiter->arg);
    let_go(waiter);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

/* The same for an entry point; 0, or -1 with RuntimeError. */
static int
give_up_checked(Waiter *waiter)
{
    int entered = loop_enter(waiter->loop);

    if (entered < 0) {
        return -1;
    }
    give_up(waiter);
    loop_leave(waiter->loop, entered);
    return 0;
}

static PyObject *
give_up_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    give_up(CAST(Waiter, self));
    Py_RETURN_NONE;
}

static PyMethodDef give_up_def = {
    "sock_give_up", give_up_meth, METH_NOARGS, NULL};

/* Have the loop give up, which another thread has; 0 or -1. */
static int
give_up_there(Waiter *waiter)
{
    PyObject *callable = PyCFunction_New(&give_up_def, (PyObject *)waiter);
    int err = -1;

    if (callable != NULL) {
        err = loop_call_soon_threadsafe(waiter->loop, callable);
        Py_DECREF(callable);
    }
    return err;
}

/* Who awaited it was dropped, in whatever thread the collector ran. Keeps a
 * pending exception. */
static void
give_up_dropped(Waiter *waiter)
{
    PyObject *pending = NULL;
    int entered = 0;

    if (waiter->watcher == NULL) {
        return;
    }
    pending = PyErr_GetRaisedException();
    entered = loop_enter_unchecked(waiter->loop);
    if (entered < 0) {
        PyErr_Clear(); /* then there */
    }
    if (entered >= 0 || give_up_there(waiter) < 0) {
        PyErr_Clear(); /* the loop has ended meanwhile: here after all */
        give_up(waiter);
        loop_leave(waiter->loop, entered);
    }
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

/* Tell who awaits it, in a turn to come, as a future does; 0 or -1. */
static int
tell(Waiter *waiter)
{
    PyObject *callback = waiter->callback;
    PyObject *context = waiter->context;
    PyObject *self = (PyObject *)waiter;
    int err = 0;

    if (callback == NULL) {
        return 0;
    }
    waiter->callback = NULL;
    waiter->context = NULL;
    err = loop_check_closed(waiter->loop);
    if (err == 0) {
        err = loop_call_soon(waiter->loop, callback, context, &self, 1);
    }
    Py_DECREF(callback);
    Py_XDECREF(context);
    return err;
}

/* The pending exception, as a future has it: StopIteration would end who
 * awaits it with a result. */
static PyObject *
take_error(void)
{
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *error = NULL;

    if (!PyErr_GivenExceptionMatches(raised, PyExc_StopIteration)) {
        return raised;
    }
    PyErr_SetString(PyExc_RuntimeError,
                    "StopIteration interacts badly with generators and "
                    "cannot be raised into a Future");
    error = PyErr_GetRaisedException();
    PyException_SetCause(error, Py_NewRef(raised));
    PyException_SetContext(error, raised);
    return error;
}

/* Make the call once more: 1 if the waiter is done, 0 if it would block, -1
 * with what shall stop the loop. */
static int
try_again(Waiter *waiter)
{
    PyObject *arg = Py_XNewRef(waiter->arg); /* the call may cancel us */
    PyObject *result = NULL;
    int outcome = waiter->call(waiter, &result);

    Py_XDECREF(arg);
    if (outcome < 0 && (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
                        PyErr_ExceptionMatches(PyExc_SystemExit))) {
        return -1;
    }
    if (waiter->state != WAITER_PENDING) {
        PyErr_Clear(); /* a method of the socket has cancelled it */
        Py_XDECREF(result);
        return 1;
    }
    if (outcome == 0) {
        return 0;
    }
    waiter->state = WAITER_DONE;
    waiter->result = result;
    waiter->error = outcome < 0 ? take_error() : NULL;
    return 1;
}

/* The fd is ready. */
static PyObject *
ready_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Waiter *waiter = CAST(Waiter, self);
    Loop *loop = waiter->loop;
    int outcome = 0;
    int err = 0;

    if (waiter->state != WAITER_PENDING || waiter->watcher == NULL) {
        Py_RETURN_NONE;
    }
    outcome = try_again(waiter);
    if (outcome > 0) {
        give_up(waiter);
        err = tell(waiter);
    }
    else if (waiter->watcher != NULL &&
             !callback_is_cancelled(waiter->watcher)) {
        PyObject *pending = PyErr_GetRaisedException();

        err =
            poll_watch(&loop->poll, waiter->fd, waiter->kind, waiter->watcher);
        if (pending != NULL) {
            PyErr_SetRaisedException(pending); /* in the place of another */
        }
    }
    if (outcome < 0 || err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef ready_def = {"sock_ready", ready_meth, METH_NOARGS, NULL};

Waiter *
waiter_new(Loop *loop, PyObject *sock, WatchKind kind, WaiterCall call)
{
    PyTypeObject *type = loop->st->types[TYPE_WAITER];
    Waiter *waiter = (Waiter *)type->tp_alloc(type, 0);

    if (waiter != NULL) {
        waiter->loop = (Loop *)Py_NewRef(loop);
        waiter->sock = Py_NewRef(sock);
        waiter->fd = -1;
        waiter->kind = kind;
        waiter->call = call;
    }
    return waiter;
}

int
waiter_start(Waiter *waiter, int fd)
{
    Loop *loop = waiter->loop;
    PyObject *ready = PyCFunction_New(&ready_def, (PyObject *)waiter);
    Callback *watcher = NULL;
    int err = -1;

    if (ready != NULL) {
        loop_touch(loop);
        watcher = callback_new(&loop->host, ready, NULL, NULL, 0);
        Py_DECREF(ready);
    }
    if (watcher != NULL) {
        watcher->flags |= CALLBACK_ONCE;
        waiter->fd = fd;
        err = poll_watch(&loop->poll, fd, waiter->kind, watcher);
    }
    if (err < 0) {
        Py_XDECREF(watcher);
        return -1;
    }
    waiter->watcher = watcher;
    link_in(waiter);
    err = hold(waiter);
    if (err < 0) {
        give_up(waiter);
    }
    else if (!border_is_running(&loop->border)) {
        callback_settle(watcher);
    }
    return err;
}

void
waiter_abandon_all(Loop *loop)
{
    while (loop->waiters != NULL) {
        Waiter *waiter = (Waiter *)Py_NewRef(loop->waiters);

        give_up(waiter);
        Py_DECREF(waiter);
    }
}

/* ---- awaiting ---- */

/* The pending exception is CancelledError. */
static void
raise_cancelled(Waiter *waiter)
{
    PyObject *type = waiter->loop->st->objects[OBJECT_CANCELLED_ERROR];
    PyObject *error = waiter->message == NULL
                          ? PyObject_CallNoArgs(type)
                          : PyObject_CallOneArg(type, waiter->message);

    if (error != NULL) {
        PyErr_SetObject(type, error);
        Py_DECREF(error);
    }
}

/* New reference, or NULL with the exception that it ended with. */
static PyObject *
outcome_of(Waiter *waiter)
{
    if (waiter->state == WAITER_CANCELLED) {
        raise_cancelled(waiter);
        return NULL;
    }
    if (waiter->error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(waiter->error), waiter->error);
        return NULL;
    }
    return Py_NewRef(waiter->result == NULL ? Py_None : waiter->result);
}

static PySendResult
waiter_am_send(PyObject *self, PyObject *Py_UNUSED(value), PyObject **result)
{
    Waiter *waiter = CAST(Waiter, self);

    if (waiter->state == WAITER_PENDING) {
        if (waiter->blocking) {
            *result = NULL;
            PyErr_SetString(PyExc_RuntimeError,
                            "await wasn't used with future");
            return PYGEN_ERROR;
        }
        waiter->blocking = true;
        *result = Py_NewRef(self);
        return PYGEN_NEXT;
    }
    *result = outcome_of(waiter);
    /* The error's traceback holds the frame that holds us. */
    Py_CLEAR(waiter->error);
    return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

static PyObject *
waiter_tp_iternext(PyObject *self)
{
    PyObject *result = NULL;
    PyObject *stop = NULL;

    if (waiter_am_send(self, Py_None, &result) != PYGEN_RETURN) {
        return result;
    }
    /* Not by PyErr_SetObject alone, which spreads a tuple. */
    stop = PyObject_CallOneArg(PyExc_StopIteration, result);
    Py_DECREF(result);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    return NULL;
}

PyDoc_STRVAR(throw_doc,
             "throw($self, type, value=None, traceback=None, /)\n--\n\n"
             "Give up, and raise that: the coroutine is thrown into.");

static PyObject *
throw_meth(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Waiter *waiter = CAST(Waiter, self);
    PyObject *type = nargs > 0 ? args[0] : Py_None;

    if (give_up_checked(waiter) < 0) {
        return NULL;
    }
    Py_CLEAR(waiter->error); /* as above */
    if (PyExceptionInstance_Check(type)) {
        PyErr_SetRaisedException(Py_NewRef(type));
    }
    else if (PyExceptionClass_Check(type)) {
        PyErr_SetObject(type, nargs > 1 ? args[1] : NULL);
    }
    else {
        PyErr_SetString(PyExc_TypeError,
                        "exceptions must be classes or instances deriving "
                        "from BaseException");
    }
    return NULL;
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\nGive up.");

static PyObject *
close_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    give_up_dropped(CAST(Waiter, self));
    Py_RETURN_NONE;
}

/* ---- what a task asks of a future ---- */

PyDoc_STRVAR(add_done_callback_doc,
             "add_done_callback($self, callback, /, *, context=None)\n--\n\n"
             "Have callback(self) called, by call_soon(), once it is done. "
             "There is one at most: its task's.");

static PyObject *
add_done_callback_meth(PyObject *self,
                       PyObject *const *args,
                       Py_ssize_t nargs,
                       PyObject *kwnames)
{
    static const short names[] = {NAME_callback, NAME_context};
    static const ArgSpec spec = {"add_done_callback", 1, 1, 2, names};
    Waiter *waiter = CAST(Waiter, self);
    PyObject *found[2] = {NULL};

    if (args_spread(
            &spec, waiter->loop->st->names, args, nargs, kwnames, found) < 0) {
        return NULL;
    }
    if (waiter->callback != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "it is awaited already");
        return NULL;
    }
    waiter->callback = Py_NewRef(found[0]);
    waiter->context = found[1] == NULL || found[1] == Py_None
                          ? PyContext_CopyCurrent()
                          : Py_NewRef(found[1]);
    if (waiter->context == NULL) {
        Py_CLEAR(waiter->callback);
        return NULL;
    }
    if (waiter->state != WAITER_PENDING && tell(waiter) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(remove_done_callback_doc,
             "remove_done_callback($self, callback, /)\n--\n\n"
             "Have it called no more; how many there were.");

static PyObject *
remove_done_callback_meth(PyObject *self, PyObject *callback)
{
    Waiter *waiter = CAST(Waiter, self);
    int same =
        waiter->callback == NULL
            ? 0
            : PyObject_RichCompareBool(waiter->callback, callback, Py_EQ);

    if (same < 0) {
        return NULL;
    }
    if (same > 0) {
        Py_CLEAR(waiter->callback);
        Py_CLEAR(waiter->context);
    }
    return PyLong_FromLong(same);
}

PyDoc_STRVAR(cancel_doc,
             "cancel($self, /, msg=None)\n--\n\n"
             "Give up and cancel; False if it is done already.");

static PyObject *
cancel_meth(PyObject *self,
            PyObject *const *args,
            Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const short names[] = {NAME_msg};
    static const ArgSpec spec = {"cancel", 0, 1, 1, names};
    Waiter *waiter = CAST(Waiter, self);
    PyObject *message = NULL;

    if (args_spread(
            &spec, waiter->loop->st->names, args, nargs, kwnames, &message) <
        0) {
        return NULL;
    }
    if (waiter->state != WAITER_PENDING) {
        Py_RETURN_FALSE;
    }
    if (give_up_checked(waiter) < 0) {
        return NULL;
    }
    waiter->state = WAITER_CANCELLED;
    if (message != NULL && message != Py_None) {
        Py_XSETREF(waiter->message, Py_NewRef(message));
    }
    if (tell(waiter) < 0) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

PyDoc_STRVAR(result_doc,
             "result($self, /)\n--\n\n"
             "What the call returned; raises what it raised, or "
             "CancelledError.");

static PyObject *
result_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Waiter *waiter = CAST(Waiter, self);

    if (waiter->state == WAITER_PENDING) {
        PyErr_SetString(waiter->loop->st->objects[OBJECT_INVALID_STATE],
                        "Result is not set.");
        return NULL;
    }
    return outcome_of(waiter);
}

PyDoc_STRVAR(exception_doc,
             "exception($self, /)\n--\n\n"
             "What the call raised, or None; raises CancelledError.");

static PyObject *
exception_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Waiter *waiter = CAST(Waiter, self);

    if (waiter->state == WAITER_PENDING) {
        PyErr_SetString(waiter->loop->st->objects[OBJECT_INVALID_STATE],
                        "Exception is not set.");
        return NULL;
    }
    if (waiter->state == WAITER_CANCELLED) {
        raise_cancelled(waiter);
        return NULL;
    }
    return Py_NewRef(waiter->error == NULL ? Py_None : waiter->error);
}

PyDoc_STRVAR(done_doc, "done($self, /)\n--\n\nWhether it is over.");

static PyObject *
done_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(CAST(Waiter, self)->state != WAITER_PENDING);
}

PyDoc_STRVAR(cancelled_doc,
             "cancelled($self, /)\n--\n\nWhether it was cancelled.");

static PyObject *
cancelled_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(CAST(Waiter, self)->state == WAITER_CANCELLED);
}

PyDoc_STRVAR(get_loop_doc, "get_loop($self, /)\n--\n\nIts loop.");

static PyObject *
get_loop_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef((PyObject *)CAST(Waiter, self)->loop);
}

/* ---- slots ---- */

static PyObject *
waiter_tp_repr(PyObject *self)
{
    static const char *const states[] = {
        [WAITER_PENDING] = "pending",
        [WAITER_DONE] = "finished",
        [WAITER_CANCELLED] = "cancelled",
    };
    Waiter *waiter = CAST(Waiter, self);

    return PyUnicode_FromFormat(
        "<Waiter %s sock=%R>", states[waiter->state], waiter->sock);
}

static int
waiter_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    Waiter *waiter = CAST(Waiter, self);

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(waiter->loop);
    Py_VISIT(waiter->watcher);
    Py_VISIT(waiter->sock);
    Py_VISIT(waiter->arg);
    Py_VISIT(waiter->data.obj);
    Py_VISIT(waiter->result);
    Py_VISIT(waiter->error);
    Py_VISIT(waiter->message);
    Py_VISIT(waiter->callback);
    Py_VISIT(waiter->context);
    return 0;
}

static int
waiter_tp_clear(PyObject *self)
{
    Waiter *waiter = CAST(Waiter, self);

    Py_CLEAR(waiter->arg);
    PyBuffer_Release(&waiter->data);
    Py_CLEAR(waiter->result);
    Py_CLEAR(waiter->error);
    Py_CLEAR(waiter->message);
    Py_CLEAR(waiter->callback);
    Py_CLEAR(waiter->context);
    return 0;
}

static void
waiter_tp_finalize(PyObject *self)
{
    give_up_dropped(CAST(Waiter, self)); /* with its loop, maybe */
}

static void
waiter_tp_dealloc(PyObject *self)
{
    Waiter *waiter = CAST(Waiter, self);
    PyTypeObject *type = Py_TYPE(self);

    if (waiter->watcher != NULL &&
        PyObject_CallFinalizerFromDealloc(self) < 0) {
        return; /* resurrected: the loop has it */
    }
    PyObject_GC_UnTrack(self);
    give_up(waiter);             /* the loop was closed before it did */
    (void)waiter_tp_clear(self); /* always 0 */
    Py_CLEAR(waiter->sock);
    Py_CLEAR(waiter->loop);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"add_done_callback",
     METHOD(add_done_callback_meth),
     METH_FASTCALL | METH_KEYWORDS,
     add_done_callback_doc},
    {"cancel", METHOD(cancel_meth), METH_FASTCALL | METH_KEYWORDS, cancel_doc},
    {"exception", exception_meth, METH_NOARGS, exception_doc},
    {"remove_done_callback",
     remove_done_callback_meth,
     METH_O,
     remove_done_callback_doc},
    {"result", result_meth, METH_NOARGS, result_doc},
    {"done", done_meth, METH_NOARGS, done_doc},
    {"cancelled", cancelled_meth, METH_NOARGS, cancelled_doc},
    {"get_loop", get_loop_meth, METH_NOARGS, get_loop_doc},
    {"throw", METHOD(throw_meth), METH_FASTCALL, throw_doc},
    {"close", close_meth, METH_NOARGS, close_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"_asyncio_future_blocking",
     Py_T_BOOL,
     offsetof(Waiter, blocking),
     0,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

/* To isinstance() it is a future, too: who looks at what a task waits for, as
 * anyio does before it cancels, asks by that. */
static PyObject *
class_get(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(CAST(Waiter, self)->loop->st->objects[OBJECT_FUTURE]);
}

static PyGetSetDef getset[] = {
    {"__class__", class_get, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(waiter_doc, "What a sock_* call awaits: to a task, a future.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)waiter_doc},
    {Py_tp_repr, waiter_tp_repr},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, waiter_tp_iternext},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, waiter_am_send},
    {Py_tp_traverse, waiter_tp_traverse},
    {Py_tp_clear, waiter_tp_clear},
    {Py_tp_finalize, waiter_tp_finalize},
    {Py_tp_dealloc, waiter_tp_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "uvloop_core._core.Waiter",
    .basicsize = sizeof(Waiter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

int
waiter_register(PyObject *module, State *st)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);

    st->types[TYPE_WAITER] = (PyTypeObject *)type;
    return type == NULL ? -1 : PyModule_AddObjectRef(module, "Waiter", type);
}
