/* A plain socket.socket is read and written here: its own methods make a new
 * bytes object of the size that is asked for each time, and an exception each
 * time they would block. */
#include "sockets.h"

#include <errno.h>
#include <sys/socket.h>

#include "waiter.h"

/* Up to here what was received is copied out of the loop's bytes object. */
#define COPIED_BYTES 16384

/* A bigger object is not kept for the next call. */
#define KEPT_BYTES ((size_t)1024 * 1024)

/* ---- system calls ---- */

static bool
is_plain(State *st, PyObject *sock)
{
    return (PyObject *)Py_TYPE(sock) == st->objects[OBJECT_SOCKET];
}

/* sock.fileno(): -1 if it is closed, or -1 with an exception. */
static int
descriptor(State *st, PyObject *sock)
{
    PyObject *number = PyObject_CallMethodNoArgs(sock, st->names[NAME_fileno]);
    int fd = -1;

    if (number != NULL) {
        fd = PyLong_AsInt(number);
        Py_DECREF(number);
    }
    return fd;
}

/* What a call came to that failed with `err`: 0 if it would block, else -1
 * with OSError. */
static int
failed(int err)
{
    if (err == EAGAIN || err == EWOULDBLOCK || err == EINTR) {
        return 0;
    }
    errno = err;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

/* The same of a method of a socket, by its exception. */
static int
method_failed(void)
{
    if (PyErr_ExceptionMatches(PyExc_BlockingIOError) ||
        PyErr_ExceptionMatches(PyExc_InterruptedError)) {
        PyErr_Clear(); /* that is the answer */
        return 0;
    }
    return -1;
}

/* The bytes object that is kept belongs to the loop's thread. */
static bool
is_ours(Loop *loop)
{
    return !COMPAT_FREE_THREADED ||
           border_thread(&loop->border) == PyThread_get_thread_ident();
}

/* A bytes object of at least `size` bytes, of which nobody knows. */
static PyObject *
take_bytes(Loop *loop, size_t size)
{
    PyObject *bytes = NULL;

    if (is_ours(loop)) {
        bytes = loop->receiving;
        loop->receiving = NULL;
    }
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
    if ((size_t)PyBytes_GET_SIZE(bytes) > KEPT_BYTES || !is_ours(loop)) {
        Py_DECREF(bytes);
        return;
    }
    Py_XSETREF(loop->receiving, bytes);
}

/* recv(); as a WaiterCall. */
static int
receive_bytes(Loop *loop, int fd, size_t size, PyObject **result)
{
    PyObject *bytes = take_bytes(loop, size);
    ssize_t count = 0;
    int err = 0;

    if (bytes == NULL) {
        return -1;
    }
    count = recv(fd, PyBytes_AS_STRING(bytes), size, MSG_DONTWAIT);
    err = errno;
    /* What is cut short by far is copied, too: malloc would map and unmap the
     * whole of it for each message. */
    if (count > COPIED_BYTES && (size_t)count > size / 2) {
        *result = bytes;
        return bytes_shrink(result, count) < 0 ? -1 : 1;
    }
    if (count >= 0) {
        *result = PyBytes_FromStringAndSize(PyBytes_AS_STRING(bytes), count);
    }
    keep_bytes(loop, bytes);
    if (count < 0) {
        return failed(err);
    }
    return *result == NULL ? -1 : 1;
}

/* sock.recv(n); as a WaiterCall. */
static int
receive(Loop *loop, PyObject *sock, PyObject *n, PyObject **result)
{
    State *st = loop->st;
    Py_ssize_t size = -1;
    int fd = -1;

    if (is_plain(st, sock) && PyLong_CheckExact(n)) {
        size = PyLong_AsSsize_t(n);
        PyErr_Clear(); /* too big: sock.recv() says so */
        fd = descriptor(st, sock);
    }
    if (size > 0 && fd >= 0) {
        return receive_bytes(loop, fd, (size_t)size, result);
    }
    if (PyErr_Occurred()) {
        return -1;
    }
    *result = PyObject_CallMethodOneArg(sock, st->names[NAME_recv], n);
    return *result == NULL ? method_failed() : 1;
}

static int
receive_again(Waiter *waiter, PyObject **result)
{
    return receive(waiter->loop, waiter->sock, waiter->arg, result);
}

/* Send what is left of the data; as a WaiterCall. */
static int
send_again(Waiter *waiter, PyObject **result)
{
    Py_buffer *data = &waiter->data;
    int fd = descriptor(waiter->loop->st, waiter->sock);
    ssize_t count = 0;

    if (fd < 0) {
        return PyErr_Occurred() ? -1 : failed(EBADF);
    }
    count = send(fd,
                 (const char *)data->buf + waiter->sent,
                 (size_t)(data->len - waiter->sent),
                 MSG_DONTWAIT);
    if (count < 0) {
        return failed(errno);
    }
    waiter->sent += count;
    if (waiter->sent < data->len) {
        return 0;
    }
    *result = Py_NewRef(Py_None);
    return 1;
}

static int
call_again(Waiter *waiter, PyObject **result)
{
    *result = PyObject_CallNoArgs(waiter->arg);
    return *result == NULL ? method_failed() : 1;
}

/* ---- the functions ---- */

/* The loop, if it is one and the socket may be used on it; NULL with an
 * exception. */
static Loop *
check(PyObject *module,
      const char *function,
      PyObject *const *args,
      Py_ssize_t nargs,
      Py_ssize_t wanted)
{
    State *st = PyModule_GetState(module);
    Loop *loop = NULL;
    PyObject *result = NULL;

    if (nargs != wanted ||
        !PyObject_TypeCheck(args[0], st->types[TYPE_LOOP])) {
        PyErr_Format(PyExc_TypeError,
                     "%s() takes a loop and %zd more arguments",
                     function,
                     wanted - 1);
        return NULL;
    }
    loop = CAST(Loop, args[0]);
    if (is_plain(st, args[1]) && !loop->border.debug) {
        return loop;
    }
    result = PyObject_CallMethodOneArg(
        args[0], st->names[NAME_check_socket], args[1]);
    Py_XDECREF(result);
    return result == NULL ? NULL : loop;
}

/* The descriptor to wait for, which must not be a transport's; -1 with an
 * exception. */
static int
check_fd(Loop *loop, PyObject *sock)
{
    State *st = loop->st;
    PyObject *number = NULL;
    int fd = -1;

    if (is_plain(st, sock)) {
        fd = descriptor(st, sock);
        if (fd >= 0 && loop_owner(loop, fd) == NULL) {
            return fd;
        }
    }
    if (!PyErr_Occurred()) {
        number = PyObject_CallMethodOneArg(
            (PyObject *)loop, st->names[NAME_check_fd], sock);
    }
    if (number == NULL) {
        return -1;
    }
    fd = PyLong_AsInt(number);
    Py_DECREF(number);
    return fd;
}

/* The waiter, started: it is the result. Only here another thread is one too
 * many. */
static PyObject *
start(Loop *loop, Waiter *waiter /* steals */)
{
    int entered = loop_check_closed(loop) < 0 ? -1 : loop_enter(loop);
    int fd = -1;

    if (entered >= 0) {
        fd = check_fd(loop, waiter->sock);
        if (fd >= 0 && waiter_start(waiter, fd) < 0) {
            fd = -1;
        }
        loop_leave(loop, entered);
    }
    if (fd < 0) {
        Py_CLEAR(waiter);
    }
    return (PyObject *)waiter;
}

/* The waiter for a call with `arg`. */
static PyObject *
wait_for(
    Loop *loop, PyObject *sock, PyObject *arg, WatchKind kind, WaiterCall call)
{
    Waiter *waiter = waiter_new(loop, sock, kind, call);

    if (waiter == NULL) {
        return NULL;
    }
    waiter->arg = Py_NewRef(arg);
    return start(loop, waiter);
}

/* Make a call, and wait if it would block; the arguments are checked. */
static PyObject *
call_or_wait(
    Loop *loop, PyObject *sock, PyObject *arg, WatchKind kind, WaiterCall call)
{
    PyObject *result = NULL;
    int outcome = 0;

    if (call == receive_again) {
        outcome = receive(loop, sock, arg, &result);
    }
    else {
        result = PyObject_CallNoArgs(arg);
        outcome = result == NULL ? method_failed() : 1;
    }
    return outcome != 0 ? result : wait_for(loop, sock, arg, kind, call);
}

PyDoc_STRVAR(sock_recv_doc,
             "sock_recv($module, loop, sock, n, /)\n--\n\n"
             "Return what sock.recv(n) does, or a Waiter for it.");

static PyObject *
sock_recv_meth(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Loop *loop = check(module, "sock_recv", args, nargs, 3);

    if (loop == NULL) {
        return NULL;
    }
    return call_or_wait(loop, args[1], args[2], WATCH_READ, receive_again);
}

PyDoc_STRVAR(sock_call_doc,
             "sock_call($module, loop, sock, call, writes, /)\n--\n\n"
             "Return what call() does, or a Waiter for it if that would "
             "block: until sock is writable, or else readable.");

static PyObject *
sock_call_meth(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Loop *loop = check(module, "sock_call", args, nargs, 4);

    if (loop == NULL) {
        return NULL;
    }
    return call_or_wait(loop,
                        args[1],
                        args[2],
                        args[3] == Py_True ? WATCH_WRITE : WATCH_READ,
                        call_again);
}

PyDoc_STRVAR(sock_wait_doc,
             "sock_wait($module, loop, sock, call, /)\n--\n\n"
             "Return a Waiter for what call() does once sock is writable.");

static PyObject *
sock_wait_meth(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Loop *loop = check(module, "sock_wait", args, nargs, 3);

    if (loop == NULL) {
        return NULL;
    }
    return wait_for(loop, args[1], args[2], WATCH_WRITE, call_again);
}

/* Send data that is all there is of it, and wait for the rest. */
static PyObject *
send_or_wait(Loop *loop, PyObject *sock, Py_buffer *data /* steals */)
{
    Waiter *waiter = NULL;
    ssize_t count = 0;
    int fd = descriptor(loop->st, sock);

    if (fd < 0) {
        count = PyErr_Occurred() ? -1 : failed(EBADF);
    }
    else {
        count = send(fd, data->buf, (size_t)data->len, MSG_DONTWAIT);
        if (count < 0) {
            count = failed(errno);
        }
    }
    if (count < 0 || count == data->len) {
        PyBuffer_Release(data);
        return count < 0 ? NULL : Py_NewRef(Py_None);
    }
    waiter = waiter_new(loop, sock, WATCH_WRITE, send_again);
    if (waiter == NULL) {
        PyBuffer_Release(data);
        return NULL;
    }
    waiter->data = *data;
    waiter->sent = count;
    return start(loop, waiter);
}

PyDoc_STRVAR(sock_send_doc,
             "sock_send($module, loop, sock, data, /)\n--\n\n"
             "Send all of data to a plain socket: None, or a Waiter for the "
             "rest of it.");

static PyObject *
sock_send_meth(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    Loop *loop = check(module, "sock_send", args, nargs, 3);
    Py_buffer data;

    if (loop == NULL || PyObject_GetBuffer(args[2], &data, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    return send_or_wait(loop, args[1], &data);
}

PyDoc_STRVAR(sock_abandon_doc,
             "sock_abandon($module, loop, /)\n--\n\n"
             "Let go of all sockets that a Waiter holds: the loop is closed.");

static PyObject *
sock_abandon_meth(PyObject *module, PyObject *arg)
{
    State *st = PyModule_GetState(module);

    if (!PyObject_TypeCheck(arg, st->types[TYPE_LOOP])) {
        PyErr_SetString(PyExc_TypeError, "sock_abandon() takes a loop");
        return NULL;
    }
    waiter_abandon_all(CAST(Loop, arg));
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"sock_recv", METHOD(sock_recv_meth), METH_FASTCALL, sock_recv_doc},
    {"sock_send", METHOD(sock_send_meth), METH_FASTCALL, sock_send_doc},
    {"sock_call", METHOD(sock_call_meth), METH_FASTCALL, sock_call_doc},
    {"sock_wait", METHOD(sock_wait_meth), METH_FASTCALL, sock_wait_doc},
    {"sock_abandon", sock_abandon_meth, METH_O, sock_abandon_doc},
    {NULL, NULL, 0, NULL},
};

int
sockets_register(PyObject *module, State *Py_UNUSED(st))
{
    return PyModule_AddFunctions(module, functions);
}
