#include "tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "args.h"
#include "endpoint.h"
#include "errors.h"
#include "stream.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE; here it must */
#endif

typedef struct {
    Stream stream;
    Endpoint endpoint;
} TcpTransport;

/* ---- StreamOps ---- */

static ssize_t
send_to_socket(int fd, struct iovec *pieces, int count)
{
    struct msghdr message = {.msg_iov = pieces};
    ssize_t sent = 0;

    message.msg_iovlen = (size_t)count;
    do {
        sent =
            count == 1
                ? send(fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL)
                : sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

static int
shut_socket(int fd)
{
    return shutdown(fd, SHUT_WR) < 0 ? -errno : 0;
}

/* The fd is not to be closed by libuv: it is somebody else's. */
static void
forget_fd(Stream *stream)
{
    stream_stop_reading(&stream->transport);
    if (!stream->writing) { /* else libuv needs it to find the request */
        stream->uv.stream.io_watcher.fd = -1;
    }
}

static void
release_socket(Transport *transport)
{
    TcpTransport *tcp = (TcpTransport *)transport;
    Loop *loop = transport_loop(transport);
    int fd = tcp->stream.fd;

    if (fd < 0) {
        return;
    }
    if (endpoint_release(&tcp->endpoint, transport_state(transport)) < 0) {
        forget_fd(&tcp->stream);
    }
    tcp->stream.fd = -1;
    if (loop_owner(loop, fd) == &transport->handle) {
        (void)loop_set_owner(loop, fd, NULL); /* cannot fail */
    }
    handle_close(&transport->handle);
}

static int
find_extra(Transport *transport, PyObject *name, PyObject **value)
{
    TcpTransport *tcp = (TcpTransport *)transport;
    State *st = transport_state(transport);

    *value = NULL;
    if (!PyUnicode_Check(name)) {
        return 0;
    }
    if (PyUnicode_Compare(name, st->names[NAME_peername]) == 0) {
        *value = endpoint_peername(&tcp->endpoint);
    }
    else if (PyUnicode_Compare(name, st->names[NAME_socket]) == 0) {
        *value = endpoint_socket(&tcp->endpoint, st);
    }
    else if (PyUnicode_Compare(name, st->names[NAME_sockname]) == 0) {
        *value = endpoint_sockname(&tcp->endpoint);
    }
    else {
        return 0;
    }
    return *value == NULL ? -1 : 1;
}

static const StreamOps tcp_ops = {
    .transport =
        {
            .handle = {.shut = transport_shut, .failed = transport_failed},
            .start_reading = stream_start_reading,
            .stop_reading = stream_stop_reading,
            .buffered = stream_buffered,
            .release = release_socket,
            .extra = find_extra,
        },
    .send = send_to_socket,
    .shut_write = shut_socket,
    .read_error = "Fatal read error on socket transport",
    .write_error = "Fatal write error on socket transport",
};

/* ---- making one ---- */

/* A zeroed object that is not on the loop's list yet, or NULL. */
static TcpTransport *
allocate(State *st)
{
    PyTypeObject *type = st->types[TYPE_TCP_TRANSPORT];
    TcpTransport *tcp = (TcpTransport *)type->tp_alloc(type, 0);

    if (tcp != NULL) {
        tcp->endpoint.fd = -1;
        tcp->stream.fd = -1;
    }
    return tcp;
}

/* Bind the uv handle and the fd to each other: 0; or -1 with an exception,
 * the fd left open and the object without it. Closed then, if it was open. */
static int
open_handle(TcpTransport *tcp, Loop *loop, int fd)
{
    Stream *stream = &tcp->stream;
    Handle *handle = &stream->transport.handle;
    int on = 1;
    int err = 0;

    loop_touch(loop);
    err = uv_tcp_init(&loop->uv, &stream->uv.tcp);
    if (err < 0) {
        return raise_uv(loop->st, err);
    }
    handle_open(handle,
                &tcp_ops.transport.handle,
                &loop->registry,
                (uv_handle_t *)&stream->uv);
    err = loop_set_owner(loop, fd, handle);
    if (err == 0) {
        err = uv_tcp_open(&stream->uv.tcp, fd);
        if (err == 0) {
            /* As asyncio; a socket that is being reset refuses, no matter. */
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            stream_init(stream, fd);
            return 0;
        }
        (void)loop_set_owner(loop, fd, NULL); /* cannot fail */
        (void)raise_uv(loop->st, err);        /* always -1 */
    }
    stream->transport.lost = 1; /* nobody has heard of it */
    stream->transport.released = true;
    handle_close(handle);
    return -1;
}

/* An fd that the kernel has just given us can't be a transport's: that one's
 * was closed behind its back. Let it have the number, to close it; and go on
 * with another one. The fd, or -1 with OSError and the old one still open. */
static int
evade_owner(Loop *loop, int fd)
{
    Handle *owner = loop_owner(loop, fd);
    int other = 0;

    if (owner == NULL || owner->state != HANDLE_OPEN) {
        return fd;
    }
    other = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (other < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    Py_INCREF(owner);
    owner->ops->failed(owner, -EBADF);
    Py_DECREF(owner);
    return other;
}

Transport *
tcp_accepted(Loop *loop,
             int fd,
             const Addr *peer,
             PyObject *protocol,
             Server *server,
             PyObject *context)
{
    TcpTransport *tcp = NULL;
    int own = evade_owner(loop, fd);

    if (own < 0) {
        return NULL;
    }
    tcp = allocate(loop->st);
    if (tcp == NULL ||
        transport_init(
            &tcp->stream.transport, loop->st, protocol, context, NULL) < 0 ||
        open_handle(tcp, loop, own) < 0) {
        if (own != fd) {
            (void)close(own); /* the caller closes the other */
        }
        Py_XDECREF(tcp);
        return NULL;
    }
    endpoint_accept(&tcp->endpoint, own, peer);
    if (server != NULL) {
        server_attach(server, &tcp->stream.transport.link, (PyObject *)tcp);
    }
    return &tcp->stream.transport;
}

/* ---- open_tcp ---- */

/* 0, or -1 with an exception: the socket is not one for TCP, or another
 * transport has it. */
static int
check_endpoint(Loop *loop, const Endpoint *endpoint)
{
    int family = endpoint->local.raw.any.sa_family;
    Handle *owner = loop_owner(loop, endpoint->fd);

    if (family != AF_INET && family != AF_INET6) {
        PyErr_Format(PyExc_ValueError,
                     "a socket of family AF_INET or AF_INET6 was expected, "
                     "got family %d",
                     family);
        return -1;
    }
    if (owner != NULL && owner->state == HANDLE_OPEN) {
        PyErr_Format(PyExc_RuntimeError,
                     "File descriptor %d is used by transport %R",
                     endpoint->fd,
                     (PyObject *)owner);
        return -1;
    }
    return 0;
}

/* New reference, or NULL with an exception and the socket untouched. */
static PyObject *
open_tcp(Loop *loop,
         PyObject *sock,
         PyObject *protocol,
         PyObject *waiter,
         Server *server,
         PyObject *context)
{
    TcpTransport *tcp = allocate(loop->st);
    Transport *transport = NULL;

    if (tcp == NULL) {
        return NULL;
    }
    transport = &tcp->stream.transport;
    if (endpoint_adopt(&tcp->endpoint, loop->st, sock) < 0) {
        goto error;
    }
    if (check_endpoint(loop, &tcp->endpoint) < 0 ||
        transport_init(transport, loop->st, protocol, context, waiter) < 0 ||
        open_handle(tcp, loop, tcp->endpoint.fd) < 0) {
        endpoint_disown(&tcp->endpoint, loop->st);
        goto error;
    }
    if (transport_schedule_start(transport) < 0) {
        endpoint_disown(&tcp->endpoint, loop->st);
        forget_fd(&tcp->stream);
        (void)loop_set_owner(loop, tcp->stream.fd, NULL); /* cannot fail */
        tcp->stream.fd = -1;
        transport->lost = 1;
        transport->closing = true;
        transport->released = true;
        handle_close(&transport->handle);
        goto error;
    }
    if (server != NULL) {
        server_attach(server, &transport->link, (PyObject *)tcp);
    }
    return (PyObject *)tcp;

error:
    Py_DECREF(tcp);
    return NULL;
}

/* The optional arguments: None is not given. */
static PyObject *
given(PyObject *argument)
{
    return argument == Py_None ? NULL : argument;
}

static int
check_type(PyObject *object, PyTypeObject *type, const char *what)
{
    if (!PyObject_TypeCheck(object, type)) {
        PyErr_Format(PyExc_TypeError,
                     "%s must be a %s, not %R",
                     what,
                     type->tp_name,
                     object);
        return -1;
    }
    return 0;
}

PyDoc_STRVAR(
    open_tcp_doc,
    "open_tcp($module, /, loop, sock, protocol, waiter=None, server=None,\n"
    "         context=None)\n--\n\n"
    "Make a TCPTransport of a connected, non-blocking socket.\n\n"
    "In a later turn protocol.connection_made is called in the context (a\n"
    "copy of the current one if None), reading starts, and the waiter, a\n"
    "future, gets None. On failure the socket is still the caller's, else\n"
    "the transport's.");

static PyObject *
open_tcp_meth(PyObject *module,
              PyObject *const *args,
              Py_ssize_t nargs,
              PyObject *kwnames)
{
    static const short names[] = {NAME_loop,
                                  NAME_sock,
                                  NAME_protocol,
                                  NAME_waiter,
                                  NAME_server,
                                  NAME_context};
    static const ArgSpec spec = {"open_tcp", 3, 6, 6, names};
    State *st = PyModule_GetState(module);
    PyObject *out[6];
    PyObject *context = NULL;
    PyObject *transport = NULL;
    int entered = 0;

    if (args_spread(&spec, st->names, args, nargs, kwnames, out) < 0 ||
        check_type(out[0], st->types[TYPE_LOOP], "loop") < 0 ||
        (given(out[4]) != NULL &&
         check_type(out[4], st->types[TYPE_SERVER], "server") < 0) ||
        (given(out[5]) != NULL &&
         check_type(out[5], &PyContext_Type, "context") < 0) ||
        loop_check_closed(CAST(Loop, out[0])) < 0) {
        return NULL;
    }
    context =
        given(out[5]) == NULL ? PyContext_CopyCurrent() : Py_NewRef(out[5]);
    if (context == NULL) {
        return NULL;
    }
    entered = loop_enter(CAST(Loop, out[0]));
    if (entered < 0) {
        Py_DECREF(context);
        return NULL;
    }
    transport = open_tcp(CAST(Loop, out[0]),
                         out[1],
                         out[2],
                         given(out[3]),
                         (Server *)given(out[4]),
                         context);
    loop_leave(CAST(Loop, out[0]), entered);
    Py_DECREF(context);
    return transport;
}

/* ---- the type ---- */

static int
tcp_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    TcpTransport *tcp = CAST(TcpTransport, self);
    int err = endpoint_traverse(&tcp->endpoint, visit, arg);

    return err != 0 ? err : stream_traverse(&tcp->stream, visit, arg);
}

static int
tcp_tp_clear(PyObject *self)
{
    TcpTransport *tcp = CAST(TcpTransport, self);

    endpoint_clear(&tcp->endpoint);
    stream_clear(&tcp->stream);
    return 0;
}

static void
tcp_tp_dealloc(PyObject *self)
{
    TcpTransport *tcp = CAST(TcpTransport, self);

    PyObject_GC_UnTrack(self);
    if (tcp->stream.transport.weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    (void)tcp_tp_clear(self); /* always 0 */
    transport_dealloc(&tcp->stream.transport);
}

PyDoc_STRVAR(tcp_doc,
             "A TCP connection. Made by create_connection and create_server, "
             "not directly.");

static PyMemberDef members[] = {
    {"__weaklistoffset__",
     Py_T_PYSSIZET,
     offsetof(TcpTransport, stream.transport.weakrefs),
     Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)tcp_doc},
    {Py_tp_traverse, tcp_tp_traverse},
    {Py_tp_clear, tcp_tp_clear},
    {Py_tp_dealloc, tcp_tp_dealloc},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "uvloop_core._core.TCPTransport",
    .basicsize = sizeof(TcpTransport),
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

static PyMethodDef functions[] = {
    {"open_tcp",
     METHOD(open_tcp_meth),
     METH_FASTCALL | METH_KEYWORDS,
     open_tcp_doc},
    {NULL, NULL, 0, NULL},
};

int
tcp_register(PyObject *module, State *st)
{
    PyObject *type = PyType_FromModuleAndSpec(
        module, &spec, st->objects[OBJECT_ASYNCIO_TRANSPORT]);

    if (type == NULL) {
        return -1;
    }
    st->types[TYPE_TCP_TRANSPORT] = (PyTypeObject *)type;
    if (stream_add_methods((PyTypeObject *)type) < 0 || set_marks(type) < 0 ||
        PyModule_AddObjectRef(module, "TCPTransport", type) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
