#include "fs_event.h"

#include "args.h"
#include "errors.h"

typedef struct {
    Handle handle;
    uv_fs_event_t uv;
    PyObject *callback; /* owned */
    PyObject *context;  /* owned: where it is called */
    PyObject *weakrefs;
} FsEvent;

static Loop *
event_loop(FsEvent *event)
{
    return CAST(Loop, event->handle.loop);
}

/* ---- telling ---- */

/* Called by the ring: (name, events). */
static PyObject *
call_back(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    FsEvent *event = CAST(FsEvent, self);
    PyObject *callback = event->callback;
    PyObject *result = NULL;

    if (event->handle.state != HANDLE_OPEN || callback == NULL) {
        Py_RETURN_NONE; /* cancelled since */
    }
    Py_INCREF(callback);
    result = PyObject_Vectorcall(callback, args, (size_t)nargs, NULL);
    Py_DECREF(callback);
    return result;
}

/* What the ready ring calls; not to be found on the type. */
static PyMethodDef call_back_def = {
    "_call_back", METHOD(call_back), METH_FASTCALL, "Something has changed."};

/* Have the callback told of it in a later turn: libuv reads on while events
 * come, so one that changes the file would never come back. 0 or -1. */
static int
schedule(FsEvent *event, const char *name, int events)
{
    PyObject *callable = PyCFunction_New(&call_back_def, (PyObject *)event);
    PyObject *args[2] = {NULL, NULL};
    int err = -1;

    args[0] = name == NULL ? Py_NewRef(Py_None) : PyBytes_FromString(name);
    args[1] = PyLong_FromLong(events);
    if (callable != NULL && args[0] != NULL && args[1] != NULL) {
        err = loop_call_soon(
            event_loop(event), callable, event->context, args, 2);
    }
    Py_XDECREF(args[1]);
    Py_XDECREF(args[0]);
    Py_XDECREF(callable);
    return err;
}

static void
handle_event(FsEvent *event, const char *name, int events, int status)
{
    int err = 0;

    if (event->handle.state != HANDLE_OPEN) {
        return;
    }
    err = status < 0 ? raise_uv(event_loop(event)->st, status)
                     : schedule(event, name, events);
    if (err < 0) {
        loop_report(event_loop(event),
                    "A change of a file could not be told",
                    NAME_handle,
                    (PyObject *)event);
    }
}

static void
on_event(uv_fs_event_t *uv, const char *name, int events, int status)
{
    assert_attached();
    handle_event(uv->data, name, events, status);
}

/* ---- HandleOps ---- */

/* As with timers and readers, nothing is lost: no warning. */
static void
shut(Handle *handle)
{
    handle_close(handle);
}

/* Not reached: its descriptor is libuv's own, and no handle owns it. */
static void
failed(Handle *handle, int err)
{
    (void)err;
    handle_close(handle);
}

static const HandleOps fs_event_ops = {.shut = shut, .failed = failed};

/* ---- monitor_fs ---- */

/* New reference, or NULL with an exception. */
static PyObject *
start(Loop *loop, const char *path, PyObject *callback)
{
    PyTypeObject *type = loop->st->types[TYPE_FS_EVENT];
    FsEvent *event = (FsEvent *)type->tp_alloc(type, 0);
    int err = 0;

    if (event == NULL) {
        return NULL;
    }
    event->context = PyContext_CopyCurrent();
    if (event->context == NULL) {
        Py_DECREF(event);
        return NULL;
    }
    event->callback = Py_NewRef(callback);
    loop_touch(loop);
    err = uv_fs_event_init(&loop->uv, &event->uv);
    if (err == 0) {
        handle_open(&event->handle,
                    &fs_event_ops,
                    &loop->registry,
                    (uv_handle_t *)&event->uv);
        err = uv_fs_event_start(&event->uv, on_event, path, 0);
    }
    if (err < 0) {
        (void)raise_uv(loop->st, err); /* always -1 */
        handle_close(&event->handle);
        Py_DECREF(event);
        return NULL;
    }
    return (PyObject *)event;
}

PyDoc_STRVAR(monitor_fs_doc,
             "monitor_fs($module, loop, path, callback, /)\n--\n\n"
             "Call callback(name, events) when path, a file or a folder, "
             "changes, until\ncancel() of the FSEvent that is returned.\n\n"
             "name: of the file, as bytes. events: 1 renamed (made, removed), "
             "2 changed, 3 both.\nRaises OSError.");

static PyObject *
monitor_fs_meth(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    State *st = PyModule_GetState(module);
    PyObject *path = NULL;
    PyObject *event = NULL;

    if (nargs != 3) {
        return PyErr_Format(PyExc_TypeError,
                            "monitor_fs() takes 3 arguments (%zd given)",
                            nargs);
    }
    if (!PyObject_TypeCheck(args[0], st->types[TYPE_LOOP]) ||
        !PyCallable_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError,
                        "monitor_fs() expects a loop and a callable");
        return NULL;
    }
    if (loop_check_closed(CAST(Loop, args[0])) < 0 ||
        loop_check_thread(CAST(Loop, args[0])) < 0 ||
        !PyUnicode_FSConverter(args[1], &path)) {
        return NULL;
    }
    event = start(CAST(Loop, args[0]), PyBytes_AS_STRING(path), args[2]);
    Py_DECREF(path);
    return event;
}

/* ---- the type ---- */

PyDoc_STRVAR(cancel_doc,
             "cancel($self, /)\n--\n\n"
             "Tell of no more changes.");

static PyObject *
cancel_meth(PyObject *self, PyObject *unused)
{
    FsEvent *event = CAST(FsEvent, self);

    (void)unused;
    if (loop_check_thread(event_loop(event)) < 0) {
        return NULL;
    }
    handle_close(&event->handle);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(cancelled_doc,
             "cancelled($self, /)\n--\n\n"
             "True once cancel() was called, or the loop was closed.");

static PyObject *
cancelled_meth(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(CAST(FsEvent, self)->handle.state != HANDLE_OPEN);
}

static int
fs_event_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    FsEvent *event = CAST(FsEvent, self);

    Py_VISIT(event->callback);
    Py_VISIT(event->context);
    return handle_traverse(&event->handle, visit, arg);
}

static int
fs_event_tp_clear(PyObject *self)
{
    FsEvent *event = CAST(FsEvent, self);

    Py_CLEAR(event->callback);
    Py_CLEAR(event->context);
    handle_clear(&event->handle);
    return 0;
}

static void
fs_event_tp_dealloc(PyObject *self)
{
    FsEvent *event = CAST(FsEvent, self);
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (event->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    assert(event->handle.state == HANDLE_NEW ||
           event->handle.state == HANDLE_CLOSED);
    (void)fs_event_tp_clear(self); /* always 0 */
    Py_CLEAR(event->handle.loop);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(fs_event_doc,
             "Watches a file or a folder. Made by monitor_fs, not directly.");

static PyMethodDef methods[] = {
    {"cancel", cancel_meth, METH_NOARGS, cancel_doc},
    {"cancelled", cancelled_meth, METH_NOARGS, cancelled_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__",
     Py_T_PYSSIZET,
     offsetof(FsEvent, weakrefs),
     Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)fs_event_doc},
    {Py_tp_traverse, fs_event_tp_traverse},
    {Py_tp_clear, fs_event_tp_clear},
    {Py_tp_dealloc, fs_event_tp_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "uvloop_core._core.FSEvent",
    .basicsize = sizeof(FsEvent),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

static PyMethodDef functions[] = {
    {"monitor_fs", METHOD(monitor_fs_meth), METH_FASTCALL, monitor_fs_doc},
    {NULL, NULL, 0, NULL},
};

int
fs_event_register(PyObject *module, State *st)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);

    if (type == NULL) {
        return -1;
    }
    st->types[TYPE_FS_EVENT] = (PyTypeObject *)type;
    if (PyModule_AddObjectRef(module, "FSEvent", type) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
