#include "tcp.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include "connection.h"

static bool
takes(int family)
{
    return family == AF_INET || family == AF_INET6;
}

static int
init(uv_loop_t *uv, Stream *stream)
{
    return uv_tcp_init(uv, &stream->uv.tcp);
}

static int
open_fd(Stream *stream, int fd)
{
    int on = 1;
    int err = uv_tcp_open(&stream->uv.tcp, fd);

    if (err == 0) {
        /* As asyncio; a socket that is being reset refuses, no matter. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    return err;
}

static const ConnectionKind tcp_kind = {
    .type = TYPE_TCP_TRANSPORT,
    .function = "open_tcp",
    .families = "AF_INET or AF_INET6",
    .takes = takes,
    .init = init,
    .open = open_fd,
};

Transport *
tcp_accepted(Loop *loop,
             int fd,
             const Addr *peer,
             PyObject *protocol,
             Server *server,
             PyObject *context)
{
    return connection_accepted(
        &tcp_kind, loop, fd, peer, protocol, server, context);
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
    return connection_open(&tcp_kind, module, args, nargs, kwnames);
}

PyDoc_STRVAR(tcp_doc,
             "A TCP connection. Made by create_connection and create_server, "
             "not directly.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)tcp_doc},
    {Py_tp_traverse, connection_tp_traverse},
    {Py_tp_clear, connection_tp_clear},
    {Py_tp_dealloc, connection_tp_dealloc},
    {Py_tp_members, connection_members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "uvloop_core._core.TCPTransport",
    .basicsize = sizeof(Connection),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

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
    return connection_register(&tcp_kind, module, st, &spec, functions);
}
