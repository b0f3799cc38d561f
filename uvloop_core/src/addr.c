#include "addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>

static PyObject *
inet_to_python(const struct sockaddr_in *in)
{
    char host[INET_ADDRSTRLEN];

    if (inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)) == NULL) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return Py_BuildValue("si", host, (int)ntohs(in->sin_port));
}

static PyObject *
inet6_to_python(const struct sockaddr_in6 *in6)
{
    char host[INET6_ADDRSTRLEN];

    if (inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)) == NULL) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return Py_BuildValue("siII",
                         host,
                         (int)ntohs(in6->sin6_port),
                         (unsigned)ntohl(in6->sin6_flowinfo),
                         (unsigned)in6->sin6_scope_id);
}

static PyObject *
unix_to_python(const struct sockaddr_un *un, socklen_t size)
{
    Py_ssize_t room =
        (Py_ssize_t)size - (Py_ssize_t)offsetof(struct sockaddr_un, sun_path);

    if (room <= 0) {
        return PyUnicode_FromString("");
    }
#ifdef __linux__
    if (un->sun_path[0] == '\0') {
        return PyBytes_FromStringAndSize(un->sun_path, room);
    }
#endif
    /* The path need not end in a NUL: unix(7). */
    return PyUnicode_DecodeFSDefaultAndSize(
        un->sun_path, (Py_ssize_t)strnlen(un->sun_path, (size_t)room));
}

PyObject *
addr_to_python(const Addr *addr)
{
    const struct sockaddr *any = &addr->raw.any;

    if (addr->size == 0) {
        Py_RETURN_NONE;
    }
    switch (any->sa_family) {
    case AF_INET:
        return inet_to_python(&addr->raw.in);
    case AF_INET6:
        return inet6_to_python(&addr->raw.in6);
    case AF_UNIX:
        return unix_to_python(&addr->raw.un, addr->size);
    default:
        return Py_BuildValue("iy#",
                             (int)any->sa_family,
                             any->sa_data,
                             (Py_ssize_t)sizeof(any->sa_data));
    }
}

/* An integer of a tuple within 0..max: 1, 0 if it is none, -1 with
 * OverflowError as the socket module's. */
static int
read_field(PyObject *item, const char *what, long max, uint32_t *result)
{
    long value = 0;

    if (!PyLong_Check(item)) {
        return 0;
    }
    value = PyLong_AsLong(item);
    if (value == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (value < 0 || value > max) {
        PyErr_Format(PyExc_OverflowError, "%s must be 0-%ld.", what, max);
        return -1;
    }
    *result = (uint32_t)value;
    return 1;
}

/* What only the resolver's own rules know of numeric hosts: a zone id
 * ("fe80::1%eth0"), "127.1". It asks nobody. 1, or 0 if it is none. */
static int
read_numeric(int family, const char *text, void *raw, socklen_t size)
{
    struct addrinfo hints = {.ai_family = family, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found = NULL;
    int is_numeric = 0;

    if (getaddrinfo(text, NULL, &hints, &found) != 0) {
        return 0;
    }
    if (found->ai_addrlen == size) {
        memcpy(raw, found->ai_addr, size);
        is_numeric = 1;
    }
    freeaddrinfo(found);
    return is_numeric;
}

/* A host that is no name to be resolved, the socket module's two special
 * ones included: 1 or 0. */
static int
read_inet_host(const char *text, struct sockaddr_in *in)
{
    if (text[0] == '\0') {
        in->sin_addr.s_addr = htonl(INADDR_ANY);
        return 1;
    }
    if (strcmp(text, "<broadcast>") == 0) {
        in->sin_addr.s_addr = htonl(INADDR_BROADCAST);
        return 1;
    }
    return inet_pton(AF_INET, text, &in->sin_addr) == 1 ||
           read_numeric(AF_INET, text, in, sizeof(*in));
}

/* A host as C has it; NULL without an exception if it is no address at all:
 * the resolver shall judge it. */
static const char *
host_text(PyObject *host)
{
    Py_ssize_t size = 0;
    const char *text = PyUnicode_AsUTF8AndSize(host, &size);

    if (text == NULL) {
        PyErr_Clear(); /* surrogates */
        return NULL;
    }
    return strlen(text) == (size_t)size ? text : NULL;
}

static int
inet_from_python(PyObject *host, uint32_t port, Addr *addr)
{
    const char *text = host_text(host);

    if (text == NULL) {
        return 0;
    }
    memset(&addr->raw.in, 0, sizeof(addr->raw.in));
    if (!read_inet_host(text, &addr->raw.in)) {
        return 0;
    }
    addr->raw.in.sin_family = AF_INET;
    addr->raw.in.sin_port = htons((uint16_t)port);
    addr->size = sizeof(addr->raw.in);
    return 1;
}

static int
inet6_from_python(PyObject *tuple, uint32_t port, Addr *addr)
{
    const char *text = host_text(PyTuple_GET_ITEM(tuple, 0));
    Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    uint32_t flow = 0;
    uint32_t scope = 0;
    int found = 1;

    if (text == NULL) {
        return 0;
    }
    memset(&addr->raw.in6, 0, sizeof(addr->raw.in6));
    /* All zeros, as it is now, is the socket module's "" too. */
    if (text[0] != '\0' &&
        inet_pton(AF_INET6, text, &addr->raw.in6.sin6_addr) != 1 &&
        !read_numeric(AF_INET6, text, &addr->raw.in6, sizeof(addr->raw.in6))) {
        return 0;
    }
    scope = addr->raw.in6.sin6_scope_id;
    if (count > 2) {
        found =
            read_field(PyTuple_GET_ITEM(tuple, 2), "flowinfo", 0xfffff, &flow);
    }
    if (found == 1 && count > 3) {
        found = read_field(
            PyTuple_GET_ITEM(tuple, 3), "scope_id", UINT32_MAX, &scope);
    }
    addr->raw.in6.sin6_family = AF_INET6;
    addr->raw.in6.sin6_port = htons((uint16_t)port);
    addr->raw.in6.sin6_flowinfo = htonl(flow);
    addr->raw.in6.sin6_scope_id = scope;
    addr->size = sizeof(addr->raw.in6);
    return found;
}

static int
unix_from_python(PyObject *path, Addr *addr)
{
    PyObject *bytes = NULL;
    size_t size = 0;
    int found = 0;

    if (PyUnicode_Check(path)) {
        bytes = PyUnicode_EncodeFSDefault(path);
    }
    else if (PyBytes_Check(path)) {
        bytes = Py_NewRef(path);
    }
    else {
        return 0;
    }
    if (bytes == NULL) {
        return -1;
    }
    size = (size_t)PyBytes_GET_SIZE(bytes);
    if (size >= sizeof(addr->raw.un.sun_path)) {
        PyErr_SetString(PyExc_OSError, "AF_UNIX path too long");
        found = -1;
        goto done;
    }
    memset(&addr->raw.un, 0, sizeof(addr->raw.un));
    addr->raw.un.sun_family = AF_UNIX;
    memcpy(addr->raw.un.sun_path, PyBytes_AS_STRING(bytes), size);
    addr->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    if (size > 0 && addr->raw.un.sun_path[0] != '\0') {
        addr->size++; /* the NUL counts, except in an abstract name */
    }
    found = 1;
done:
    Py_DECREF(bytes);
    return found;
}

int
addr_from_python(int family, PyObject *address, Addr *addr)
{
    uint32_t port = 0;
    int found = 0;

    addr->size = 0;
    if (family == AF_UNIX) {
        return unix_from_python(address, addr);
    }
    if (!PyTuple_Check(address) || PyTuple_GET_SIZE(address) < 2 ||
        !PyUnicode_Check(PyTuple_GET_ITEM(address, 0))) {
        return 0;
    }
    found = read_field(PyTuple_GET_ITEM(address, 1), "port", 0xffff, &port);
    if (found != 1) {
        return found;
    }
    if (family == AF_INET && PyTuple_GET_SIZE(address) == 2) {
        return inet_from_python(PyTuple_GET_ITEM(address, 0), port, addr);
    }
    if (family == AF_INET6 && PyTuple_GET_SIZE(address) <= 4) {
        return inet6_from_python(address, port, addr);
    }
    return 0;
}

int
addr_get_local(int fd, Addr *addr)
{
    addr->size = sizeof(addr->raw);
    if (getsockname(fd, &addr->raw.any, &addr->size) < 0) {
        addr->size = 0;
        return -errno;
    }
    return 0;
}

int
addr_get_peer(int fd, Addr *addr)
{
    addr->size = sizeof(addr->raw);
    if (getpeername(fd, &addr->raw.any, &addr->size) < 0) {
        addr->size = 0;
        return -errno;
    }
    return 0;
}
