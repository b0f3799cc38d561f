#include "url.h"

#include "args.h"
#include "errors.h"

#include <stdbool.h>

enum {
    URL_MAX_LEN = 65535, /* httptools': http-parser counts in 16 bits */
    PORT_MAX = 65535,
    PORT_NONE = -1
};

typedef struct {
    const char *at; /* raw: into the caller's buffer; NULL: absent */
    const char *end;
} Part;

typedef struct {
    Part schema;
    Part host;
    Part path;
    Part query;
    Part fragment;
    Part userinfo;
    int port;
} Parts;

enum {
    FIELD_SCHEMA,
    FIELD_HOST,
    FIELD_PORT,
    FIELD_PATH,
    FIELD_QUERY,
    FIELD_FRAGMENT,
    FIELD_USERINFO,
    FIELD_COUNT
};

/* In the order of the fields. */
static const short URL_NAMES[FIELD_COUNT] = {
    NAME_schema,
    NAME_host,
    NAME_port,
    NAME_path,
    NAME_query,
    NAME_fragment,
    NAME_userinfo,
};
static const short PARSE_URL_NAMES[] = {NAME_url};
static const ArgSpec PARSE_URL_ARGS = {"parse_url", 1, 1, 1, PARSE_URL_NAMES};

typedef struct {
    PyObject_HEAD
    PyObject *fields[FIELD_COUNT]; /* owned: bytes or None; the port any */
} Url;

/* Not <ctype.h>: that asks the locale. */
static inline bool
is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool
is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static inline bool
is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* Path, query and fragment: printable ASCII. */
static inline bool
is_url_char(char c)
{
    return c > ' ' && c < '\x7f';
}

static inline bool
is_userinfo_char(char c)
{
    return is_alpha(c) || is_digit(c) || is_one_of(c, "-_.!~*'()%;:&=+$,");
}

static inline bool
is_host_char(char c)
{
    return is_alpha(c) || is_digit(c) || c == '.' || c == '-';
}

/* RFC 6874, loosely: a "%25" is not asked for. */
static inline bool
is_zone_char(char c)
{
    return is_alpha(c) || is_digit(c) || is_one_of(c, "%.-_~");
}

/* Set a part, unless it is empty: an empty one is absent. */
static inline void
set_part(Part *part, const char *at, const char *end)
{
    if (at < end) {
        part->at = at;
        part->end = end;
    }
}

/* ":port" up to end, or nothing. 0, or -1 if it is invalid. */
static int
split_port(const char *p, const char *end, Parts *parts)
{
    int port = 0;

    if (p == end) {
        return 0;
    }
    if (*p++ != ':' || p == end) {
        return -1;
    }
    for (; p < end; p++) {
        if (!is_digit(*p)) {
            return -1;
        }
        port = port * 10 + (*p - '0');
        if (port > PORT_MAX) {
            return -1;
        }
    }
    parts->port = port;
    return 0;
}

/* "[address%zone]:port", p at the bracket. */
static int
split_ipv6(const char *p, const char *end, Parts *parts)
{
    const char *at = ++p;

    while (p < end && (is_hex(*p) || *p == ':' || *p == '.')) {
        p++;
    }
    if (p == at || p == end) {
        return -1;
    }
    if (*p == '%') {
        const char *zone = ++p;

        while (p < end && is_zone_char(*p)) {
            p++;
        }
        if (p == zone || p == end) {
            return -1;
        }
    }
    if (*p != ']') {
        return -1;
    }
    set_part(&parts->host, at, p);
    return split_port(p + 1, end, parts);
}

/* "userinfo@host:port". */
static int
split_authority(const char *p, const char *end, Parts *parts)
{
    const char *sign = memchr(p, '@', (size_t)(end - p));
    const char *at;

    if (sign != NULL) {
        for (at = p; p < sign; p++) {
            if (!is_userinfo_char(*p)) {
                return -1;
            }
        }
        set_part(&parts->userinfo, at, sign);
        p = sign + 1;
    }
    if (p < end && *p == '[') {
        return split_ipv6(p, end, parts);
    }
    for (at = p; p < end && is_host_char(*p); p++) {
    }
    if (p == at) {
        return -1;
    }
    set_part(&parts->host, at, p);
    return split_port(p, end, parts);
}

/* "path?query#fragment", each of which may be empty. */
static int
split_target(const char *p, const char *end, Parts *parts)
{
    const char *at;

    for (at = p; p < end && *p != '?' && *p != '#'; p++) {
        if (!is_url_char(*p)) {
            return -1;
        }
    }
    set_part(&parts->path, at, p);
    if (p < end && *p == '?') {
        for (at = ++p; p < end && *p != '#'; p++) {
            if (!is_url_char(*p)) {
                return -1;
            }
        }
        set_part(&parts->query, at, p);
    }
    while (p < end && *p == '#') {
        p++; /* any number of them begins the fragment */
    }
    for (at = p; p < end; p++) {
        if (!is_url_char(*p)) {
            return -1;
        }
    }
    set_part(&parts->fragment, at, end);
    return 0;
}

/* 0, or -1 if http-parser would refuse it. Sets no exception. */
static int
split_url(const char *p, const char *end, Parts *parts)
{
    const char *at = p;

    if (p == end) {
        return -1;
    }
    if (*p == '/' || *p == '*') {
        return split_target(p, end, parts);
    }
    while (p < end && is_alpha(*p)) {
        p++;
    }
    if (p == at || end - p < 3 || memcmp(p, "://", 3) != 0) {
        return -1;
    }
    set_part(&parts->schema, at, p);
    p += 3;
    for (at = p; p < end && *p != '/' && *p != '?'; p++) {
    }
    if (split_authority(at, p, parts) < 0) {
        return -1;
    }
    return split_target(p, end, parts);
}

/* Store a part. `url` is the object that `whole` is all of, or NULL: a part
 * that is all of a bytes object is that object. */
static int
store_part(State *st,
           PyObject **field,
           const Part *part,
           PyObject *url,
           const Part *whole)
{
    if (part->at == NULL) {
        *field = Py_NewRef(Py_None);
    }
    else if (url != NULL && part->at == whole->at && part->end == whole->end) {
        *field = Py_NewRef(url);
    }
    else {
        *field = state_token(st, part->at, (size_t)(part->end - part->at));
    }
    return *field == NULL ? -1 : 0;
}

static int
store_port(PyObject **field, int port)
{
    *field = port == PORT_NONE ? Py_NewRef(Py_None) : PyLong_FromLong(port);
    return *field == NULL ? -1 : 0;
}

/* A URL of exact bytes and an int cannot be part of a cycle, so the garbage
 * collector is not told of it. */
static PyObject *
make_url(State *st, const Parts *parts, PyObject *url, const Part *whole)
{
    PyTypeObject *type = (PyTypeObject *)st->objects[TYPE_URL];
    Url *self = PyObject_GC_New(Url, type);
    PyObject **fields;

    if (self == NULL) {
        return NULL;
    }
    fields = self->fields;
    memset(fields, 0, sizeof(self->fields));
    if (store_part(st, &fields[FIELD_SCHEMA], &parts->schema, url, whole) <
            0 ||
        store_part(st, &fields[FIELD_HOST], &parts->host, url, whole) < 0 ||
        store_port(&fields[FIELD_PORT], parts->port) < 0 ||
        store_part(st, &fields[FIELD_PATH], &parts->path, url, whole) < 0 ||
        store_part(st, &fields[FIELD_QUERY], &parts->query, url, whole) < 0 ||
        store_part(st, &fields[FIELD_FRAGMENT], &parts->fragment, url, whole) <
            0 ||
        store_part(st, &fields[FIELD_USERINFO], &parts->userinfo, url, whole) <
            0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* Parse at[:len], the content of `url`. On a refusal *refused is set, and
 * the exception is the caller's to raise: its message needs repr(url), which
 * runs Python code and should not find the buffer locked. */
static PyObject *
parse_buffer(
    State *st, PyObject *url, const char *at, Py_ssize_t len, bool *refused)
{
    Part whole = {at, at + len};
    Parts parts = {.port = PORT_NONE};

    if (len > URL_MAX_LEN) {
        return raise_long_url(st, len, URL_MAX_LEN);
    }
    if (split_url(whole.at, whole.end, &parts) < 0) {
        *refused = true;
        return NULL;
    }
    return make_url(st, &parts, PyBytes_CheckExact(url) ? url : NULL, &whole);
}

static PyObject *
parse_url(State *st, PyObject *url)
{
    bool refused = false;
    PyObject *result;

    if (PyBytes_CheckExact(url)) {
        result = parse_buffer(
            st, url, PyBytes_AS_STRING(url), PyBytes_GET_SIZE(url), &refused);
    }
    else {
        Py_buffer view;

        if (PyObject_GetBuffer(url, &view, PyBUF_SIMPLE) < 0) {
            return NULL;
        }
        result = parse_buffer(st, url, view.buf, view.len, &refused);
        PyBuffer_Release(&view);
    }
    return refused ? raise_invalid_url(st, url) : result;
}

static PyObject *
parse_url_meth(PyObject *module,
               PyObject *const *args,
               Py_ssize_t nargs,
               PyObject *kwnames)
{
    State *st = state_from_module(module);
    PyObject *url;

    if (nargs == 1 && kwnames == NULL) {
        url = args[0];
    }
    else if (args_spread(
                 &PARSE_URL_ARGS, st->objects, args, nargs, kwnames, &url) <
             0) {
        return NULL;
    }
    return parse_url(st, url);
}

/* URL(schema, host, port, path, query, fragment, userinfo). */
static int
check_fields(PyObject *const *fields, PyObject *const *names)
{
    for (int i = 0; i < FIELD_COUNT; i++) {
        if (i == FIELD_PORT || fields[i] == Py_None ||
            PyBytes_CheckExact(fields[i])) {
            continue;
        }
        PyErr_Format(PyExc_TypeError,
                     "Argument '%U' has incorrect type (expected bytes, got "
                     "%.200s)",
                     names[URL_NAMES[i]],
                     Py_TYPE(fields[i])->tp_name);
        return -1;
    }
    return 0;
}

static PyObject *
url_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    /* The API lacks a const, it writes to none of them. */
    static char *keywords[] = {(char *)"schema",
                               (char *)"host",
                               (char *)"port",
                               (char *)"path",
                               (char *)"query",
                               (char *)"fragment",
                               (char *)"userinfo",
                               NULL};
    State *st = state_from_type(type);
    PyObject *f[FIELD_COUNT];
    Url *self;

    if (st == NULL ||
        !PyArg_ParseTupleAndKeywords(args,
                                     kwargs,
                                     "OOOOOOO:URL",
                                     keywords,
                                     &f[FIELD_SCHEMA],
                                     &f[FIELD_HOST],
                                     &f[FIELD_PORT],
                                     &f[FIELD_PATH],
                                     &f[FIELD_QUERY],
                                     &f[FIELD_FRAGMENT],
                                     &f[FIELD_USERINFO]) ||
        check_fields(f, st->objects) < 0) {
        return NULL;
    }
    self = (Url *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    for (int i = 0; i < FIELD_COUNT; i++) {
        self->fields[i] = Py_NewRef(f[i]);
    }
    return (PyObject *)self;
}

static PyObject *
field_get(PyObject *self, void *closure)
{
    const short *name = closure;
    PyObject *value = CAST(Url, self)->fields[name - URL_NAMES];

    return Py_NewRef(value == NULL ? Py_None : value);
}

static PyObject *
url_tp_repr(PyObject *self)
{
    PyObject *f[FIELD_COUNT];

    for (int i = 0; i < FIELD_COUNT; i++) {
        f[i] = CAST(Url, self)->fields[i];
        if (f[i] == NULL) {
            f[i] = Py_None;
        }
    }
    return PyUnicode_FromFormat(
        "<URL schema: %R, host: %R, port: %R, path: %R, query: %R, "
        "fragment: %R, userinfo: %R>",
        f[FIELD_SCHEMA],
        f[FIELD_HOST],
        f[FIELD_PORT],
        f[FIELD_PATH],
        f[FIELD_QUERY],
        f[FIELD_FRAGMENT],
        f[FIELD_USERINFO]);
}

static PyObject *
url_reduce_meth(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    PyErr_SetString(PyExc_TypeError,
                    "no default __reduce__ due to non-trivial __cinit__");
    return NULL;
}

static int
url_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (int i = 0; i < FIELD_COUNT; i++) {
        Py_VISIT(CAST(Url, self)->fields[i]);
    }
    return 0;
}

static int
url_tp_clear(PyObject *self)
{
    for (int i = 0; i < FIELD_COUNT; i++) {
        Py_CLEAR(CAST(Url, self)->fields[i]);
    }
    return 0;
}

static void
url_tp_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    (void)url_tp_clear(self); /* always 0 */
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(parse_url_doc,
             "parse_url($module, /, url)\n--\n\n"
             "Split a URL or a request target into a URL object.");

static PyMethodDef url_functions[] = {
    {"parse_url",
     METHOD(parse_url_meth),
     METH_FASTCALL | METH_KEYWORDS,
     parse_url_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef url_methods[] = {
    {"__reduce__", url_reduce_meth, METH_NOARGS, NULL},
    {"__setstate__", url_reduce_meth, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

/* Getters, not members: the message of an assignment is then httptools'. */
static PyGetSetDef url_getset[] = {
    {"schema", field_get, NULL, NULL, (void *)&URL_NAMES[FIELD_SCHEMA]},
    {"host", field_get, NULL, NULL, (void *)&URL_NAMES[FIELD_HOST]},
    {"port", field_get, NULL, NULL, (void *)&URL_NAMES[FIELD_PORT]},
    {"path", field_get, NULL, NULL, (void *)&URL_NAMES[FIELD_PATH]},
    {"query", field_get, NULL, NULL, (void *)&URL_NAMES[FIELD_QUERY]},
    {"fragment", field_get, NULL, NULL, (void *)&URL_NAMES[FIELD_FRAGMENT]},
    {"userinfo", field_get, NULL, NULL, (void *)&URL_NAMES[FIELD_USERINFO]},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot url_slots[] = {
    {Py_tp_methods, url_methods},
    {Py_tp_getset, url_getset},
    {Py_tp_new, url_tp_new},
    {Py_tp_repr, url_tp_repr},
    {Py_tp_traverse, url_tp_traverse},
    {Py_tp_clear, url_tp_clear},
    {Py_tp_dealloc, url_tp_dealloc},
    {0, NULL},
};

static PyType_Spec url_spec = {
    .name = "httptools.parser.url_parser.URL",
    .basicsize = sizeof(Url),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = url_slots,
};

int
url_register(PyObject *module, State *st)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &url_spec, NULL);

    if (type == NULL) {
        return -1;
    }
    Py_XSETREF(st->objects[TYPE_URL], type);
    if (PyModule_AddType(module, (PyTypeObject *)type) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, url_functions);
}
