#include "pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "args.h"
#include "endpoint.h"
#include "errors.h"
#include "stream.h"

typedef struct {
    Stream stream;
    PyObject *file;  /* owned: the Python file, NULL once it is closed */
    int number;      /* raw: its descriptor, for repr */
    bool keeps_file; /* the loop is closed: whoever has the file closes it */
    bool is_device;  /* a character device: see watch_reader */
    bool watched[WATCH_COUNT]; /* by the poll, for us */
} PipeTransport;

/* ---- the poll's side of writing ---- */

static PyObject *reader_gone(PyObject *self, PyObject *unused);
static PyObject *has_room(PyObject *self, PyObject *unused);

/* What the loop calls; not to be found on the type. */
static PyMethodDef reader_gone_def = {
    "_reader_gone", reader_gone, METH_NOARGS, "The other end was closed."};
static PyMethodDef has_room_def = {
    "_has_room", has_room, METH_NOARGS, "The kernel takes more."};

/* 0, or -1 with an exception. */
static int
watch(PipeTransport *pipe, WatchKind kind)
{
    Transport *transport = &pipe->stream.transport;

    if (pipe->watched[kind]) {
        return 0;
    }
    if (loop_watch(transport_loop(transport),
                   pipe->stream.fd,
                   kind,
                   kind == WATCH_READ ? &reader_gone_def : &has_room_def,
                   (PyObject *)pipe,
                   transport->context) < 0) {
        return -1;
    }
    pipe->watched[kind] = true;
    return 0;
}

static void
unwatch(PipeTransport *pipe, WatchKind kind)
{
    if (pipe->watched[kind]) {
        pipe->watched[kind] = false;
        loop_unwatch(
            transport_loop(&pipe->stream.transport), pipe->stream.fd, kind);
    }
}

/* As asyncio: the writing end of a pipe is readable once nobody reads. */
static PyObject *
reader_gone(PyObject *self, PyObject *unused)
{
    PipeTransport *pipe = CAST(PipeTransport, self);
    Transport *transport = &pipe->stream.transport;
    PyObject *exc = NULL;

    (void)unused;
    if (transport->closing) {
        Py_RETURN_NONE;
    }
    transport_debug(transport, "was closed by peer");
    if (pipe->stream.queue.size > 0) {
        exc = PyObject_CallNoArgs(PyExc_BrokenPipeError);
        if (exc == NULL) {
            return NULL;
        }
    }
    transport_force_close(transport, exc == NULL ? Py_None : exc);
    Py_XDECREF(exc);
    Py_RETURN_NONE;
}

static PyObject *
has_room(PyObject *self, PyObject *unused)
{
    PipeTransport *pipe = CAST(PipeTransport, self);

    (void)unused;
    if (pipe->stream.fd >= 0) {
        stream_writable(&pipe->stream);
    }
    if (pipe->stream.queue.size == 0) {
        unwatch(pipe, WATCH_WRITE);
    }
    Py_RETURN_NONE;
}

/* ---- StreamOps ---- */

static ssize_t
send_to_pipe(int fd, const void *data, size_t size)
{
    ssize_t sent = write(fd, data, size);

    return sent < 0 ? -errno : sent;
}

static ssize_t
send_pieces_to_pipe(int fd, struct iovec *pieces, int count)
{
    ssize_t sent = writev(fd, pieces, count);

    return sent < 0 ? -errno : sent;
}

static int
await_room(Stream *stream)
{
    return watch((PipeTransport *)stream, WATCH_WRITE);
}

/* A terminal is readable for other reasons than its end, and not every device
 * can be watched: there, only a write tells. */
static int
watch_reader(Transport *transport)
{
    PipeTransport *pipe = (PipeTransport *)transport;

    if (!pipe->is_device && watch(pipe, WATCH_READ) < 0) {
        transport_fatal_pending(transport, "Fatal error on pipe transport");
    }
    return 0;
}

static void
unwatch_reader(Transport *transport)
{
    unwatch((PipeTransport *)transport, WATCH_READ);
}

/* Neither libuv nor the poll shall know the fd any more: the file is going to
 * close it. */
static void
forget_fd(PipeTransport *pipe)
{
    Stream *stream = &pipe->stream;
    Loop *loop = transport_loop(&stream->transport);

    loop_touch(loop);
    for (int kind = 0; kind < WATCH_COUNT; kind++) {
        unwatch(pipe, (WatchKind)kind);
    }
    if (stream->uv.stream.io_watcher.fd >= 0) {
        stream_stop_reading(&stream->transport);
        poll_forget(&loop->poll, stream->fd);
        stream->uv.stream.io_watcher.fd = -1;
    }
    if (loop_owner(loop, stream->fd) == &stream->transport.handle) {
        (void)loop_set_owner(loop, stream->fd, NULL); /* cannot fail */
    }
    stream->fd = -1;
}

static void
close_file(PipeTransport *pipe)
{
    Transport *transport = &pipe->stream.transport;
    PyObject *file = pipe->file;
    PyObject *result = NULL;

    pipe->file = NULL;
    if (file == NULL) {
        return;
    }
    result = PyObject_CallMethodNoArgs(
        file, transport_state(transport)->names[NAME_close]);
    if (result == NULL) {
        loop_report(transport_loop(transport),
                    "Exception while closing a pipe",
                    NAME_transport,
                    (PyObject *)transport);
    }
    Py_XDECREF(result);
    Py_DECREF(file);
}

static void
release_pipe(Transport *transport)
{
    PipeTransport *pipe = (PipeTransport *)transport;

    if (pipe->stream.fd < 0) {
        return;
    }
    forget_fd(pipe);
    stream_discard(&pipe->stream);
    if (!pipe->keeps_file) {
        close_file(pipe);
    }
    handle_close(&transport->handle);
}

static void
shut_pipe(Handle *handle)
{
    ((PipeTransport *)handle)->keeps_file = true;
    transport_shut(handle);
}

/* All of it is in asyncio's dict, see open_pipe. */
static int
find_extra(Transport *transport, PyObject *name, PyObject **value)
{
    (void)transport;
    (void)name;
    *value = NULL;
    return 0;
}

static const StreamOps read_ops = {
    .transport =
        {
            .handle = {.shut = shut_pipe,
                       .failed = transport_failed,
                       .readable = stream_readable},
            .start_reading = stream_start_reading,
            .stop_reading = stream_stop_reading,
            .buffered = stream_buffered,
            .release = release_pipe,
            .extra = find_extra,
        },
    .one_way = true,
    .read_error = "Fatal read error on pipe transport",
};

static const StreamOps write_ops = {
    .transport =
        {
            .handle = {.shut = shut_pipe, .failed = transport_failed},
            .start_reading = watch_reader,
            .stop_reading = unwatch_reader,
            .buffered = stream_buffered,
            .release = release_pipe,
            .extra = find_extra,
            .lost_warning = "pipe closed by peer or os.write(pipe, data) "
                            "raised exception.",
        },
    .send = send_to_pipe,
    .send_pieces = send_pieces_to_pipe,
    .await_room = await_room,
    .one_way = true,
    .write_error = "Fatal write error on pipe transport",
};

/* ---- making one ---- */

/* The two directions: a const table each. */
typedef struct {
    TypeIndex type;
    const StreamOps *ops;
    const char *refusal; /* of a file of another kind */
} PipeKind;

static const PipeKind read_kind = {
    TYPE_READ_PIPE,
    &read_ops,
    "Pipe transport is for pipes/sockets only.",
};
static const PipeKind write_kind = {
    TYPE_WRITE_PIPE,
    &write_ops,
    "Pipe transport is only for pipes, sockets and character devices",
};

/* That the file can be waited for, and that it does not block from now on: 0,
 * or -1 with an exception. */
static int
prepare_file(PipeTransport *pipe, const PipeKind *kind, int fd)
{
    struct stat status;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fstat(fd, &status) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (!S_ISFIFO(status.st_mode) && !S_ISSOCK(status.st_mode) &&
        !S_ISCHR(status.st_mode)) {
        PyErr_SetString(PyExc_ValueError, kind->refusal);
        return -1;
    }
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    pipe->is_device = S_ISCHR(status.st_mode);
    pipe->number = fd;
    return 0;
}

/* End what has an open handle and was never heard of; the file is untouched.
 * Keeps the pending exception. */
static void
abandon(PipeTransport *pipe)
{
    Transport *transport = &pipe->stream.transport;

    forget_fd(pipe);
    Py_CLEAR(pipe->file);
    transport->lost = 1;
    transport->closing = true;
    transport->released = true;
    handle_close(&transport->handle);
}

/* Have the handle, the fd and the loop know each other; 0, or -1 with an
 * exception. */
static int
open_handle(PipeTransport *pipe, const PipeKind *kind, Loop *loop, int fd)
{
    Stream *stream = &pipe->stream;
    int err = 0;

    loop_touch(loop);
    err = uv_pipe_init(&loop->uv, &stream->uv.pipe, 0);
    if (err < 0) {
        return raise_uv(loop->st, err);
    }
    handle_open(&stream->transport.handle,
                &kind->ops->transport.handle,
                &loop->registry,
                (uv_handle_t *)&stream->uv);
    stream_init(stream, fd);
    if (loop_set_owner(loop, fd, &stream->transport.handle) < 0) {
        abandon(pipe);
        return -1;
    }
    if (kind == &read_kind) {
        err = uv_pipe_open(&stream->uv.pipe, fd);
    }
    if (err < 0 || transport_schedule_start(&stream->transport) < 0) {
        if (err < 0) {
            (void)raise_uv(loop->st, err); /* always -1 */
        }
        abandon(pipe);
        return -1;
    }
    return 0;
}

/* New reference, or NULL with an exception and the file untouched. */
static PyObject *
open_pipe(Loop *loop,
          const PipeKind *kind,
          PyObject *file,
          PyObject *protocol,
          PyObject *waiter,
          PyObject *context)
{
    State *st = loop->st;
    PyTypeObject *type = st->types[kind->type];
    PipeTransport *pipe = NULL;
    int fd = endpoint_fileno(st, file);

    if (fd < 0 || transport_check_fd(loop, fd) < 0) {
        return NULL;
    }
    pipe = (PipeTransport *)type->tp_alloc(type, 0);
    if (pipe == NULL) {
        return NULL;
    }
    pipe->stream.fd = -1;
    pipe->file = Py_NewRef(file);
    pipe->stream.transport.handle.extra = PyDict_New();
    if (pipe->stream.transport.handle.extra == NULL ||
        PyDict_SetItem(pipe->stream.transport.handle.extra,
                       st->names[NAME_pipe],
                       file) < 0 ||
        prepare_file(pipe, kind, fd) < 0 ||
        transport_init(
            &pipe->stream.transport, st, protocol, context, waiter) < 0 ||
        open_handle(pipe, kind, loop, fd) < 0) {
        Py_DECREF(pipe);
        return NULL;
    }
    return (PyObject *)pipe;
}

static PyObject *
open_from_args(PyObject *module,
               const PipeKind *kind,
               const ArgSpec *spec,
               PyObject *const *args,
               Py_ssize_t nargs,
               PyObject *kwnames)
{
    State *st = PyModule_GetState(module);
    PyObject *out[5];
    OpenArgs open = {NULL};
    PyObject *transport = NULL;

    if (args_spread(spec, st->names, args, nargs, kwnames, out) < 0 ||
        transport_open_args(st, out[0], out[3], out[4], &open) < 0) {
        return NULL;
    }
    transport =
        open_pipe(open.loop, kind, out[1], out[2], open.waiter, open.context);
    transport_open_done(&open);
    return transport;
}

static const short open_names[] = {
    NAME_loop, NAME_pipe, NAME_protocol, NAME_waiter, NAME_context};

PyDoc_STRVAR(
    open_read_pipe_doc,
    "open_read_pipe($module, /, loop, pipe, protocol, waiter=None,\n"
    "               context=None)\n--\n\n"
    "Make a ReadUnixTransport of a Python file.\n\n"
    "In a later turn protocol.connection_made is called in the context (a\n"
    "copy of the current one if None), reading starts, and the waiter, a\n"
    "future, gets None. On failure the file is still the caller's, else\n"
    "the transport's.");

static PyObject *
open_read_pipe_meth(PyObject *module,
                    PyObject *const *args,
                    Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const ArgSpec spec = {"open_read_pipe", 3, 5, 5, open_names};

    return open_from_args(module, &read_kind, &spec, args, nargs, kwnames);
}

PyDoc_STRVAR(
    open_write_pipe_doc,
    "open_write_pipe($module, /, loop, pipe, protocol, waiter=None,\n"
    "                context=None)\n--\n\n"
    "Make a WriteUnixTransport of a Python file, as open_read_pipe does.");

static PyObject *
open_write_pipe_meth(PyObject *module,
                     PyObject *const *args,
                     Py_ssize_t nargs,
                     PyObject *kwnames)
{
    static const ArgSpec spec = {"open_write_pipe", 3, 5, 5, open_names};

    return open_from_args(module, &write_kind, &spec, args, nargs, kwnames);
}

/* ---- the types ---- */

static int
pipe_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    PipeTransport *pipe = CAST(PipeTransport, self);

    Py_VISIT(pipe->file);
    return stream_traverse(&pipe->stream, visit, arg);
}

static int
pipe_tp_clear(PyObject *self)
{
    PipeTransport *pipe = CAST(PipeTransport, self);

    if (pipe->stream.fd < 0) { /* else the file would close it as it goes */
        Py_CLEAR(pipe->file);
    }
    stream_clear(&pipe->stream);
    return 0;
}

static void
pipe_tp_dealloc(PyObject *self)
{
    PipeTransport *pipe = CAST(PipeTransport, self);

    PyObject_GC_UnTrack(self);
    if (pipe->stream.transport.weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    (void)pipe_tp_clear(self); /* always 0 */
    transport_dealloc(&pipe->stream.transport);
}

/* As asyncio's: "polling" is waiting for the kernel. */
static PyObject *
repr_meth(PyObject *self, PyObject *unused)
{
    PipeTransport *pipe = CAST(PipeTransport, self);
    Transport *transport = &pipe->stream.transport;
    bool writes = stream_ops(&pipe->stream) == &write_ops;
    bool polls =
        writes ? pipe->watched[WATCH_WRITE] : transport_is_reading(transport);
    const char *closing = transport->closing ? " closing" : "";
    const char *state = polls ? "polling" : "idle";
    PyObject *name = PyType_GetName(Py_TYPE(self));
    PyObject *text = NULL;

    (void)unused;
    if (name == NULL) {
        return NULL;
    }
    transport_flush(transport); /* bufsize tells */
    if (pipe->file == NULL) {
        closing = " closed";
        state = "closed";
    }
    else if (pipe->keeps_file) {
        state = "open";
    }
    if (writes && pipe->file != NULL && !pipe->keeps_file) {
        text = PyUnicode_FromFormat("<%U%s fd=%d %s bufsize=%zu>",
                                    name,
                                    closing,
                                    pipe->number,
                                    state,
                                    stream_buffered(transport));
    }
    else {
        text = PyUnicode_FromFormat(
            "<%U%s fd=%d %s>", name, closing, pipe->number, state);
    }
    Py_DECREF(name);
    return text;
}

/* asyncio's name for the file; its tests take it away. */
static PyObject *
pipe_get(PyObject *self, void *unused)
{
    PyObject *file = CAST(PipeTransport, self)->file;

    (void)unused;
    return Py_NewRef(file == NULL ? Py_None : file);
}

static int
pipe_set(PyObject *self, PyObject *file, void *unused)
{
    PipeTransport *pipe = CAST(PipeTransport, self);

    (void)unused;
    Py_XSETREF(pipe->file, file == Py_None ? NULL : Py_XNewRef(file));
    return 0;
}

PyDoc_STRVAR(read_doc,
             "The reading end of a pipe. Made by connect_read_pipe, not "
             "directly.");
PyDoc_STRVAR(write_doc,
             "The writing end of a pipe. Made by connect_write_pipe, not "
             "directly.");

static PyMemberDef members[] = {
    {"__weaklistoffset__",
     Py_T_PYSSIZET,
     offsetof(PipeTransport, stream.transport.weakrefs),
     Py_READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"_pipe", pipe_get, pipe_set, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"__repr__", repr_meth, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot read_slots[] = {
    {Py_tp_doc, (void *)read_doc},
    {Py_tp_traverse, pipe_tp_traverse},
    {Py_tp_clear, pipe_tp_clear},
    {Py_tp_dealloc, pipe_tp_dealloc},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
    {0, NULL},
};

static PyType_Slot write_slots[] = {
    {Py_tp_doc, (void *)write_doc},
    {Py_tp_traverse, pipe_tp_traverse},
    {Py_tp_clear, pipe_tp_clear},
    {Py_tp_dealloc, pipe_tp_dealloc},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
    {0, NULL},
};

static PyType_Spec read_spec = {
    .name = "uvloop_core._core.ReadUnixTransport",
    .basicsize = sizeof(PipeTransport),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = read_slots,
};

static PyType_Spec write_spec = {
    .name = "uvloop_core._core.WriteUnixTransport",
    .basicsize = sizeof(PipeTransport),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = write_slots,
};

static PyMethodDef functions[] = {
    {"open_read_pipe",
     METHOD(open_read_pipe_meth),
     METH_FASTCALL | METH_KEYWORDS,
     open_read_pipe_doc},
    {"open_write_pipe",
     METHOD(open_write_pipe_meth),
     METH_FASTCALL | METH_KEYWORDS,
     open_write_pipe_doc},
    {NULL, NULL, 0, NULL},
};

/* Borrowed, from the state; or NULL. */
static PyTypeObject *
make_type(PyObject *module,
          State *st,
          PyType_Spec *spec,
          ObjectIndex base,
          TypeIndex index)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, spec, st->objects[base]);

    st->types[index] = type;
    if (type == NULL || transport_add_methods(type) < 0 ||
        transport_add_table(type, methods) < 0 ||
        PyModule_AddType(module, type) < 0) {
        return NULL;
    }
    return type;
}

int
pipe_register(PyObject *module, State *st)
{
    PyTypeObject *reader = make_type(
        module, st, &read_spec, OBJECT_ASYNCIO_READ_TRANSPORT, TYPE_READ_PIPE);
    PyTypeObject *writer = NULL;

    if (reader == NULL || transport_add_reading(reader) < 0) {
        return -1;
    }
    /* As asyncio's: to read from it is not implemented. */
    writer = make_type(
        module, st, &write_spec, OBJECT_ASYNCIO_TRANSPORT, TYPE_WRITE_PIPE);
    if (writer == NULL || stream_add_writing(writer) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}
