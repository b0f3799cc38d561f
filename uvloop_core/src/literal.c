#include "literal.h"

#include <arpa/inet.h>
#include <sys/socket.h>

/* How the system's resolver lists the kinds of sockets of an address. */
typedef struct {
    int type;
    int protocol;
    ObjectIndex object; /* the socket module's enumeration has it */
} Kind;

static const Kind kinds[] = {
    {SOCK_STREAM, IPPROTO_TCP, OBJECT_SOCK_STREAM},
    {SOCK_DGRAM, IPPROTO_UDP, OBJECT_SOCK_DGRAM},
#ifdef __linux__
    {SOCK_RAW, 0, OBJECT_SOCK_RAW},
#endif
};

/* Read a plain address: AF_INET or AF_INET6; AF_UNSPEC if text is something
 * else. */
static int
read_address(const char *text, uint16_t port, Addr *addr)
{
    memset(&addr->raw, 0, sizeof(addr->raw));
    if (strchr(text, ':') == NULL) {
        if (inet_pton(AF_INET, text, &addr->raw.in.sin_addr) != 1) {
            return AF_UNSPEC;
        }
        addr->raw.in.sin_family = AF_INET;
        addr->raw.in.sin_port = htons(port);
        addr->size = sizeof(addr->raw.in);
        return AF_INET;
    }
    if (inet_pton(AF_INET6, text, &addr->raw.in6.sin6_addr) != 1) {
        return AF_UNSPEC;
    }
    addr->raw.in6.sin6_family = AF_INET6;
    addr->raw.in6.sin6_port = htons(port);
    addr->size = sizeof(addr->raw.in6);
    return AF_INET6;
}

/* (family, type, proto, '', address). New reference, or NULL. */
static PyObject *
make_info(State *st, int family, const Kind *kind, PyObject *address)
{
    PyObject *protocol = PyLong_FromLong(kind->protocol);
    PyObject *info = NULL;

    if (protocol != NULL) {
        info = PyTuple_Pack(
            5,
            st->objects[family == AF_INET ? OBJECT_AF_INET : OBJECT_AF_INET6],
            st->objects[kind->object],
            protocol,
            st->names[NAME_EMPTY],
            address);
        Py_DECREF(protocol);
    }
    return info;
}

/* All of that type, or of all types (0). New reference, or NULL. */
static PyObject *
make_list(State *st, int family, long type, PyObject *address)
{
    PyObject *list = PyList_New(0);

    for (size_t i = 0; list != NULL && i < ARRAY_LEN(kinds); i++) {
        PyObject *info = NULL;

        if (type != 0 && type != kinds[i].type) {
            continue;
        }
        info = make_info(st, family, &kinds[i], address);
        if (info == NULL || PyList_Append(list, info) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(info);
    }
    return list;
}

/* Whether the table tells all that there is of them; 0 stands for any. */
static bool
is_known(long type, long protocol)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (type == kinds[i].type && kinds[i].protocol != 0) {
            return protocol == 0 || protocol == kinds[i].protocol;
        }
    }
    return type == 0 && protocol == 0;
}

/* An int of 0..max; -1 if it is something else, and no exception. */
static long
read_number(PyObject *object, long max)
{
    int overflow = 0;
    long value = -1;

    if (PyLong_Check(object)) {
        value = PyLong_AsLongAndOverflow(object, &overflow);
    }
    return overflow == 0 && value >= 0 && value <= max ? value : -1;
}

bool
literal_read(PyObject *const args[5], Addr *addr)
{
    PyObject *host = args[0];
    long port = args[1] == Py_None ? 0 : read_number(args[1], 0xffff);
    long wanted = read_number(args[2], INT_MAX);
    long type = read_number(args[3], INT_MAX);
    const char *text = NULL;
    int family = AF_UNSPEC;
    Py_ssize_t size = 0;

    if (!PyUnicode_Check(host) || port < 0 || wanted < 0 ||
        !is_known(type, read_number(args[4], INT_MAX))) {
        return false;
    }
    text = PyUnicode_AsUTF8AndSize(host, &size);
    if (text == NULL) {
        PyErr_Clear(); /* surrogates: the resolver shall judge them */
        return false;
    }
    if (strlen(text) == (size_t)size) {
        family = read_address(text, (uint16_t)port, addr);
    }
    return family != AF_UNSPEC && (wanted == AF_UNSPEC || wanted == family);
}

PyDoc_STRVAR(
    resolve_literal_doc,
    "resolve_literal($module, host, port, family, type, proto, /)\n--\n\n"
    "What socket.getaddrinfo() says of an address; None if it is to be "
    "asked.");

static PyObject *
resolve_literal_meth(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    State *st = PyModule_GetState(module);
    Addr addr;
    PyObject *address = NULL;
    PyObject *list = NULL;

    if (nargs != 5) {
        return PyErr_Format(PyExc_TypeError,
                            "resolve_literal() takes 5 arguments (%zd given)",
                            nargs);
    }
    if (!literal_read(args, &addr)) {
        Py_RETURN_NONE;
    }
    /* In the resolver's own spelling. */
    address = addr_to_python(&addr);
    if (address != NULL) {
        list = make_list(st,
                         addr.raw.any.sa_family,
                         read_number(args[3], INT_MAX),
                         address);
        Py_DECREF(address);
    }
    return list;
}

static PyMethodDef functions[] = {
    {"resolve_literal",
     METHOD(resolve_literal_meth),
     METH_FASTCALL,
     resolve_literal_doc},
    {NULL, NULL, 0, NULL},
};

int
literal_register(PyObject *module, State *Py_UNUSED(st))
{
    return PyModule_AddFunctions(module, functions);
}
