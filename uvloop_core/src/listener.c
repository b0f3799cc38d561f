#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* At most so many connections a turn, however long the backlog is: others
 * want to be served too. */
#define MAX_ACCEPTS 64

/* After so many that came alone a second one is looked for: the kernel makes
 * a socket and a file before it sees that there is none. */
#define ALONE 8

/* asyncio's ACCEPT_RETRY_DELAY, in seconds. */
#define RETRY_DELAY 1.0

typedef struct {
    PyObject_HEAD
    PyObject *loop;    /* owned */
    PyObject *sock;    /* owned: the listening socket.socket */
    PyObject *factory; /* owned: the protocol factory */
    PyObject *server;  /* owned: a Server, or NULL */
    PyObject *context; /* owned: each connection gets a copy */
    const ListenerKind *kind;
    int fd;
    int most;     /* accepted in one turn */
    int next;     /* to be accepted in the next turn, 1..most */
    int alone;    /* turns in a row in which one came, and no more was asked */
    char serving; /* start() was called */
    bool resting; /* out of resources: a timer will start it again */
} Listener;

static Loop *
listener_loop(Listener *listener)
{
    return CAST(Loop, listener->loop);
}

/* ---- one connection ---- */

/* The new fd, or a negative errno. */
static int
accept_connection(int fd, Addr *peer)
{
    int connection = 0;

    peer->size = sizeof(peer->raw);
    do {
#if defined(__linux__) && !defined(PORTABLE)
        connection = accept4(
            fd, &peer->raw.any, &peer->size, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
        connection = accept(fd, &peer->raw.any, &peer->size);
#endif
    } while (connection < 0 && errno == EINTR);
    if (connection < 0) {
        return -errno;
    }
#if !defined(__linux__) || defined(PORTABLE)
    /* uv_tcp_open and uv_pipe_open make it non-blocking. */
    (void)fcntl(connection, F_SETFD, FD_CLOEXEC); /* of an open fd: works */
#endif
    return connection;
}

/* Tell of a connection that came to nothing. */
static void
report_failure(Listener *listener, PyObject *protocol)
{
    loop_report(listener_loop(listener),
                "Error on transport creation for incoming connection",
                NAME_protocol,
                protocol);
}

/* Make protocol and transport in a context of their own, and start them. */
static void
serve_connection(Listener *listener, int fd, const Addr *peer)
{
    Loop *loop = listener_loop(listener);
    PyObject *context = PyContext_Copy(listener->context);
    PyObject *protocol = NULL;
    Transport *transport = NULL;

    if (context != NULL) {
        protocol =
            enter_call(&loop->border, context, listener->factory, NULL, 0);
    }
    if (protocol != NULL && listener->serving) {
        transport = listener->kind->accepted(
            loop, fd, peer, protocol, (Server *)listener->server, context);
    }
    if (transport == NULL) {
        (void)close(fd); /* nothing was written: nothing to lose */
    }
    if (transport != NULL) {
        transport_start(transport);
        Py_DECREF(transport);
    }
    else if (PyErr_Occurred()) {
        report_failure(listener, protocol);
    }
    Py_XDECREF(protocol);
    Py_XDECREF(context);
}

/* ---- watching ---- */

static PyObject *accept_ready(PyObject *self, PyObject *unused);
static PyObject *rest_over(PyObject *self, PyObject *unused);

/* What the loop calls; not to be found on the type. */
static PyMethodDef accept_def = {
    "_accept", accept_ready, METH_NOARGS, "The listening socket is ready."};
static PyMethodDef rest_over_def = {
    "_rest_over", rest_over, METH_NOARGS, "Try to accept again."};

/* Have the loop call us when there is somebody to accept; 0 or -1. */
static int
watch(Listener *listener)
{
    return loop_watch(listener_loop(listener),
                      listener->fd,
                      WATCH_READ,
                      &accept_def,
                      (PyObject *)listener,
                      listener->context);
}

static void
unwatch(Listener *listener)
{
    loop_unwatch(listener_loop(listener), listener->fd, WATCH_READ);
}

/* Stop for a second; 0, or -1 with MemoryError. */
static int
rest(Listener *listener)
{
    Loop *loop = listener_loop(listener);
    PyObject *callable = NULL;
    TimerCallback *timer = NULL;

    unwatch(listener);
    if (listener->resting) {
        return 0;
    }
    callable = PyCFunction_New(&rest_over_def, (PyObject *)listener);
    if (callable == NULL) {
        return -1;
    }
    timer = callback_new_timer(&loop->host,
                               (double)loop_now() / 1e9 + RETRY_DELAY,
                               callable,
                               listener->context,
                               NULL,
                               0);
    Py_DECREF(callable);
    if (timer == NULL) {
        return -1;
    }
    if (timers_push(&loop->timers, timer) < 0) {
        Py_DECREF(timer);
        return -1;
    }
    listener->resting = true;
    return 0;
}

static PyObject *
rest_over(PyObject *self, PyObject *unused)
{
    Listener *listener = CAST(Listener, self);

    (void)unused;
    listener->resting = false;
    if (listener->serving && !listener_loop(listener)->closed &&
        watch(listener) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Accepting failed, and not for the one connection only: tell, and rest, for
 * the kernel would go on calling. */
static void
accept_failed(Listener *listener, int err)
{
    Loop *loop = listener_loop(listener);
    bool no_resources =
        err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
    PyObject *wrapper = PyObject_CallOneArg(
        loop->st->objects[OBJECT_TRANSPORT_SOCKET], listener->sock);

    if (wrapper == NULL) {
        PyErr_Clear(); /* the OSError matters more */
    }
    errno = err;
    PyErr_SetFromErrno(PyExc_OSError);
    loop_report(loop,
                no_resources ? "socket.accept() out of system resource"
                             : "socket.accept() failed",
                NAME_socket,
                wrapper);
    Py_XDECREF(wrapper);
    if (listener->serving && rest(listener) < 0) {
        loop_report(loop, "a listener stopped", NAME_socket, listener->sock);
    }
}

/* Errors of one connection that was gone before it was accepted: accept(2)
 * says to take them as "try again". */
static bool
is_about_connection(int err)
{
    switch (err) {
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EPERM: /* a firewall's rule */
#ifdef ENONET
    case ENONET:
#endif
        return true;
    default:
        return false;
    }
}

/* Learn from how many came. */
static void
adapt(Listener *listener, int count)
{
    if (count < listener->next) {
        listener->next = count > 1 ? count : 1;
        listener->alone = 0;
    }
    else if (count > 1 || ++listener->alone == ALONE) {
        listener->next =
            2 * count < listener->most ? 2 * count : listener->most;
        listener->alone = 0;
    }
}

static PyObject *
accept_ready(PyObject *self, PyObject *unused)
{
    Listener *listener = CAST(Listener, self);
    Loop *loop = listener_loop(listener);
    int count = 0;

    (void)unused;
    while (count < listener->next && listener->serving &&
           loop->border.fatal == NULL) {
        Addr peer;
        int fd = accept_connection(listener->fd, &peer);

        if (fd >= 0) {
            serve_connection(listener, fd, &peer);
        }
        else if (fd == -EAGAIN || fd == -EWOULDBLOCK) {
            break;
        }
        else if (!is_about_connection(-fd)) {
            accept_failed(listener, -fd);
            break;
        }
        count++;
    }
    adapt(listener, count);
    Py_RETURN_NONE;
}

/* ---- Python's side ---- */

static const ListenerKind *
find_kind(int fd)
{
    Addr local;
    int err = addr_get_local(fd, &local);

    if (err < 0) {
        errno = -err;
        PyErr_SetFromErrno(PyExc_OSError);
        return NULL;
    }
    for (const ListenerKind *kind = listener_kinds; kind->accepted != NULL;
         kind++) {
        if (kind->family == local.raw.any.sa_family) {
            return kind;
        }
    }
    PyErr_Format(PyExc_ValueError,
                 "cannot accept connections of family %d",
                 (int)local.raw.any.sa_family);
    return NULL;
}

static int
listener_tp_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {(char *)"loop",
                            (char *)"sock",
                            (char *)"protocol_factory",
                            (char *)"server",
                            (char *)"backlog",
                            (char *)"context",
                            NULL};
    Listener *listener = CAST(Listener, self);
    State *st = state_of_type(Py_TYPE(self));
    PyObject *loop = NULL;
    PyObject *sock = NULL;
    PyObject *factory = NULL;
    PyObject *server = NULL;
    PyObject *context = NULL;
    int backlog = 0;
    int fd = -1;

    if (st == NULL || !PyArg_ParseTupleAndKeywords(args,
                                                   kwargs,
                                                   "O!OOOiO!:Listener",
                                                   names,
                                                   st->types[TYPE_LOOP],
                                                   &loop,
                                                   &sock,
                                                   &factory,
                                                   &server,
                                                   &backlog,
                                                   &PyContext_Type,
                                                   &context)) {
        return -1;
    }
    if (server != Py_None &&
        !PyObject_TypeCheck(server, st->types[TYPE_SERVER])) {
        PyErr_SetString(PyExc_TypeError, "server must be a Server or None");
        return -1;
    }
    if (listener->loop != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "__init__() called twice");
        return -1;
    }
    fd = PyObject_AsFileDescriptor(sock);
    listener->kind = fd < 0 ? NULL : find_kind(fd);
    if (listener->kind == NULL) {
        return -1;
    }
    listener->fd = fd;
    listener->most = backlog < 1 ? 1 : backlog;
    if (listener->most > MAX_ACCEPTS) {
        listener->most = MAX_ACCEPTS;
    }
    listener->next = 1;
    listener->sock = Py_NewRef(sock);
    listener->factory = Py_NewRef(factory);
    listener->server = server == Py_None ? NULL : Py_NewRef(server);
    listener->context = Py_NewRef(context);
    listener->loop = Py_NewRef(loop);
    return 0;
}

/* loop_enter() of a listener that has a loop. */
static int
enter(Listener *listener)
{
    if (listener->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "__init__() was not called");
        return -1;
    }
    return loop_enter(listener_loop(listener));
}

static PyObject *
start_meth(PyObject *self, PyObject *unused)
{
    Listener *listener = CAST(Listener, self);
    int entered = enter(listener);
    int err = 0;

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    err = loop_check_closed(listener_loop(listener));
    if (err == 0 && !listener->serving) {
        err = listener->resting ? 0 : watch(listener);
        listener->serving = err == 0 ? 1 : 0;
    }
    loop_leave(listener_loop(listener), entered);
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
stop_meth(PyObject *self, PyObject *unused)
{
    Listener *listener = CAST(Listener, self);
    int entered = enter(listener);

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    if (listener->serving) {
        listener->serving = 0;
        if (!listener_loop(listener)->closed) {
            unwatch(listener);
        }
    }
    loop_leave(listener_loop(listener), entered);
    Py_RETURN_NONE;
}

static PyObject *
close_meth(PyObject *self, PyObject *unused)
{
    PyObject *result = stop_meth(self, unused);

    if (result == NULL) {
        return NULL;
    }
    Py_DECREF(result);
    return PyObject_CallMethod(CAST(Listener, self)->sock, "close", NULL);
}

static int
listener_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    Listener *listener = CAST(Listener, self);

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(listener->loop);
    Py_VISIT(listener->sock);
    Py_VISIT(listener->factory);
    Py_VISIT(listener->server);
    Py_VISIT(listener->context);
    return 0;
}

static int
listener_tp_clear(PyObject *self)
{
    Listener *listener = CAST(Listener, self);

    /* Not `loop`, `context` and `sock`: a callback may still come. */
    listener->serving = 0;
    Py_CLEAR(listener->factory);
    Py_CLEAR(listener->server);
    return 0;
}

static void
listener_tp_dealloc(PyObject *self)
{
    Listener *listener = CAST(Listener, self);
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    (void)listener_tp_clear(self); /* always 0 */
    Py_CLEAR(listener->sock);
    Py_CLEAR(listener->context);
    Py_CLEAR(listener->loop);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(start_doc,
             "start($self, /)\n--\n\n"
             "Accept connections; the socket must be listening.");
PyDoc_STRVAR(stop_doc,
             "stop($self, /)\n--\n\n"
             "Accept no more; the socket stays open.");
PyDoc_STRVAR(close_doc,
             "close($self, /)\n--\n\n"
             "stop(), and close the socket.");
PyDoc_STRVAR(
    listener_doc,
    "Listener(loop, sock, protocol_factory, server, backlog, context)\n--\n\n"
    "Accepts connections on a non-blocking listening socket.\n\n"
    "Each one gets a copy of the context, in which protocol_factory() and\n"
    "the protocol's methods are called. server (a Server or None) counts\n"
    "the connections. Held by the loop between start() and stop().");

static PyMethodDef methods[] = {
    {"start", start_meth, METH_NOARGS, start_doc},
    {"stop", stop_meth, METH_NOARGS, stop_doc},
    {"close", close_meth, METH_NOARGS, close_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"serving", Py_T_BOOL, offsetof(Listener, serving), Py_READONLY, NULL},
    {"sock", Py_T_OBJECT_EX, offsetof(Listener, sock), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)listener_doc},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, listener_tp_init},
    {Py_tp_traverse, listener_tp_traverse},
    {Py_tp_clear, listener_tp_clear},
    {Py_tp_dealloc, listener_tp_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "uvloop_core._core.Listener",
    .basicsize = sizeof(Listener),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int
listener_register(PyObject *module, State *st)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);

    if (type == NULL) {
        return -1;
    }
    st->types[TYPE_LISTENER] = (PyTypeObject *)type;
    return PyModule_AddObjectRef(module, "Listener", type);
}
