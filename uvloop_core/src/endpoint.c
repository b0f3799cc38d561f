#include "endpoint.h"

#include <errno.h>

int
endpoint_count_user(State *st, PyObject *sock, long change)
{
    PyObject *count = NULL;
    PyObject *changed = NULL;
    int err = PyObject_GetOptionalAttr(sock, st->names[NAME_io_refs], &count);

    if (err <= 0) {
        return err;
    }
    if (!PyLong_Check(count)) {
        Py_DECREF(count);
        return 0; /* it only looks like a socket */
    }
    err = -1;
    changed = PyLong_FromLong(PyLong_AsLong(count) + change);
    if (changed != NULL && !PyErr_Occurred()) {
        err = PyObject_SetAttr(sock, st->names[NAME_io_refs], changed);
    }
    Py_XDECREF(changed);
    Py_DECREF(count);
    return err < 0 ? -1 : 1;
}

int
endpoint_fileno(State *st, PyObject *file)
{
    PyObject *result = PyObject_CallMethodNoArgs(file, st->names[NAME_fileno]);
    int fd = -1;

    if (result == NULL) {
        return -1;
    }
    fd = PyLong_AsInt(result);
    Py_DECREF(result);
    if (fd < 0 && !PyErr_Occurred()) {
        errno = EBADF;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return fd;
}

int
endpoint_adopt(Endpoint *endpoint, State *st, PyObject *sock)
{
    int fd = endpoint_fileno(st, sock);
    int err = 0;

    if (fd < 0) {
        return -1;
    }
    err = addr_get_local(fd, &endpoint->local);
    if (err < 0) {
        errno = -err;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    /* Now: once the peer has reset the connection it cannot be asked. */
    (void)addr_get_peer(fd, &endpoint->peer); /* size 0 says that it failed */
    if (endpoint_count_user(st, sock, 1) < 0) {
        return -1;
    }
    endpoint->fd = fd;
    endpoint->sock = Py_NewRef(sock);
    return 0;
}

void
endpoint_disown(Endpoint *endpoint, State *st)
{
    PyObject *exc = PyErr_GetRaisedException();

    if (endpoint->sock != NULL &&
        endpoint_count_user(st, endpoint->sock, -1) < 0) {
        PyErr_Clear(); /* the exception that brought us here matters more */
    }
    Py_CLEAR(endpoint->sock);
    endpoint->fd = -1;
    if (exc != NULL) {
        PyErr_SetRaisedException(exc);
    }
}

void
endpoint_accept(Endpoint *endpoint, int fd, const Addr *peer)
{
    endpoint->fd = fd;
    endpoint->peer = *peer;
}

void
endpoint_connected(Endpoint *endpoint, int fd, int proto)
{
    endpoint->fd = fd;
    endpoint->proto = proto;
    /* Now, as above; each is told by its size if it failed. */
    (void)addr_get_local(fd, &endpoint->local);
    (void)addr_get_peer(fd, &endpoint->peer);
}

static int
family_of(const Endpoint *endpoint)
{
    const Addr *known =
        endpoint->peer.size > 0 ? &endpoint->peer : &endpoint->local;

    return known->raw.any.sa_family;
}

/* socket.socket around the fd. */
static PyObject *
make_socket(Endpoint *endpoint, State *st)
{
    PyObject *sock = NULL;
    PyObject *done = NULL;
    int type = SOCK_STREAM;

#ifdef SOCK_NONBLOCK
    /* Tells it that the fd does not block; it is not part of sock.type. */
    type |= SOCK_NONBLOCK;
#endif
    sock = PyObject_CallFunction(st->objects[OBJECT_SOCKET],
                                 "iiii",
                                 family_of(endpoint),
                                 type,
                                 endpoint->proto,
                                 endpoint->fd);
#ifndef SOCK_NONBLOCK
    if (sock != NULL) {
        done = PyObject_CallMethod(sock, "setblocking", "i", 0);
        if (done == NULL) {
            Py_CLEAR(sock);
        }
    }
#endif
    Py_XDECREF(done);
    return sock;
}

/* A closed socket of the same family, for a connection that has ended before
 * anybody asked. */
static PyObject *
make_closed_socket(Endpoint *endpoint, State *st)
{
    PyObject *sock = PyObject_CallFunction(st->objects[OBJECT_SOCKET],
                                           "iii",
                                           family_of(endpoint),
                                           SOCK_STREAM,
                                           endpoint->proto);
    PyObject *closed = NULL;

    if (sock != NULL) {
        closed = PyObject_CallMethod(sock, "close", NULL);
    }
    if (closed == NULL) {
        Py_CLEAR(sock);
    }
    Py_XDECREF(closed);
    return sock;
}

PyObject *
endpoint_socket(Endpoint *endpoint, State *st)
{
    if (endpoint->wrapper != NULL) {
        return Py_NewRef(endpoint->wrapper);
    }
    if (endpoint->sock == NULL) {
        endpoint->sock = endpoint->fd < 0 ? make_closed_socket(endpoint, st)
                                          : make_socket(endpoint, st);
        if (endpoint->sock == NULL) {
            return NULL;
        }
    }
    endpoint->wrapper = PyObject_CallOneArg(
        st->objects[OBJECT_TRANSPORT_SOCKET], endpoint->sock);
    return Py_XNewRef(endpoint->wrapper);
}

PyObject *
endpoint_sockname(Endpoint *endpoint)
{
    if (endpoint->sockname == NULL) {
        if (endpoint->local.size == 0 && endpoint->fd >= 0) {
            /* A failure is told by its size, as None. */
            (void)addr_get_local(endpoint->fd, &endpoint->local);
        }
        endpoint->sockname = addr_to_python(&endpoint->local);
    }
    return Py_XNewRef(endpoint->sockname);
}

PyObject *
endpoint_peername(Endpoint *endpoint)
{
    if (endpoint->peername == NULL) {
        endpoint->peername = addr_to_python(&endpoint->peer);
    }
    return Py_XNewRef(endpoint->peername);
}

int
endpoint_extra(Endpoint *endpoint, State *st, PyObject *name, PyObject **value)
{
    *value = NULL;
    if (!PyUnicode_Check(name)) {
        return 0;
    }
    if (PyUnicode_Compare(name, st->names[NAME_peername]) == 0) {
        *value = endpoint_peername(endpoint);
    }
    else if (PyUnicode_Compare(name, st->names[NAME_socket]) == 0) {
        *value = endpoint_socket(endpoint, st);
    }
    else if (PyUnicode_Compare(name, st->names[NAME_sockname]) == 0) {
        *value = endpoint_sockname(endpoint);
    }
    else {
        return 0;
    }
    return *value == NULL ? -1 : 1;
}

int
endpoint_release(Endpoint *endpoint, State *st)
{
    int fd = endpoint->fd;
    PyObject *exc = NULL;
    PyObject *result = NULL;

    if (fd < 0) {
        return -1;
    }
    if (endpoint->local.size == 0) {
        /* sockname is to be had after close too; failure is None. */
        (void)addr_get_local(fd, &endpoint->local);
    }
    endpoint->fd = -1;
    if (endpoint->sock == NULL) {
        return fd;
    }
    exc = PyErr_GetRaisedException();
    result = PyObject_CallMethodNoArgs(endpoint->sock, st->names[NAME_detach]);
    if (result == NULL || PyLong_AsInt(result) < 0) {
        fd = -1;
    }
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(endpoint->sock); /* a subclass's detach() */
    }
    Py_XDECREF(result);
    if (exc != NULL) {
        PyErr_SetRaisedException(exc);
    }
    return fd;
}

int
endpoint_traverse(Endpoint *endpoint, visitproc visit, void *arg)
{
    Py_VISIT(endpoint->sock);
    Py_VISIT(endpoint->wrapper);
    return 0;
}

void
endpoint_clear(Endpoint *endpoint)
{
    if (endpoint->fd >= 0) {
        return; /* in use: the Python socket would close it when it goes */
    }
    Py_CLEAR(endpoint->sock);
    Py_CLEAR(endpoint->wrapper);
    Py_CLEAR(endpoint->sockname);
    Py_CLEAR(endpoint->peername);
}
