#include "dial.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "literal.h"
#include "transport.h"
#include "waiter.h"

typedef struct {
    PyObject_HEAD
    Loop *loop; /* owned */
    int fd;     /* -1: closed, or a transport's */
    bool connected;
    Addr peer;
} Dial;

/* ---- system calls ---- */

/* A new socket that does not block: 0, or -1 with OSError. */
static int
open_fd(Dial *dial)
{
    int family = dial->peer.raw.any.sa_family;

#if defined(__linux__) && !defined(PORTABLE)
    dial->fd = socket(
        family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
#else
    dial->fd = socket(family, SOCK_STREAM, IPPROTO_TCP);
    if (dial->fd >= 0) {
        (void)fcntl(dial->fd, F_SETFD, FD_CLOEXEC); /* of an open fd: works */
        (void)fcntl(dial->fd, F_SETFL, O_NONBLOCK); /* so does this */
    }
#endif
    if (dial->fd < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

static bool
is_loopback(const Addr *addr)
{
    if (addr->raw.any.sa_family == AF_INET) {
        return ntohl(addr->raw.in.sin_addr.s_addr) >> 24 == 127;
    }
    return IN6_IS_ADDR_LOOPBACK(&addr->raw.in6.sin6_addr);
}

/* What connect() said: 0, or EINPROGRESS while it is under way, or another
 * errno. */
static int
try_connect(const Dial *dial)
{
    if (connect(dial->fd, &dial->peer.raw.any, dial->peer.size) == 0 ||
        errno == EISCONN) {
        return 0;
    }
    return errno == EALREADY || errno == EINTR ? EINPROGRESS : errno;
}

/* OSError of a connection that was under way. */
static void
raise_failed(const Dial *dial, int err)
{
    PyObject *address = addr_to_python(&dial->peer);
    PyObject *text = NULL;
    PyObject *error = NULL;

    if (address != NULL) {
        text = PyUnicode_FromFormat("Connect call failed %R", address);
    }
    if (text != NULL) {
        error = PyObject_CallFunction(PyExc_OSError, "iO", err, text);
    }
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    }
    Py_XDECREF(error);
    Py_XDECREF(text);
    Py_XDECREF(address);
}

/* The peer for Py_BuildValue, which makes it only if a hook wants it. */
static PyObject *
address_of(void *dial)
{
    return addr_to_python(&((Dial *)dial)->peer);
}

/* The socket module's audit events: 0, or -1 with what a hook raises. */
static int
audit(Dial *dial)
{
    int family = dial->peer.raw.any.sa_family;

    if (PySys_Audit("socket.__new__",
                    "Oiii",
                    (PyObject *)dial,
                    family,
                    SOCK_STREAM,
                    IPPROTO_TCP) < 0) {
        return -1;
    }
    return PySys_Audit(
        "socket.connect", "OO&", (PyObject *)dial, address_of, (void *)dial);
}

/* Begin to connect: 0, or -1 with OSError. */
static int
start(Dial *dial)
{
    int err = try_connect(dial);

    if (err == EINPROGRESS && is_loopback(&dial->peer)) {
        /* The kernel answers itself by the end of the first call. */
        err = try_connect(dial);
        if (err != 0 && err != EINPROGRESS) {
            raise_failed(dial, err);
            return -1;
        }
    }
    if (err != 0 && err != EINPROGRESS) {
        errno = err;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    dial->connected = err == 0;
    return 0;
}

static void
close_fd(Dial *dial)
{
    if (dial->fd >= 0) {
        (void)close(dial->fd); /* nothing was written: nothing to lose */
        dial->fd = -1;
    }
}

/* ---- awaiting ---- */

/* It is writable: connected, or it failed; as a WaiterCall. */
static int
look(Waiter *waiter, PyObject **result)
{
    Dial *dial = (Dial *)waiter->sock;
    int err = 0;
    socklen_t size = sizeof(err);

    if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0) {
        err = errno;
    }
    if (err != 0) {
        raise_failed(dial, err);
        return -1;
    }
    dial->connected = true;
    *result = Py_NewRef(Py_None);
    return 1;
}

/* A started Waiter, or NULL with an exception. */
static Waiter *
wait_for(Dial *dial)
{
    Loop *loop = dial->loop;
    Waiter *waiter = NULL;
    int entered = loop_check_closed(loop) < 0 ? -1 : loop_enter(loop);

    if (entered < 0) {
        return NULL;
    }
    waiter = waiter_new(loop, (PyObject *)dial, WATCH_WRITE, look);
    if (waiter != NULL && (transport_check_fd(loop, dial->fd) < 0 ||
                           waiter_start(waiter, dial->fd) < 0)) {
        Py_CLEAR(waiter);
    }
    loop_leave(loop, entered);
    return waiter;
}

static PyObject *
dial_am_await(PyObject *self)
{
    Dial *dial = CAST(Dial, self);

    if (dial->connected || dial->fd < 0) {
        return Py_NewRef(self);
    }
    return (PyObject *)wait_for(dial);
}

/* There is nothing to wait for. */
static PySendResult
dial_am_send(PyObject *Py_UNUSED(self),
             PyObject *Py_UNUSED(value),
             PyObject **result)
{
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static PyObject *
dial_tp_iternext(PyObject *Py_UNUSED(self))
{
    return NULL; /* as StopIteration */
}

/* ---- entry points ---- */

int
dial_fd(State *st, PyObject *object)
{
    if (Py_TYPE(object) != st->types[TYPE_DIAL] ||
        !CAST(Dial, object)->connected) {
        return -1;
    }
    return CAST(Dial, object)->fd;
}

void
dial_give_up(PyObject *object)
{
    CAST(Dial, object)->fd = -1;
}

/* To that address, on its way; or NULL with an exception. */
static PyObject *
dial_new(Loop *loop, const Addr *peer)
{
    PyTypeObject *type = loop->st->types[TYPE_DIAL];
    Dial *dial = (Dial *)type->tp_alloc(type, 0);

    if (dial == NULL) {
        return NULL;
    }
    dial->loop = (Loop *)Py_NewRef(loop);
    dial->peer = *peer;
    dial->fd = -1;
    if (audit(dial) < 0 || open_fd(dial) < 0 || start(dial) < 0) {
        close_fd(dial); /* a hook may hold the Dial */
        Py_CLEAR(dial);
    }
    return (PyObject *)dial;
}

PyDoc_STRVAR(dial_doc,
             "dial($module, loop, host, port, family, proto, /)\n--\n\n"
             "Connect a new socket to an address: a Dial, to be awaited; "
             "None if host is none.");

static PyObject *
dial_meth(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    State *st = PyModule_GetState(module);
    PyObject *where[5] = {NULL};
    Addr peer;

    if (nargs != 5 || !PyObject_TypeCheck(args[0], st->types[TYPE_LOOP])) {
        PyErr_SetString(PyExc_TypeError,
                        "dial() takes a loop and 4 more arguments");
        return NULL;
    }
    where[0] = args[1];
    where[1] = args[2];
    where[2] = args[3];
    where[3] = st->objects[OBJECT_SOCK_STREAM];
    where[4] = args[4];
    if (!literal_read(where, &peer)) {
        Py_RETURN_NONE;
    }
    return dial_new(CAST(Loop, args[0]), &peer);
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\nClose the socket.");

static PyObject *
close_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    close_fd(CAST(Dial, self));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    fileno_doc,
    "fileno($self, /)\n--\n\n"
    "The descriptor; -1 before it is opened and after it is given on.");

static PyObject *
fileno_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(CAST(Dial, self)->fd);
}

static PyObject *
family_get(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(CAST(Dial, self)->peer.raw.any.sa_family);
}

static PyObject *
type_get(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    return PyLong_FromLong(SOCK_STREAM);
}

static PyObject *
proto_get(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    return PyLong_FromLong(IPPROTO_TCP);
}

static int
dial_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(CAST(Dial, self)->loop);
    return 0;
}

static void
dial_tp_dealloc(PyObject *self)
{
    Dial *dial = CAST(Dial, self);
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    close_fd(dial);
    Py_CLEAR(dial->loop);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"close", close_meth, METH_NOARGS, close_doc},
    {"fileno", fileno_meth, METH_NOARGS, fileno_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"family", family_get, NULL, NULL, NULL},
    {"type", type_get, NULL, NULL, NULL},
    {"proto", proto_get, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(dial_type_doc,
             "A socket on its way to a peer. Made by dial(); an open_tcp() "
             "may take it in the place of a socket.socket.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)dial_type_doc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, dial_tp_iternext},
    {Py_am_await, dial_am_await},
    {Py_am_send, dial_am_send},
    {Py_tp_traverse, dial_tp_traverse},
    {Py_tp_dealloc, dial_tp_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "uvloop_core._core.Dial",
    .basicsize = sizeof(Dial),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

static PyMethodDef functions[] = {
    {"dial", METHOD(dial_meth), METH_FASTCALL, dial_doc},
    {NULL, NULL, 0, NULL},
};

int
dial_register(PyObject *module, State *st)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);

    st->types[TYPE_DIAL] = (PyTypeObject *)type;
    if (type == NULL || PyModule_AddObjectRef(module, "Dial", type) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
