/* SSLTransport: what the application has of a TLS connection. */
#include "tls.h"

#include "args.h"

/* As asyncio: write() is dropped in silence so often. */
#define LOST_WRITES_BEFORE_WARNING 5

static inline Tls *
tls_of(PyObject *self)
{
    return CAST(SslTransport, self)->tls;
}

/* Every method that works on the connection is between these two: the calls
 * to the protocol that come of it are made from inside Python code. */
static int
enter(Tls *tls)
{
    int entered = loop_enter(tls->loop);

    if (entered >= 0) {
        tls->nested++;
    }
    return entered;
}

/* None, or NULL if err is -1. */
static PyObject *
leave(Tls *tls, int entered, int err)
{
    tls->nested--;
    loop_leave(tls->loop, entered);
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- the end ---- */

static PyObject *
close_meth(PyObject *self, PyObject *unused)
{
    Tls *tls = tls_of(self);
    int entered = enter(tls);

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    return leave(tls, entered, tls_start_shutdown(tls));
}

static PyObject *
force_close_meth(PyObject *self, PyObject *exc)
{
    Tls *tls = tls_of(self);
    int entered = enter(tls);

    if (entered < 0) {
        return NULL;
    }
    tls_abort(tls, exc);
    return leave(tls, entered, 0);
}

static PyObject *
abort_meth(PyObject *self, PyObject *unused)
{
    (void)unused;
    return force_close_meth(self, Py_None);
}

static PyObject *
is_closing_meth(PyObject *self, PyObject *unused)
{
    Tls *tls = tls_of(self);

    (void)unused;
    if (tls->closing || tls->lower == NULL) {
        return PyBool_FromLong(tls->closing);
    }
    return tls_call(tls, tls->lower, NAME_is_closing, NULL);
}

/* ---- the protocol ---- */

static PyObject *
get_protocol_meth(PyObject *self, PyObject *unused)
{
    Tls *tls = tls_of(self);
    PyObject *protocol = NULL;
    int entered = loop_enter_unchecked(tls->loop);

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    protocol = tls->protocol;
    protocol = Py_NewRef(protocol == NULL ? Py_None : protocol);
    loop_leave(tls->loop, entered);
    return protocol;
}

static PyObject *
set_protocol_meth(PyObject *self, PyObject *protocol)
{
    Tls *tls = tls_of(self);
    int entered = enter(tls);
    int fills = 0;

    if (entered < 0) {
        return NULL;
    }
    fills = transport_fills_buffers(tls_state(tls), protocol);
    if (fills >= 0 && tls->phase != TLS_LOST) {
        tls->fills_buffers = fills == 1;
        Py_XSETREF(tls->protocol, Py_NewRef(protocol));
    }
    return leave(tls, entered, fills);
}

/* ---- reading ---- */

static PyObject *
is_reading_meth(PyObject *self, PyObject *unused)
{
    Tls *tls = tls_of(self);

    (void)unused;
    return PyBool_FromLong(!tls->closing && !tls->paused);
}

static PyObject *
pause_reading_meth(PyObject *self, PyObject *unused)
{
    Tls *tls = tls_of(self);
    int entered = enter(tls);

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    tls->paused = true;
    return leave(tls, entered, 0);
}

static PyObject *
resume_reading_meth(PyObject *self, PyObject *unused)
{
    Tls *tls = tls_of(self);
    int entered = enter(tls);
    int err = 0;

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    if (tls->paused) {
        tls->paused = false;
        if (tls->phase == TLS_OPEN && !tls->loop->closed) {
            err = tls_read_soon(tls);
        }
    }
    return leave(tls, entered, err);
}

static PyObject *
get_read_buffer_size_meth(PyObject *self, PyObject *unused)
{
    Tls *tls = tls_of(self);
    Py_ssize_t size = 0;
    int entered = loop_enter_unchecked(tls->loop);

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    size = tls_unread(tls);
    loop_leave(tls->loop, entered);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

/* ---- writing ---- */

/* True if the connection is at its end and the data is to be dropped. */
static bool
drops_write(Tls *tls)
{
    if (tls->phase < TLS_FLUSHING) {
        return false;
    }
    if (tls->drops >= LOST_WRITES_BEFORE_WARNING) {
        transport_log(tls_state(tls),
                      NAME_warning,
                      "SSL connection is closed",
                      (PyObject *)tls,
                      NULL);
    }
    tls->drops++;
    return true;
}

/* Export what is bytes-like: 0 or -1. */
static int
get_view(PyObject *data, Py_buffer *view)
{
    if (!PyObject_CheckBuffer(data)) {
        PyObject *name = PyType_GetName(Py_TYPE(data));

        if (name != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "data: expecting a bytes-like instance, got %U",
                         name);
            Py_DECREF(name);
        }
        return -1;
    }
    return PyObject_GetBuffer(data, view, PyBUF_SIMPLE);
}

static PyObject *
write_meth(PyObject *self, PyObject *data)
{
    Tls *tls = tls_of(self);
    int entered = enter(tls);
    Py_buffer view = {0};
    int err = 0;

    if (entered < 0) {
        return NULL;
    }
    err = get_view(data, &view);
    if (err == 0) {
        if (view.len > 0 && !drops_write(tls)) {
            err = tls_write(tls, data, view.buf, (size_t)view.len);
        }
        PyBuffer_Release(&view);
    }
    return leave(tls, entered, err);
}

/* The lines as one bytes object: several records share what one would take
 * each. New reference, or NULL. A tuple is one argument, too: hence "(O)". */
static PyObject *
join_lines(PyObject *lines)
{
    PyObject *empty = PyBytes_FromStringAndSize(NULL, 0);
    PyObject *joined = NULL;

    if (empty != NULL) {
        joined = PyObject_CallMethod(empty, "join", "(O)", lines);
        Py_DECREF(empty);
    }
    return joined;
}

static PyObject *
writelines_meth(PyObject *self, PyObject *lines)
{
    PyObject *joined = join_lines(lines);
    PyObject *result = NULL;

    if (joined != NULL) {
        result = write_meth(self, joined);
        Py_DECREF(joined);
    }
    return result;
}

static PyObject *
append_write_backlog_meth(PyObject *self, PyObject *data)
{
    Tls *tls = tls_of(self);
    int entered = enter(tls);
    Py_buffer view = {0};
    int err = 0;

    if (entered < 0) {
        return NULL;
    }
    err = get_view(data, &view);
    if (err == 0) {
        err = tls_queue(tls, data, view.buf, (size_t)view.len);
        PyBuffer_Release(&view);
    }
    return leave(tls, entered, err);
}

static PyObject *
write_eof_meth(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    PyErr_SetNone(PyExc_NotImplementedError);
    return NULL;
}

static PyObject *
can_write_eof_meth(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_FALSE;
}

static PyObject *
get_write_buffer_size_meth(PyObject *self, PyObject *unused)
{
    Tls *tls = tls_of(self);
    Py_ssize_t size = 0;
    int entered = loop_enter_unchecked(tls->loop);

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    size = tls_unsent(tls);
    loop_leave(tls->loop, entered);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

/* ---- limits ---- */

static PyObject *
build_limits(Tls *tls, const Limits *limits)
{
    Limits copy = {0, 0};
    int entered = loop_enter_unchecked(tls->loop);

    if (entered < 0) {
        return NULL;
    }
    copy = *limits;
    loop_leave(tls->loop, entered);
    return Py_BuildValue("nn", (Py_ssize_t)copy.low, (Py_ssize_t)copy.high);
}

static PyObject *
get_write_buffer_limits_meth(PyObject *self, PyObject *unused)
{
    (void)unused;
    return build_limits(tls_of(self), &tls_of(self)->write_limits);
}

static PyObject *
get_read_buffer_limits_meth(PyObject *self, PyObject *unused)
{
    (void)unused;
    return build_limits(tls_of(self), &tls_of(self)->read_limits);
}

/* Set one of them by a method's arguments, and do at once what follows from
 * that. */
static PyObject *
set_limits(Tls *tls,
           Limits *limits,
           int (*control)(Tls *),
           const LimitArgs *given,
           PyObject *const *args,
           Py_ssize_t nargs,
           PyObject *kwnames)
{
    Limits wanted = {0, 0};
    int entered = 0;

    if (transport_parse_limits(
            tls_state(tls), given, args, nargs, kwnames, &wanted) < 0) {
        return NULL;
    }
    entered = enter(tls);
    if (entered < 0) {
        return NULL;
    }
    *limits = wanted;
    return leave(tls, entered, control(tls));
}

static PyObject *
set_write_buffer_limits_meth(PyObject *self,
                             PyObject *const *args,
                             Py_ssize_t nargs,
                             PyObject *kwnames)
{
    static const LimitArgs given = {"set_write_buffer_limits",
                                    TLS_WRITE_HIGH_WATER};
    Tls *tls = tls_of(self);

    return set_limits(tls,
                      &tls->write_limits,
                      tls_control_writing,
                      &given,
                      args,
                      nargs,
                      kwnames);
}

static PyObject *
set_read_buffer_limits_meth(PyObject *self,
                            PyObject *const *args,
                            Py_ssize_t nargs,
                            PyObject *kwnames)
{
    static const LimitArgs given = {"set_read_buffer_limits",
                                    TLS_READ_HIGH_WATER};
    Tls *tls = tls_of(self);

    return set_limits(tls,
                      &tls->read_limits,
                      tls_control_reading,
                      &given,
                      args,
                      nargs,
                      kwnames);
}

/* ---- get_extra_info ---- */

static bool
is_name(Tls *tls, PyObject *name, NameIndex index)
{
    return PyUnicode_Check(name) &&
           PyUnicode_Compare(name, tls_name(tls, index)) == 0;
}

/* What TLS itself knows; borrowed, or NULL without an exception. */
static PyObject *
find_extra(Tls *tls, PyObject *name)
{
    if (is_name(tls, name, NAME_sslcontext)) {
        return tls->sslcontext;
    }
    if (is_name(tls, name, NAME_peercert)) {
        return tls->peercert;
    }
    if (is_name(tls, name, NAME_cipher)) {
        return tls->cipher;
    }
    if (is_name(tls, name, NAME_compression)) {
        return tls->compression;
    }
    if (is_name(tls, name, NAME_ssl_object) && tls->compression != NULL) {
        return tls->ssl;
    }
    return NULL;
}

/* What the transport below has: new reference, or NULL. */
static PyObject *
ask_lower(Tls *tls, PyObject *name, PyObject *otherwise)
{
    PyObject *args[3] = {tls->lower, name, otherwise};
    PyObject *found = NULL;

    if (tls->lower == NULL) {
        return Py_NewRef(otherwise);
    }
    Py_INCREF(args[0]);
    found = PyObject_VectorcallMethod(
        tls_name(tls, NAME_get_extra_info), args, 3, NULL);
    Py_DECREF(args[0]);
    return found;
}

static PyObject *
get_extra_info_meth(PyObject *self,
                    PyObject *const *args,
                    Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const short names[] = {NAME_name, NAME_default};
    static const ArgSpec spec = {"get_extra_info", 1, 2, 2, names};
    Tls *tls = tls_of(self);
    PyObject *out[2];
    PyObject *found = NULL;
    int entered = 0;

    if (args_spread(&spec, tls_state(tls)->names, args, nargs, kwnames, out) <
        0) {
        return NULL;
    }
    entered = loop_enter_unchecked(tls->loop);
    if (entered < 0) {
        return NULL;
    }
    found = Py_XNewRef(find_extra(tls, out[0]));
    if (found == NULL) {
        found = ask_lower(tls, out[0], out[1] == NULL ? Py_None : out[1]);
    }
    loop_leave(tls->loop, entered);
    return found;
}

static PyObject *
transport_tp_repr(PyObject *self)
{
    Tls *tls = tls_of(self);
    PyObject *name = PyType_GetName(Py_TYPE(self));
    PyObject *text = NULL;

    if (name != NULL) {
        text = PyUnicode_FromFormat("<%U closed=%s reading=%s %p>",
                                    name,
                                    tls->phase == TLS_LOST ? "True" : "False",
                                    !tls->closing && !tls->paused ? "True"
                                                                  : "False",
                                    self);
        Py_DECREF(name);
    }
    return text;
}

static PyObject *
loop_get(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef((PyObject *)tls_of(self)->loop);
}

static PyObject *
ssl_protocol_get(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef((PyObject *)tls_of(self));
}

static PyObject *
closing_get(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(tls_of(self)->closing);
}

static PyObject *
protocol_paused_get(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(tls_of(self)->write_paused);
}

PyDoc_STRVAR(close_doc,
             "close($self, /)\n--\n\n"
             "Close the connection once what was written has been sent.");
PyDoc_STRVAR(abort_doc,
             "abort($self, /)\n--\n\n"
             "Close the connection at once; what is buffered is lost.");
PyDoc_STRVAR(force_close_doc,
             "_force_close($self, exc, /)\n--\n\n"
             "The same, with exc for connection_lost.");
PyDoc_STRVAR(is_closing_doc,
             "is_closing($self, /)\n--\n\n"
             "True if the transport is closing or closed.");
PyDoc_STRVAR(get_protocol_doc,
             "get_protocol($self, /)\n--\n\n"
             "The protocol; None once the connection is lost.");
PyDoc_STRVAR(set_protocol_doc,
             "set_protocol($self, protocol, /)\n--\n\n"
             "Use another protocol from now on.");
PyDoc_STRVAR(is_reading_doc,
             "is_reading($self, /)\n--\n\n"
             "True if the transport receives.");
PyDoc_STRVAR(pause_reading_doc,
             "pause_reading($self, /)\n--\n\n"
             "Give nothing to the protocol until resume_reading().");
PyDoc_STRVAR(resume_reading_doc,
             "resume_reading($self, /)\n--\n\n"
             "Receive again.");
PyDoc_STRVAR(get_read_buffer_size_doc,
             "get_read_buffer_size($self, /)\n--\n\n"
             "How many bytes were received and the protocol has not.");
PyDoc_STRVAR(write_doc,
             "write($self, data, /)\n--\n\n"
             "Send data; what is not taken now is sent later.");
PyDoc_STRVAR(writelines_doc,
             "writelines($self, list_of_data, /)\n--\n\n"
             "Send all of them, in as few records as possible.");
PyDoc_STRVAR(append_write_backlog_doc,
             "_test__append_write_backlog($self, data, /)\n--\n\n"
             "Queue it, for uvloop's tests.");
PyDoc_STRVAR(write_eof_doc,
             "write_eof($self, /)\n--\n\n"
             "Raises NotImplementedError: TLS has no half-closed state that "
             "all know.");
PyDoc_STRVAR(can_write_eof_doc,
             "can_write_eof($self, /)\n--\n\n"
             "False.");
PyDoc_STRVAR(get_write_buffer_size_doc,
             "get_write_buffer_size($self, /)\n--\n\n"
             "How many bytes the transport below has not been given yet.");
PyDoc_STRVAR(get_write_buffer_limits_doc,
             "get_write_buffer_limits($self, /)\n--\n\n"
             "The low and the high water marks, as a tuple.");
PyDoc_STRVAR(
    set_write_buffer_limits_doc,
    "set_write_buffer_limits($self, /, high=None, low=None)\n--\n\n"
    "Set the sizes at which the protocol is told to pause and to resume.");
PyDoc_STRVAR(get_read_buffer_limits_doc,
             "get_read_buffer_limits($self, /)\n--\n\n"
             "The low and the high water marks, as a tuple.");
PyDoc_STRVAR(
    set_read_buffer_limits_doc,
    "set_read_buffer_limits($self, /, high=None, low=None)\n--\n\n"
    "Set the sizes at which the transport below is paused and resumed.");
PyDoc_STRVAR(get_extra_info_doc,
             "get_extra_info($self, /, name, default=None)\n--\n\n"
             "sslcontext, ssl_object, peercert, cipher and compression; else "
             "what the transport below has.");

static PyMethodDef methods[] = {
    {"close", close_meth, METH_NOARGS, close_doc},
    {"abort", abort_meth, METH_NOARGS, abort_doc},
    {"_force_close", force_close_meth, METH_O, force_close_doc},
    {"is_closing", is_closing_meth, METH_NOARGS, is_closing_doc},
    {"get_protocol", get_protocol_meth, METH_NOARGS, get_protocol_doc},
    {"set_protocol", set_protocol_meth, METH_O, set_protocol_doc},
    {"is_reading", is_reading_meth, METH_NOARGS, is_reading_doc},
    {"pause_reading", pause_reading_meth, METH_NOARGS, pause_reading_doc},
    {"resume_reading", resume_reading_meth, METH_NOARGS, resume_reading_doc},
    {"get_read_buffer_size",
     get_read_buffer_size_meth,
     METH_NOARGS,
     get_read_buffer_size_doc},
    {"write", write_meth, METH_O, write_doc},
    {"writelines", writelines_meth, METH_O, writelines_doc},
    {"_test__append_write_backlog",
     append_write_backlog_meth,
     METH_O,
     append_write_backlog_doc},
    {"write_eof", write_eof_meth, METH_NOARGS, write_eof_doc},
    {"can_write_eof", can_write_eof_meth, METH_NOARGS, can_write_eof_doc},
    {"get_write_buffer_size",
     get_write_buffer_size_meth,
     METH_NOARGS,
     get_write_buffer_size_doc},
    {"get_write_buffer_limits",
     get_write_buffer_limits_meth,
     METH_NOARGS,
     get_write_buffer_limits_doc},
    {"set_write_buffer_limits",
     METHOD(set_write_buffer_limits_meth),
     METH_FASTCALL | METH_KEYWORDS,
     set_write_buffer_limits_doc},
    {"get_read_buffer_limits",
     get_read_buffer_limits_meth,
     METH_NOARGS,
     get_read_buffer_limits_doc},
    {"set_read_buffer_limits",
     METHOD(set_read_buffer_limits_meth),
     METH_FASTCALL | METH_KEYWORDS,
     set_read_buffer_limits_doc},
    {"get_extra_info",
     METHOD(get_extra_info_meth),
     METH_FASTCALL | METH_KEYWORDS,
     get_extra_info_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"_loop", loop_get, NULL, NULL, NULL},
    {"_ssl_protocol", ssl_protocol_get, NULL, NULL, NULL},
    {"_closing", closing_get, NULL, NULL, NULL},
    {"_protocol_paused", protocol_paused_get, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__",
     Py_T_PYSSIZET,
     offsetof(SslTransport, weakrefs),
     Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

/* ---- the type ---- */

PyObject *
tls_make_transport(Tls *tls)
{
    PyTypeObject *type = tls_state(tls)->types[TYPE_SSL_TRANSPORT];
    SslTransport *transport = (SslTransport *)type->tp_alloc(type, 0);

    if (transport != NULL) {
        transport->tls = (Tls *)Py_NewRef((PyObject *)tls);
    }
    return (PyObject *)transport;
}

static int
transport_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    SslTransport *transport = CAST(SslTransport, self);

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(transport->extra);
    Py_VISIT(transport->tls);
    return 0;
}

/* Not `tls`: a finalizer may still call a method. It lets go of us. */
static int
transport_tp_clear(PyObject *self)
{
    Py_CLEAR(CAST(SslTransport, self)->extra);
    return 0;
}

static void
transport_tp_finalize(PyObject *self)
{
    Tls *tls = tls_of(self);
    PyObject *pending = NULL;

    if (tls->closing || tls->lower == NULL) {
        return;
    }
    pending = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning(self, 1, "unclosed transport %R", self) < 0) {
        PyErr_WriteUnraisable(self); /* -W error */
    }
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

static void
transport_tp_dealloc(PyObject *self)
{
    SslTransport *transport = CAST(SslTransport, self);
    PyTypeObject *type = Py_TYPE(self);

    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return; /* a warning's filter keeps it */
    }
    PyObject_GC_UnTrack(self);
    if (transport->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    (void)transport_tp_clear(self); /* always 0 */
    Py_CLEAR(transport->tls);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(transport_doc,
             "A TLS connection. Made by create_connection, create_server and "
             "start_tls, not directly.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)transport_doc},
    {Py_tp_traverse, transport_tp_traverse},
    {Py_tp_clear, transport_tp_clear},
    {Py_tp_finalize, transport_tp_finalize},
    {Py_tp_dealloc, transport_tp_dealloc},
    {Py_tp_repr, transport_tp_repr},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "uvloop_core._core.SSLTransport",
    .basicsize = sizeof(SslTransport),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

/* asyncio's private marks: what loop.sendfile and start_tls look at. */
static int
set_marks(PyObject *type)
{
    PyObject *constants = PyImport_ImportModule("asyncio.constants");
    PyObject *modes = NULL;
    PyObject *mode = NULL;
    int err = -1;

    if (constants != NULL) {
        modes = PyObject_GetAttrString(constants, "_SendfileMode");
    }
    if (modes != NULL) {
        mode = PyObject_GetAttrString(modes, "FALLBACK");
    }
    if (mode != NULL) {
        err = PyObject_SetAttrString(type, "_sendfile_compatible", mode);
    }
    if (err == 0) {
        err = PyObject_SetAttrString(type, "_start_tls_compatible", Py_True);
    }
    Py_XDECREF(mode);
    Py_XDECREF(modes);
    Py_XDECREF(constants);
    return err;
}

int
tls_register_transport(PyObject *module, State *st)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &spec, st->objects[OBJECT_ASYNCIO_TRANSPORT]);

    st->types[TYPE_SSL_TRANSPORT] = type;
    if (type == NULL || set_marks((PyObject *)type) < 0 ||
        PyModule_AddType(module, type) < 0) {
        return -1;
    }
    return 0;
}
