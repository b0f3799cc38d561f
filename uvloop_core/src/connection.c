#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "args.h"
#include "dial.h"
#include "errors.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE; here it must */
#endif

/* ---- StreamOps ---- */

static ssize_t
send_to_socket(int fd, const void *data, size_t size)
{
    ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);

    return sent < 0 ? -errno : sent;
}

static ssize_t
send_pieces_to_socket(int fd, struct iovec *pieces, int count)
{
    struct msghdr message = {.msg_iov = pieces};
    ssize_t sent = 0;

    message.msg_iovlen = (size_t)count;
    sent = sendmsg(fd, &message, MSG_NOSIGNAL);
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
    Connection *connection = (Connection *)transport;
    Loop *loop = transport_loop(transport);
    int fd = connection->stream.fd;

    if (fd < 0) {
        return;
    }
    stream_lost(&connection->stream);
    if (endpoint_release(&connection->endpoint, transport_state(transport)) <
        0) {
        forget_fd(&connection->stream);
    }
    connection->stream.fd = -1;
    if (loop_owner(loop, fd) == &transport->handle) {
        (void)loop_set_owner(loop, fd, NULL); /* cannot fail */
    }
    handle_close(&transport->handle);
}

static int
find_extra(Transport *transport, PyObject *name, PyObject **value)
{
    return endpoint_extra(&((Connection *)transport)->endpoint,
                          transport_state(transport),
                          name,
                          value);
}

static const StreamOps connection_ops = {
    .transport =
        {
            .handle = {.shut = transport_shut,
                       .failed = transport_failed,
                       .readable = stream_readable},
            .start_reading = stream_start_reading,
            .stop_reading = stream_stop_reading,
            .buffered = stream_buffered,
            .release = release_socket,
            .extra = find_extra,
        },
    .send = send_to_socket,
    .send_pieces = send_pieces_to_socket,
    .shut_write = shut_socket,
    .read_error = "Fatal read error on socket transport",
    .write_error = "Fatal write error on socket transport",
};

/* ---- making one ---- */

/* A zeroed object that is not on the loop's list yet, or NULL. */
static Connection *
allocate(const ConnectionKind *kind, State *st)
{
    PyTypeObject *type = st->types[kind->type];
    Connection *connection = (Connection *)type->tp_alloc(type, 0);

    if (connection != NULL) {
        connection->endpoint.fd = -1;
        connection->stream.fd = -1;
    }
    return connection;
}

/* Bind the uv handle and the fd to each other: 0; or -1 with an exception,
 * the fd left open and the object without it. Closed then, if it was open. */
static int
open_handle(Connection *connection,
            const ConnectionKind *kind,
            Loop *loop,
            int fd)
{
    Stream *stream = &connection->stream;
    Handle *handle = &stream->transport.handle;
    int err = 0;

    loop_touch(loop);
    err = kind->init(&loop->uv, stream);
    if (err < 0) {
        return raise_uv(loop->st, err);
    }
    handle_open(handle,
                &connection_ops.transport.handle,
                &loop->registry,
                (uv_handle_t *)&stream->uv);
    err = loop_set_owner(loop, fd, handle);
    if (err == 0) {
        err = kind->open(stream, fd);
        if (err == 0) {
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
connection_accepted(const ConnectionKind *kind,
                    Loop *loop,
                    int fd,
                    const Addr *peer,
                    PyObject *protocol,
                    Server *server,
                    PyObject *context)
{
    Connection *connection = NULL;
    int own = evade_owner(loop, fd);

    if (own < 0) {
        return NULL;
    }
    connection = allocate(kind, loop->st);
    if (connection == NULL ||
        transport_init(
            &connection->stream.transport, loop->st, protocol, context, NULL) <
            0 ||
        open_handle(connection, kind, loop, own) < 0) {
        if (own != fd) {
            (void)close(own); /* the caller closes the other */
        }
        Py_XDECREF(connection);
        return NULL;
    }
    endpoint_accept(&connection->endpoint, own, peer);
    if (server != NULL) {
        server_attach(server,
                      &connection->stream.transport.link,
                      (PyObject *)connection);
    }
    return &connection->stream.transport;
}

/* ---- of a Python socket ---- */

/* 0, or -1 with an exception: the socket is of another kind, or another
 * transport has it. */
static int
check_endpoint(const ConnectionKind *kind,
               Loop *loop,
               const Endpoint *endpoint)
{
    int family = endpoint->local.raw.any.sa_family;

    if (!kind->takes(family)) {
        PyErr_Format(PyExc_ValueError,
                     "a socket of family %s was expected, got family %d",
                     kind->families,
                     family);
        return -1;
    }
    return transport_check_fd(loop, endpoint->fd);
}

/* What open_* is given. */
typedef struct {
    OpenArgs open;
    PyObject *sock; /* borrowed, as the next two; or a Dial */
    PyObject *protocol;
    Server *server; /* or NULL */
} ConnectionArgs;

/* New reference, or NULL with an exception and the socket untouched. */
static PyObject *
open_connection(const ConnectionKind *kind, const ConnectionArgs *given)
{
    Loop *loop = given->open.loop;
    State *st = loop->st;
    Connection *connection = allocate(kind, st);
    Transport *transport = NULL;
    int fd = -1;

    if (connection == NULL) {
        return NULL;
    }
    transport = &connection->stream.transport;
    fd = dial_fd(st, given->sock);
    if (fd < 0 && Py_IS_TYPE(given->sock, st->types[TYPE_DIAL])) {
        PyErr_SetString(PyExc_TypeError, "the socket is not connected");
        goto error;
    }
    if (fd >= 0) {
        endpoint_connected(&connection->endpoint, fd, IPPROTO_TCP);
    }
    else if (endpoint_adopt(&connection->endpoint, st, given->sock) < 0) {
        goto error;
    }
    if (check_endpoint(kind, loop, &connection->endpoint) < 0 ||
        transport_init(transport,
                       st,
                       given->protocol,
                       given->open.context,
                       given->open.waiter) < 0 ||
        open_handle(connection, kind, loop, connection->endpoint.fd) < 0) {
        endpoint_disown(&connection->endpoint, st);
        goto error;
    }
    if (transport_schedule_start(transport) < 0) {
        endpoint_disown(&connection->endpoint, st);
        forget_fd(&connection->stream);
        (void)loop_set_owner(
            loop, connection->stream.fd, NULL); /* cannot fail */
        connection->stream.fd = -1;
        transport->lost = 1;
        transport->closing = true;
        transport->released = true;
        handle_close(&transport->handle);
        goto error;
    }
    if (fd >= 0) {
        dial_give_up(given->sock);
    }
    if (given->server != NULL) {
        server_attach(given->server, &transport->link, (PyObject *)connection);
    }
    return (PyObject *)connection;

error:
    Py_DECREF(connection);
    return NULL;
}

PyObject *
connection_open(const ConnectionKind *kind,
                PyObject *module,
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
    const ArgSpec spec = {kind->function, 3, 6, 6, names};
    State *st = PyModule_GetState(module);
    PyObject *out[6];
    ConnectionArgs given = {.server = NULL};
    PyObject *transport = NULL;

    if (args_spread(&spec, st->names, args, nargs, kwnames, out) < 0) {
        return NULL;
    }
    given.sock = out[1];
    given.protocol = out[2];
    if (out[4] != NULL && out[4] != Py_None) {
        if (!PyObject_TypeCheck(out[4], st->types[TYPE_SERVER])) {
            return PyErr_Format(
                PyExc_TypeError, "server must be a Server, not %R", out[4]);
        }
        given.server = (Server *)out[4];
    }
    if (transport_open_args(st, out[0], out[3], out[5], &given.open) < 0) {
        return NULL;
    }
    transport = open_connection(kind, &given);
    transport_open_done(&given.open);
    return transport;
}

/* ---- the types ---- */

int
connection_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    Connection *connection = CAST(Connection, self);
    int err = endpoint_traverse(&connection->endpoint, visit, arg);

    return err != 0 ? err : stream_traverse(&connection->stream, visit, arg);
}

int
connection_tp_clear(PyObject *self)
{
    Connection *connection = CAST(Connection, self);

    endpoint_clear(&connection->endpoint);
    stream_clear(&connection->stream);
    return 0;
}

void
connection_tp_dealloc(PyObject *self)
{
    Connection *connection = CAST(Connection, self);

    PyObject_GC_UnTrack(self);
    if (connection->stream.transport.weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    (void)connection_tp_clear(self); /* always 0 */
    transport_dealloc(&connection->stream.transport);
}

PyMemberDef connection_members[] = {
    {"__weaklistoffset__",
     Py_T_PYSSIZET,
     offsetof(Connection, stream.transport.weakrefs),
     Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
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
        mode = PyObject_GetAttrString(modes, "TRY_NATIVE");
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
connection_register(const ConnectionKind *kind,
                    PyObject *module,
                    State *st,
                    PyType_Spec *spec,
                    PyMethodDef *functions)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, spec, st->objects[OBJECT_ASYNCIO_TRANSPORT]);

    st->types[kind->type] = type;
    if (type == NULL || transport_add_methods(type) < 0 ||
        transport_add_reading(type) < 0 || stream_add_writing(type) < 0 ||
        set_marks((PyObject *)type) < 0 ||
        PyModule_AddType(module, type) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
