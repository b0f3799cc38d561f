#include "tls.h"

#include "args.h"

/* ---- what the lower transport calls ---- */

static PyObject *
none_or_null(Tls *tls, int entered, int err)
{
    loop_leave(tls->loop, entered);
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
connection_made_meth(PyObject *self, PyObject *lower)
{
    Tls *tls = CAST(Tls, self);
    int entered = loop_enter(tls->loop);

    if (entered < 0) {
        return NULL;
    }
    return none_or_null(tls, entered, tls_connect(tls, lower));
}

static PyObject *
data_received_meth(PyObject *self, PyObject *data)
{
    Tls *tls = CAST(Tls, self);
    int entered = loop_enter(tls->loop);

    if (entered < 0) {
        return NULL;
    }
    return none_or_null(tls, entered, tls_receive(tls, data));
}

/* True keeps the lower transport open, for what is still to be said. One that
 * is TLS itself closes in any case. */
static PyObject *
eof_received_meth(PyObject *self, PyObject *unused)
{
    Tls *tls = CAST(Tls, self);
    int entered = loop_enter(tls->loop);
    bool keeps = false;
    PyObject *result = NULL;

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    result = none_or_null(tls, entered, tls_receive_eof(tls));
    keeps = tls->phase >= TLS_OPEN && tls->phase < TLS_ENDED &&
            !Py_IS_TYPE(tls->lower, tls_state(tls)->types[TYPE_SSL_TRANSPORT]);
    if (result != NULL && keeps) {
        Py_SETREF(result, Py_NewRef(Py_True));
    }
    return result;
}

static PyObject *
connection_lost_meth(PyObject *self, PyObject *exc)
{
    Tls *tls = CAST(Tls, self);
    int entered = loop_enter(tls->loop);

    if (entered < 0) {
        return NULL;
    }
    tls_lose(tls, exc);
    return none_or_null(tls, entered, 0);
}

static PyObject *
pause_writing_meth(PyObject *self, PyObject *unused)
{
    Tls *tls = CAST(Tls, self);

    (void)unused;
    tls->lower_full = true; /* who writes sees it at once */
    Py_RETURN_NONE;
}

static PyObject *
resume_writing_meth(PyObject *self, PyObject *unused)
{
    Tls *tls = CAST(Tls, self);
    int entered = loop_enter(tls->loop);
    int err = 0;

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    tls->lower_full = false;
    if (tls->phase == TLS_FLUSHING || tls->phase == TLS_SHUTDOWN) {
        err = tls_continue_shutdown(tls);
    }
    else if (tls->phase < TLS_ENDED) {
        err = tls_send(tls);
    }
    return none_or_null(tls, entered, err);
}

PyDoc_STRVAR(connection_made_doc,
             "connection_made($self, transport, /)\n--\n\n"
             "Begin the handshake.");
PyDoc_STRVAR(data_received_doc,
             "data_received($self, data, /)\n--\n\n"
             "Decrypt it.");
PyDoc_STRVAR(eof_received_doc,
             "eof_received($self, /)\n--\n\n"
             "The transport below has no more.");
PyDoc_STRVAR(connection_lost_doc,
             "connection_lost($self, exc, /)\n--\n\n"
             "The transport below is gone.");
PyDoc_STRVAR(pause_writing_doc,
             "pause_writing($self, /)\n--\n\n"
             "The transport below is full.");
PyDoc_STRVAR(resume_writing_doc,
             "resume_writing($self, /)\n--\n\n"
             "The transport below takes more.");

static PyMethodDef methods[] = {
    {"connection_made", connection_made_meth, METH_O, connection_made_doc},
    {"data_received", data_received_meth, METH_O, data_received_doc},
    {"eof_received", eof_received_meth, METH_NOARGS, eof_received_doc},
    {"connection_lost", connection_lost_meth, METH_O, connection_lost_doc},
    {"pause_writing", pause_writing_meth, METH_NOARGS, pause_writing_doc},
    {"resume_writing", resume_writing_meth, METH_NOARGS, resume_writing_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"_transport", Py_T_OBJECT_EX, offsetof(Tls, lower), Py_READONLY, NULL},
    {"_app_transport",
     Py_T_OBJECT_EX,
     offsetof(Tls, transport),
     Py_READONLY,
     NULL},
    {"_app_protocol",
     Py_T_OBJECT_EX,
     offsetof(Tls, protocol),
     Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

/* ---- making one ---- */

/* What of an ssl.SSLObject reads and writes: the C object inside, without the
 * Python frames around it, unless it is somebody's subclass. 0 or -1. */
static int
find_raw(Tls *tls)
{
    State *st = tls_state(tls);

    tls->is_raw =
        Py_IS_TYPE(tls->ssl, (PyTypeObject *)st->objects[OBJECT_SSL_OBJECT]);
    if (tls->is_raw) {
        tls->raw = PyObject_GetAttr(tls->ssl, st->names[NAME_sslobj]);
    }
    else {
        tls->raw = Py_NewRef(tls->ssl);
    }
    return tls->raw == NULL ? -1 : 0;
}

/* The arguments of make_tls, in its order. */
enum {
    ARG_LOOP,
    ARG_PROTOCOL,
    ARG_SSLOBJECT,
    ARG_INCOMING,
    ARG_OUTGOING,
    ARG_SSLCONTEXT,
    ARG_HANDSHAKE_TIMEOUT,
    ARG_SHUTDOWN_TIMEOUT,
    ARG_WAITER,
    ARG_CONNECTED,
    ARG_PAUSED,
    ARG_COUNT,
};

/* A flag that may not be given: 1, 0, or -1 with an exception. */
static int
read_flag(PyObject *object)
{
    return object == NULL ? 0 : PyObject_IsTrue(object);
}

/* The flags, and what the protocol is: 0 or -1. */
static int
read_flags(Tls *tls, State *st, PyObject **given)
{
    int connected = read_flag(given[ARG_CONNECTED]);
    int paused = connected < 0 ? -1 : read_flag(given[ARG_PAUSED]);
    int fills = paused < 0 ? -1 : transport_fills_buffers(st, tls->protocol);

    tls->told = connected == 1 ? TLS_TOLD_MADE : TLS_TOLD_NOTHING;
    tls->write_paused = paused == 1;
    tls->fills_buffers = fills == 1;
    return fills < 0 ? -1 : 0;
}

static int
init(Tls *tls, State *st, PyObject **given)
{
    PyObject *waiter = given[ARG_WAITER];

    tls->protocol = Py_NewRef(given[ARG_PROTOCOL]);
    tls->ssl = Py_NewRef(given[ARG_SSLOBJECT]);
    tls->incoming = Py_NewRef(given[ARG_INCOMING]);
    tls->outgoing = Py_NewRef(given[ARG_OUTGOING]);
    tls->sslcontext = Py_NewRef(given[ARG_SSLCONTEXT]);
    tls->handshake_timeout = Py_NewRef(given[ARG_HANDSHAKE_TIMEOUT]);
    tls->shutdown_timeout = Py_NewRef(given[ARG_SHUTDOWN_TIMEOUT]);
    if (waiter != NULL && waiter != Py_None) {
        tls->waiter = Py_NewRef(waiter);
    }
    tls->write_limits =
        (Limits){TLS_WRITE_HIGH_WATER, TLS_WRITE_HIGH_WATER / 4};
    tls->read_limits = (Limits){TLS_READ_HIGH_WATER, TLS_READ_HIGH_WATER / 4};
    if (read_flags(tls, st, given) < 0 || find_raw(tls) < 0) {
        return -1;
    }
    tls->transport = tls_make_transport(tls);
    return tls->transport == NULL ? -1 : 0;
}

PyDoc_STRVAR(
    make_tls_doc,
    "make_tls($module, /, loop, protocol, sslobject, incoming, outgoing,\n"
    "         sslcontext, handshake_timeout, shutdown_timeout, waiter=None,\n"
    "         connected=False, paused=False)\n--\n\n"
    "Make an SSLProtocol that works an SSLObject and its two MemoryBIOs.\n\n"
    "It is to be the protocol of a transport; its _app_transport is what the\n"
    "protocol here gets, once the handshake is done, by connection_made\n"
    "(not if it is connected). The waiter, a future, then gets None, or the\n"
    "exception. The timeouts are in seconds. paused: the protocol was told\n"
    "to pause writing.");

static PyObject *
make_tls_meth(PyObject *module,
              PyObject *const *args,
              Py_ssize_t nargs,
              PyObject *kwnames)
{
    static const short names[ARG_COUNT] = {
        [ARG_LOOP] = NAME_loop,
        [ARG_PROTOCOL] = NAME_protocol,
        [ARG_SSLOBJECT] = NAME_sslobject,
        [ARG_INCOMING] = NAME_incoming,
        [ARG_OUTGOING] = NAME_outgoing,
        [ARG_SSLCONTEXT] = NAME_sslcontext,
        [ARG_HANDSHAKE_TIMEOUT] = NAME_handshake_timeout,
        [ARG_SHUTDOWN_TIMEOUT] = NAME_shutdown_timeout,
        [ARG_WAITER] = NAME_waiter,
        [ARG_CONNECTED] = NAME_connected,
        [ARG_PAUSED] = NAME_paused,
    };
    static const ArgSpec spec = {
        "make_tls", ARG_WAITER, ARG_COUNT, ARG_COUNT, names};
    State *st = PyModule_GetState(module);
    PyTypeObject *type = st->types[TYPE_SSL_PROTOCOL];
    PyObject *given[ARG_COUNT];
    Tls *tls = NULL;

    if (args_spread(&spec, st->names, args, nargs, kwnames, given) < 0) {
        return NULL;
    }
    if (!PyObject_TypeCheck(given[ARG_LOOP], st->types[TYPE_LOOP])) {
        return PyErr_Format(
            PyExc_TypeError, "loop must be a Loop, not %R", given[ARG_LOOP]);
    }
    tls = (Tls *)type->tp_alloc(type, 0);
    if (tls == NULL) {
        return NULL;
    }
    tls->loop = (Loop *)Py_NewRef(given[ARG_LOOP]);
    if (init(tls, st, given) < 0) {
        Py_CLEAR(tls->transport); /* it holds the other */
        Py_DECREF(tls);
        return NULL;
    }
    return (PyObject *)tls;
}

/* ---- the type ---- */

static int
visit_ssl(const Tls *tls, visitproc visit, void *arg)
{
    Py_VISIT(tls->ssl);
    Py_VISIT(tls->raw);
    Py_VISIT(tls->incoming);
    Py_VISIT(tls->outgoing);
    Py_VISIT(tls->sslcontext);
    Py_VISIT(tls->peercert);
    Py_VISIT(tls->cipher);
    Py_VISIT(tls->compression);
    Py_VISIT(tls->handshake_timeout);
    Py_VISIT(tls->shutdown_timeout);
    return 0;
}

static int
tls_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    Tls *tls = CAST(Tls, self);

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(tls->loop);
    Py_VISIT(tls->protocol);
    Py_VISIT(tls->transport);
    Py_VISIT(tls->lower);
    Py_VISIT(tls->context);
    Py_VISIT(tls->waiter);
    Py_VISIT(tls->timer);
    Py_VISIT(tls->backlog.items);
    return visit_ssl(tls, visit, arg);
}

/* What is worked with stays whole: a finalizer may still call us. */
static int
tls_tp_clear(PyObject *self)
{
    Tls *tls = CAST(Tls, self);

    tls->phase = TLS_LOST;
    tls->told = TLS_TOLD_LOST;
    tls->closing = true;
    Py_CLEAR(tls->timer);
    Py_CLEAR(tls->waiter);
    tls_drop_backlog(tls);
    Py_CLEAR(tls->lower);
    Py_CLEAR(tls->protocol);
    Py_CLEAR(tls->transport);
    return 0;
}

static void
tls_tp_dealloc(PyObject *self)
{
    Tls *tls = CAST(Tls, self);
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    (void)tls_tp_clear(self); /* always 0 */
    Py_CLEAR(tls->raw);
    Py_CLEAR(tls->ssl);
    Py_CLEAR(tls->incoming);
    Py_CLEAR(tls->outgoing);
    Py_CLEAR(tls->sslcontext);
    Py_CLEAR(tls->peercert);
    Py_CLEAR(tls->cipher);
    Py_CLEAR(tls->compression);
    Py_CLEAR(tls->handshake_timeout);
    Py_CLEAR(tls->shutdown_timeout);
    Py_CLEAR(tls->context);
    Py_CLEAR(tls->loop);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(tls_doc,
             "TLS between a transport and a protocol. Made by "
             "create_connection, create_server and start_tls, not directly.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)tls_doc},
    {Py_tp_traverse, tls_tp_traverse},
    {Py_tp_clear, tls_tp_clear},
    {Py_tp_dealloc, tls_tp_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "uvloop_core._core.SSLProtocol",
    .basicsize = sizeof(Tls),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

static PyMethodDef functions[] = {
    {"make_tls",
     METHOD(make_tls_meth),
     METH_FASTCALL | METH_KEYWORDS,
     make_tls_doc},
    {NULL, NULL, 0, NULL},
};

int
tls_register(PyObject *module, State *st)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &spec, st->objects[OBJECT_PROTOCOL]);

    st->types[TYPE_SSL_PROTOCOL] = type;
    if (type == NULL || PyModule_AddType(module, type) < 0 ||
        tls_register_transport(module, st) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
