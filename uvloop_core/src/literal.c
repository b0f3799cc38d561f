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

/* AF_INET or AF_INET6, with the resolver's own spelling of the address in
 * `name`; AF_UNSPEC if text is something else. */
static int
find_family(const char *text, char name[INET6_ADDRSTRLEN])
{
    struct in6_addr raw;
    int family = strchr(text, ':') == NULL ? AF_INET : AF_INET6;

    if (inet_pton(family, text, &raw) != 1 ||
        inet_ntop(family, &raw, name, INET6_ADDRSTRLEN) == NULL) {
        return AF_UNSPEC;
    }
    return family;
}

/* (host, port), (host, port, 0, 0). New reference, or NULL. */
static PyObject *
make_address(int family, const char *name, long port)
{
    return family == AF_INET ? Py_BuildValue("sl", name, port)
                             : Py_BuildValue("slii", name, port, 0, 0);
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

PyDoc_STRVAR(
    resolve_literal_doc,
    "resolve_literal($module, host, port, family, type, proto, /)\n--\n\n"
    "What socket.getaddrinfo() says of an address; None if it is to be "
    "asked.");

static PyObject *
resolve_literal_meth(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    State *st = PyModule_GetState(module);
    char name[INET6_ADDRSTRLEN];
    const char *text = NULL;
    long port = 0;
    long wanted = 0;
    long type = 0;
    int family = AF_UNSPEC;
    Py_ssize_t size = 0;
    PyObject *address = NULL;
    PyObject *list = NULL;

    if (nargs != 5) {
        return PyErr_Format(PyExc_TypeError,
                            "resolve_literal() takes 5 arguments (%zd given)",
                            nargs);
    }
    port = args[1] == Py_None ? 0 : read_number(args[1], 0xffff);
    wanted = read_number(args[2], INT_MAX);
    type = read_number(args[3], INT_MAX);
    if (!PyUnicode_Check(args[0]) || port < 0 || wanted < 0 ||
        !is_known(type, read_number(args[4], INT_MAX))) {
        Py_RETURN_NONE;
    }
    text = PyUnicode_AsUTF8AndSize(args[0], &size);
    if (text == NULL) {
        PyErr_Clear(); /* surrogates: the resolver shall judge them */
        Py_RETURN_NONE;
    }
    if (strlen(text) == (size_t)size) {
        family = find_family(text, name);
    }
    if (family == AF_UNSPEC || (wanted != AF_UNSPEC && wanted != family)) {
        Py_RETURN_NONE;
    }
    address = make_address(family, name, port);
    if (address != NULL) {
        list = make_list(st, family, type, address);
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
