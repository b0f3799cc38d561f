#include "writer.h"

#include "args.h"
#include "chars.h"

#include <stdint.h>
#include <time.h>
#include <llhttp.h>

enum {
    JOINED_MAX = 16384, /* a body up to this is copied behind the head */
    ADDED_MAX = 64,     /* a line that we make */
    SPARE_MIN = 1000,   /* glibc's malloc is quick up to about this */
    SPARE_MAX = 32768,  /* what is kept, at most */
    SIZE_DIGITS = 20
};

_Static_assert(sizeof("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n") - 1 ==
                   STATE_DATE_LEN,
               "the state keeps this line");

enum {
    ARG_STATUS,
    ARG_HEADERS,
    ARG_BODY,
    ARG_REASON,
    ARG_DATE,
    ARG_CHUNKED,
    ARG_COUNT
};
static const short RESPONSE_NAMES[ARG_COUNT] = {
    NAME_status,
    NAME_headers,
    NAME_body,
    NAME_reason,
    NAME_date,
    NAME_chunked,
};
static const ArgSpec RESPONSE_ARGS = {
    "build_response", 1, 3, ARG_COUNT, RESPONSE_NAMES};

/* What a response consists of. */
typedef struct {
    State *st;
    long status;
    PyObject *reason;  /* borrowed: bytes, or NULL */
    PyObject *headers; /* owned: tuple of tuples, which nobody can change */
    PyObject *body;    /* borrowed: bytes-like or a sequence; NULL: none */
    PyObject *pieces;  /* owned: the body as a tuple if it is a sequence */
    PyObject *const *parts; /* borrowed: bytes-likes; the body, or pieces */
    Py_ssize_t count;       /* of parts */
    size_t length;          /* of the body */
    bool is_fixed;          /* all parts are exact bytes */
    bool has_date;          /* or is not to have one */
    bool has_framing;       /* among the headers */
    bool chunked;
} Response;

/* Writing, with no bounds to check: the size was added up before. */

static char *
put(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

static char *
put_number(char *at, size_t number, unsigned base)
{
    char digits[SIZE_DIGITS];
    char *first = digits + sizeof(digits);

    do {
        *--first = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0);
    return put(at, first, (size_t)(digits + sizeof(digits) - first));
}

#define PUT(at, text) put((at), text, sizeof(text) - 1)

/* The Date header of this second; made once a second. A thread that finds
 * the cache busy makes its own. */
static char *
put_date(State *st, char *at)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t now = time(NULL);
    bool is_mine = claim_take(&st->busy);
    char line[STATE_DATE_LEN + 1];
    struct tm t;

    if (is_mine && st->date_second == now) {
        at = put(at, st->date, STATE_DATE_LEN);
        claim_drop(&st->busy);
        return at;
    }
    (void)gmtime_r(&now, &t); /* a year of more than 4 digits is far off */
    (void)PyOS_snprintf(line,
                        sizeof(line),
                        "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
                        &days[3 * (size_t)t.tm_wday],
                        t.tm_mday,
                        &months[3 * (size_t)t.tm_mon],
                        t.tm_year + 1900,
                        t.tm_hour,
                        t.tm_min,
                        t.tm_sec);
    if (is_mine) {
        memcpy(st->date, line, STATE_DATE_LEN);
        st->date_second = now;
        claim_drop(&st->busy);
    }
    return put(at, line, STATE_DATE_LEN);
}

static const char *
default_reason(long status)
{
    switch (status) {
#define REASON(number, name, string)                                          \
    case number:                                                              \
        return #string;
        HTTP_STATUS_MAP(REASON)
#undef REASON
    default:
        return "";
    }
}

/* "SWITCHING_PROTOCOLS" as "Switching Protocols". */
static char *
put_reason(char *at, const char *name)
{
    bool is_first = true;

    if (strcmp(name, "OK") == 0) {
        return PUT(at, "OK");
    }
    for (; *name != '\0'; name++) {
        char c = *name;

        if (c == '_') {
            c = ' ';
        }
        *at++ = c;
        if (!is_first) {
            at[-1] = (char)Py_TOLOWER(c);
        }
        is_first = c == ' ';
    }
    return at;
}

static int
check_name(PyObject *name)
{
    const char *at;
    const char *end;

    if (!PyBytes_Check(name)) {
        PyErr_Format(PyExc_TypeError,
                     "header names must be bytes, not %.200s",
                     Py_TYPE(name)->tp_name);
        return -1;
    }
    at = PyBytes_AS_STRING(name);
    end = at + PyBytes_GET_SIZE(name);
    if (at == end || !chars_all_name(at, end)) {
        PyErr_Format(PyExc_ValueError, "invalid header name %R", name);
        return -1;
    }
    return 0;
}

/* No CR or LF, which would begin another header or response, and no other
 * control character than the tab. */
static int
check_value(const char *what, PyObject *value)
{
    const char *at;
    const char *end;

    if (!PyBytes_Check(value)) {
        PyErr_Format(PyExc_TypeError,
                     "%ss must be bytes, not %.200s",
                     what,
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    at = PyBytes_AS_STRING(value);
    end = at + PyBytes_GET_SIZE(value);
    if (!chars_all_value(at, end)) {
        PyErr_Format(PyExc_ValueError, "invalid %s %R", what, value);
        return -1;
    }
    return 0;
}

static bool
is_name(PyObject *name, const char *text)
{
    return (size_t)PyBytes_GET_SIZE(name) == strlen(text) &&
           PyOS_stricmp(PyBytes_AS_STRING(name), text) == 0;
}

/* Pairs that are lists become tuples, so that they stay as they are checked.
 * New reference, or NULL. */
static PyObject *
freeze_pairs(PyObject *headers)
{
    Py_ssize_t count = PyTuple_GET_SIZE(headers);
    PyObject *pairs = PyTuple_New(count);

    for (Py_ssize_t i = 0; pairs != NULL && i < count; i++) {
        PyObject *header = PyTuple_GET_ITEM(headers, i);

        header =
            PyList_Check(header) ? PyList_AsTuple(header) : Py_NewRef(header);
        if (header == NULL) {
            Py_CLEAR(pairs);
            break;
        }
        PyTuple_SET_ITEM(pairs, i, header);
    }
    return pairs;
}

/* The headers as a tuple, which is the caller's own if it is one of tuples.
 * New reference, or NULL. */
static PyObject *
freeze_headers(PyObject *headers)
{
    PyObject *frozen =
        headers == NULL ? PyTuple_New(0) : PySequence_Tuple(headers);

    for (Py_ssize_t i = 0; frozen != NULL && i < PyTuple_GET_SIZE(frozen);
         i++) {
        if (PyList_Check(PyTuple_GET_ITEM(frozen, i))) {
            Py_SETREF(frozen, freeze_pairs(frozen));
            break;
        }
    }
    return frozen;
}

/* Parts may be given many times, so their sizes can add up to any number.
 * 0, or -1 with OverflowError. */
static int
add_size(size_t *size, size_t more)
{
    if (more > (size_t)PY_SSIZE_T_MAX - *size) {
        PyErr_SetString(PyExc_OverflowError, "the response is too large");
        return -1;
    }
    *size += more;
    return 0;
}

/* Check a header and note what it says; add its size. */
static int
read_header(Response *response, PyObject *header, size_t *size)
{
    PyObject *name;
    PyObject *value;

    if (!PyTuple_Check(header) || PyTuple_GET_SIZE(header) != 2) {
        PyErr_SetString(PyExc_TypeError,
                        "headers must be pairs of a name and a value");
        return -1;
    }
    name = PyTuple_GET_ITEM(header, 0);
    value = PyTuple_GET_ITEM(header, 1);
    if (check_name(name) < 0 || check_value("header value", value) < 0) {
        return -1;
    }
    if (is_name(name, "Content-Length") ||
        is_name(name, "Transfer-Encoding")) {
        response->has_framing = true;
    }
    else if (is_name(name, "Date")) {
        response->has_date = true;
    }
    return add_size(size,
                    (size_t)PyBytes_GET_SIZE(name) +
                        (size_t)PyBytes_GET_SIZE(value) + sizeof(": \r\n") -
                        1);
}

static bool
is_bodiless(long status)
{
    return status < 200 || status == 204 || status == 304;
}

/* Check what was asked for as a whole, against RFC 9110 and 9112. */
static int
check_framing(const Response *response)
{
    if (response->body != NULL && response->has_framing) {
        PyErr_SetString(PyExc_ValueError,
                        "Content-Length and Transfer-Encoding are set from "
                        "the body; give no body to set them yourself");
        return -1;
    }
    if (is_bodiless(response->status) &&
        (response->length > 0 || response->chunked)) {
        PyErr_Format(PyExc_ValueError,
                     "a response with status %ld has no body",
                     response->status);
        return -1;
    }
    return 0;
}

/* The length of a bytes-like object, or -1. */
static Py_ssize_t
length_of(PyObject *part)
{
    Py_buffer view;
    Py_ssize_t len;

    if (PyBytes_CheckExact(part)) {
        return PyBytes_GET_SIZE(part);
    }
    if (PyObject_GetBuffer(part, &view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    len = view.len;
    PyBuffer_Release(&view);
    return len;
}

static int
read_body(Response *response)
{
    PyObject *body = response->body;

    response->is_fixed = true;
    if (body == NULL) {
        return 0;
    }
    response->parts = &response->body;
    response->count = 1;
    if (PyList_Check(body) || PyTuple_Check(body)) {
        response->pieces = PySequence_Tuple(body);
        if (response->pieces == NULL) {
            return -1;
        }
        response->parts = PySequence_Fast_ITEMS(response->pieces);
        response->count = PyTuple_GET_SIZE(response->pieces);
    }
    for (Py_ssize_t i = 0; i < response->count; i++) {
        Py_ssize_t len = length_of(response->parts[i]);

        if (len < 0 || add_size(&response->length, (size_t)len) < 0) {
            return -1;
        }
        response->is_fixed &= PyBytes_CheckExact(response->parts[i]) != 0;
    }
    return 0;
}

static char *
put_bytes(char *at, PyObject *bytes)
{
    return put(at, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
}

/* The status line as far as we make it. */
static char *
put_start(const Response *response, char *at)
{
    at = PUT(at, "HTTP/1.1 ");
    at = put_number(at, (size_t)response->status, 10);
    *at++ = ' ';
    return response->reason != NULL
               ? at
               : put_reason(at, default_reason(response->status));
}

/* The headers that we add. */
static char *
put_added(const Response *response, char *at)
{
    if (!response->has_date) {
        at = put_date(response->st, at);
    }
    if (response->chunked) {
        at = PUT(at, "Transfer-Encoding: chunked\r\n");
    }
    else if (response->body != NULL && !is_bodiless(response->status)) {
        at = PUT(at, "Content-Length: ");
        at = put_number(at, response->length, 10);
        at = PUT(at, "\r\n");
    }
    return PUT(at, "\r\n");
}

/* Bytes to be filled in: new reference, or NULL. */
static PyObject *
make_bytes(State *st, size_t size)
{
    PyObject *bytes;

    if (size < SPARE_MIN || size > SPARE_MAX || !claim_take(&st->busy)) {
        return PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    }
    bytes = spare_take(&st->response, size);
    claim_drop(&st->busy);
    return bytes;
}

/* The head, and the body behind it if it is to be joined. `size` is that of
 * the given headers and the reason. New reference, or NULL. */
static PyObject *
make_head(const Response *response, size_t size, bool is_joined)
{
    char start[ADDED_MAX];
    char added[2 * ADDED_MAX];
    size_t start_len = (size_t)(put_start(response, start) - start);
    size_t added_len = (size_t)(put_added(response, added) - added);
    PyObject *head;
    char *at;

    assert(start_len <= sizeof(start) && added_len <= sizeof(added));
    if (add_size(&size,
                 start_len + sizeof("\r\n") - 1 + added_len +
                     (is_joined ? response->length : 0)) < 0) {
        return NULL;
    }
    head = make_bytes(response->st, size);
    if (head == NULL) {
        return NULL;
    }
    at = put(PyBytes_AS_STRING(head), start, start_len);
    if (response->reason != NULL) {
        at = put_bytes(at, response->reason);
    }
    at = PUT(at, "\r\n");
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(response->headers); i++) {
        PyObject *header = PyTuple_GET_ITEM(response->headers, i);

        at = put_bytes(at, PyTuple_GET_ITEM(header, 0));
        at = PUT(at, ": ");
        at = put_bytes(at, PyTuple_GET_ITEM(header, 1));
        at = PUT(at, "\r\n");
    }
    at = put(at, added, added_len);
    for (Py_ssize_t i = 0; is_joined && i < response->count; i++) {
        at = put_bytes(at, response->parts[i]);
    }
    assert(at == PyBytes_AS_STRING(head) + size);
    return head;
}

/* Append a part of the body to the list, with its chunk's frame. */
static int
append_part(PyObject *list, PyObject *part, bool chunked)
{
    char line[SIZE_DIGITS + 2];
    Py_ssize_t len = length_of(part);
    PyObject *size;
    int err;

    if (len <= 0) { /* an empty chunk would be the last */
        return len < 0 ? -1 : 0;
    }
    if (!chunked) {
        return PyList_Append(list, part);
    }
    size = PyBytes_FromStringAndSize(
        line, PUT(put_number(line, (size_t)len, 16), "\r\n") - line);
    if (size == NULL) {
        return -1;
    }
    err = PyList_Append(list, size);
    Py_DECREF(size);
    if (err == 0) {
        err = PyList_Append(list, part);
    }
    if (err == 0) {
        size = PyBytes_FromString("\r\n");
        err = size == NULL ? -1 : PyList_Append(list, size);
        Py_XDECREF(size);
    }
    return err;
}

/* The head, and a small body behind it: one that is not all exact bytes could
 * change its size meanwhile. */
static PyObject *
make_buffers(const Response *response, size_t size)
{
    bool is_joined = !response->chunked && response->length <= JOINED_MAX &&
                     response->is_fixed;
    PyObject *head = make_head(response, size, is_joined);
    PyObject *list = head == NULL ? NULL : PyList_New(1);

    if (list == NULL) {
        Py_XDECREF(head);
        return NULL;
    }
    PyList_SET_ITEM(list, 0, head);
    for (Py_ssize_t i = 0; !is_joined && i < response->count; i++) {
        if (append_part(list, response->parts[i], response->chunked) < 0) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return list;
}

static int
read_flag(PyObject *value, const char *name, bool *flag)
{
    if (value == NULL) {
        return 0;
    }
    if (!PyBool_Check(value)) {
        PyErr_Format(PyExc_TypeError,
                     "%s must be a bool, not %.200s",
                     name,
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    *flag = value == Py_True;
    return 0;
}

static int
read_status(Response *response, PyObject *const *values)
{
    response->status = PyLong_AsLong(values[ARG_STATUS]);
    if (response->status == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (response->status < 100 || response->status > 999) {
        PyErr_SetString(PyExc_ValueError, "status must be 100 to 999");
        return -1;
    }
    if (values[ARG_REASON] != NULL && values[ARG_REASON] != Py_None) {
        response->reason = values[ARG_REASON];
        return check_value("reason", response->reason);
    }
    return 0;
}

static PyObject *
build_response(Response *response, PyObject *const *values)
{
    size_t size = 0;
    bool date = true;

    if (read_status(response, values) < 0 ||
        read_flag(values[ARG_DATE], "date", &date) < 0 ||
        read_flag(values[ARG_CHUNKED], "chunked", &response->chunked) < 0) {
        return NULL;
    }
    response->has_date = !date;
    if (values[ARG_BODY] != Py_None) {
        response->body = values[ARG_BODY];
    }
    response->headers = freeze_headers(values[ARG_HEADERS]);
    if (response->headers == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(response->headers); i++) {
        PyObject *header = PyTuple_GET_ITEM(response->headers, i);

        if (read_header(response, header, &size) < 0) {
            return NULL;
        }
    }
    if (response->reason != NULL &&
        add_size(&size, (size_t)PyBytes_GET_SIZE(response->reason)) < 0) {
        return NULL;
    }
    if (read_body(response) < 0 || check_framing(response) < 0) {
        return NULL;
    }
    return make_buffers(response, size);
}

/* Python entry points */

static PyObject *
build_response_meth(PyObject *module,
                    PyObject *const *args,
                    Py_ssize_t nargs,
                    PyObject *kwnames)
{
    Response response = {.st = state_from_module(module)};
    PyObject *values[ARG_COUNT];
    PyObject *list;

    if (args_spread(&RESPONSE_ARGS,
                    response.st->objects,
                    args,
                    nargs,
                    kwnames,
                    values) < 0) {
        return NULL;
    }
    list = build_response(&response, values);
    Py_XDECREF(response.headers);
    Py_XDECREF(response.pieces);
    return list;
}

static PyObject *
build_chunk_meth(PyObject *Py_UNUSED(module), PyObject *data)
{
    PyObject *list = PyList_New(0);

    if (list != NULL && append_part(list, data, true) < 0) {
        Py_CLEAR(list);
    }
    return list;
}

PyDoc_STRVAR(build_response_doc,
             "build_response($module, /, status, headers=(), body=None, *,\n"
             "    reason=None, date=True, chunked=False)\n--\n\n"
             "A response as a list of buffers. See docs/parser.md.");
PyDoc_STRVAR(build_chunk_doc,
             "build_chunk($module, data, /)\n--\n\n"
             "One chunk as a list of buffers; an empty one as none.");

static PyMethodDef writer_functions[] = {
    {"build_response",
     METHOD(build_response_meth),
     METH_FASTCALL | METH_KEYWORDS,
     build_response_doc},
    {"build_chunk", build_chunk_meth, METH_O, build_chunk_doc},
    {NULL, NULL, 0, NULL},
};

int
writer_register(PyObject *module, State *st)
{
    st->date_second = 0;
    return PyModule_AddFunctions(module, writer_functions);
}
