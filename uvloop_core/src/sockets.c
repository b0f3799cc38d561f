/* A plain socket.socket is read and written here: its own methods make a new
 * bytes object of the size that is asked for each time, and an exception each
 * time they would block. */
#include "sockets.h"

#include <errno.h>
#include <sys/socket.h>

#include "loop.h"

/* Up to here what was received is copied out of the loop's bytes object. */
#define COPIED_BYTES 16384

/* A bigger object is not kept for the next call. */
#define KEPT_BYTES ((size_t)1024 * 1024)

/* The arguments that all functions share. */
static Loop *
parse_loop(State *st,
           const char *function,
           PyObject *const *args,
           Py_ssize_t nargs)
{
    if (nargs == 3 && PyObject_TypeCheck(args[0], st->types[TYPE_LOOP])) {
        return CAST(Loop, args[0]);
    }
    PyErr_Format(
        PyExc_TypeError, "%s() takes a loop, a socket and one more", function);
    return NULL;
}

/* The descriptor of a plain socket that is open; -1 for anything else: its
 * methods shall do it, or say what is wrong. */
static int
plain_fd(State *st, PyObject *sock)
{
    PyObject *number = NULL;
    int fd = -1;

    if ((PyObject *)Py_TYPE(sock) == st->objects[OBJECT_SOCKET]) {
        number = PyObject_CallMethodNoArgs(sock, st->names[NAME_fileno]);
    }
    if (number != NULL) {
        fd = PyLong_AsInt(number);
        Py_DECREF(number);
    }
    if (fd < 0) {
        PyErr_Clear(); /* see above */
    }
    return fd;
}

static bool
would_block(int err)
{
    return err == EAGAIN || err == EWOULDBLOCK || err == EINTR;
}

/* sock.name(arg); `blocked`, borrowed, if it would block. */
static PyObject *
call_method(PyObject *sock, PyObject *name, PyObject *arg, PyObject *blocked)
{
    PyObject *result = PyObject_CallMethodOneArg(sock, name, arg);

    if (result == NULL && (PyErr_ExceptionMatches(PyExc_BlockingIOError) ||
                           PyErr_ExceptionMatches(PyExc_InterruptedError))) {
        PyErr_Clear(); /* that is the answer */
        return Py_NewRef(blocked);
    }
    return result;
}

/* A bytes object of at least `size` bytes, of which nobody knows. */
static PyObject *
take_bytes(Loop *loop, size_t size)
{
    PyObject *bytes = loop->receiving;

    loop->receiving = NULL;
    if (bytes != NULL && (size_t)PyBytes_GET_SIZE(bytes) < size) {
        Py_CLEAR(bytes);
    }
    if (bytes == NULL) {
        bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    }
    return bytes;
}

static void
keep_bytes(Loop *loop, PyObject *bytes /* steals */)
{
    if ((size_t)PyBytes_GET_SIZE(bytes) > KEPT_BYTES) {
        Py_DECREF(bytes);
        return;
    }
    Py_XSETREF(loop->receiving, bytes);
}

/* Up to `size` bytes from a descriptor; None if that would block. */
static PyObject *
receive(Loop *loop, int fd, size_t size)
{
    PyObject *bytes = take_bytes(loop, size);
    PyObject *result = NULL;
    ssize_t count = 0;
    int err = 0;

    if (bytes == NULL) {
        return NULL;
    }
    count = recv(fd, PyBytes_AS_STRING(bytes), size, MSG_DONTWAIT);
    err = errno;
    if (count > COPIED_BYTES) {
        (void)bytes_shrink(&bytes, count); /* NULL is the result, too */
        return bytes;
    }
    if (count >= 0) {
        result = PyBytes_FromStringAndSize(PyBytes_AS_STRING(bytes), count);
    }
    keep_bytes(loop, bytes);
    if (count < 0 && would_block(err)) {
        Py_RETURN_NONE;
    }
    if (count < 0) {
        errno = err;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return result;
}

PyDoc_STRVAR(receive_doc,
             "receive($module, loop, sock, n, /)\n--\n\n"
             "Return up to n bytes that have come, None if none have.");

static PyObject *
receive_meth(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    State *st = PyModule_GetState(module);
    Loop *loop = parse_loop(st, "receive", args, nargs);
    Py_ssize_t size = -1;
    int fd = -1;
    int entered = 0;
    PyObject *result = NULL;

    if (loop == NULL) {
        return NULL;
    }
    if (PyLong_CheckExact(args[2])) {
        size = PyLong_AsSsize_t(args[2]);
        PyErr_Clear(); /* too big: sock.recv() says so */
    }
    fd = size > 0 ? plain_fd(st, args[1]) : -1;
    if (fd < 0) {
        return call_method(args[1], st->names[NAME_recv], args[2], Py_None);
    }
    entered = loop_enter_unchecked(loop);
    if (entered < 0) {
        return NULL;
    }
    result = receive(loop, fd, (size_t)size);
    loop_leave(loop, entered);
    return result;
}

PyDoc_STRVAR(send_doc,
             "send($module, loop, sock, data, /)\n--\n\n"
             "Send what can be sent now: returns how many bytes, or None if "
             "it is known to be all.");

static PyObject *
send_meth(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    State *st = PyModule_GetState(module);
    Loop *loop = parse_loop(st, "send", args, nargs);
    PyObject *zero = NULL;
    PyObject *result = NULL;
    Py_buffer view;
    ssize_t count = 0;
    int fd = -1;

    if (loop == NULL) {
        return NULL;
    }
    fd = plain_fd(st, args[1]);
    if (fd < 0) {
        zero = PyLong_FromLong(0);
        if (zero != NULL) {
            result =
                call_method(args[1], st->names[NAME_send], args[2], zero);
            Py_DECREF(zero);
        }
        return result;
    }
    if (PyObject_GetBuffer(args[2], &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    count = send(fd, view.buf, (size_t)view.len, MSG_DONTWAIT);
    if (count < 0 && would_block(errno)) {
        count = 0;
    }
    if (count < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
    }
    else if (count == view.len) {
        result = Py_NewRef(Py_None);
    }
    else {
        result = PyLong_FromSsize_t(count);
    }
    PyBuffer_Release(&view);
    return result;
}

static PyMethodDef functions[] = {
    {"receive", METHOD(receive_meth), METH_FASTCALL, receive_doc},
    {"send", METHOD(send_meth), METH_FASTCALL, send_doc},
    {NULL, NULL, 0, NULL},
};

int
sockets_register(PyObject *module, State *Py_UNUSED(st))
{
    return PyModule_AddFunctions(module, functions);
}
