#include "unix.h"

#include "connection.h"

static bool
takes(int family)
{
    return family == AF_UNIX;
}

static int
init(uv_loop_t *uv, Stream *stream)
{
    return uv_pipe_init(uv, &stream->uv.pipe, 0);
}

static int
open_fd(Stream *stream, int fd)
{
    return uv_pipe_open(&stream->uv.pipe, fd);
}

static const ConnectionKind unix_kind = {
    .type = TYPE_UNIX_TRANSPORT,
    .function = "open_unix",
    .families = "AF_UNIX",
    .takes = takes,
    .init = init,
    .open = open_fd,
};

Transport *
unix_accepted(Loop *loop,
              int fd,
              const Addr *peer,
              PyObject *protocol,
              Server *server,
              PyObject *context)
{
    return connection_accepted(
        &unix_kind, loop, fd, peer, protocol, server, context);
}

PyDoc_STRVAR(
    open_unix_doc,
    "open_unix($module, /, loop, sock, protocol, waiter=None, server=None,\n"
    "          context=None)\n--\n\n"
    "Make a UnixTransport of a connected, non-blocking socket, as open_tcp\n"
    "does.");

static PyObject *
open_unix_meth(PyObject *module,
               PyObject *const *args,
               Py_ssize_t nargs,
               PyObject *kwnames)
{
    return connection_open(&unix_kind, module, args, nargs, kwnames);
}

PyDoc_STRVAR(unix_doc,
             "A connection of a UNIX socket. Made by create_unix_connection "
             "and create_unix_server, not directly.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)unix_doc},
    {Py_tp_traverse, connection_tp_traverse},
    {Py_tp_clear, connection_tp_clear},
    {Py_tp_dealloc, connection_tp_dealloc},
    {Py_tp_members, connection_members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "uvloop_core._core.UnixTransport",
    .basicsize = sizeof(Connection),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

static PyMethodDef functions[] = {
    {"open_unix",
     METHOD(open_unix_meth),
     METH_FASTCALL | METH_KEYWORDS,
     open_unix_doc},
    {NULL, NULL, 0, NULL},
};

int
unix_register(PyObject *module, State *st)
{
    return connection_register(&unix_kind, module, st, &spec, functions);
}
