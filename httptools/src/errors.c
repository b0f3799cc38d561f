#include "errors.h"

/* llhttp.h's own list; the numbers have gaps, which stay NULL. */
#define ERRNO_NAME(number, name, string) [number] = "HPE_" #name,
static const char *const ERRNO_NAMES[] = {HTTP_ERRNO_MAP(ERRNO_NAME)};
#undef ERRNO_NAME

static const struct {
    int index;
    const char *name;
} CLASSES[] = {
    {ERROR_PARSER, "HttpParserError"},
    {ERROR_CALLBACK, "HttpParserCallbackError"},
    {ERROR_INVALID_STATUS, "HttpParserInvalidStatusError"},
    {ERROR_INVALID_METHOD, "HttpParserInvalidMethodError"},
    {ERROR_INVALID_URL, "HttpParserInvalidURLError"},
    {ERROR_LIMIT, "HttpParserLimitError"},
    {ERROR_UPGRADE, "HttpParserUpgrade"},
};

static PyObject * /* borrowed */
class_of(State *st, int code)
{
    switch (code) {
    case HPE_CB_MESSAGE_BEGIN:
    case HPE_CB_HEADERS_COMPLETE:
    case HPE_CB_MESSAGE_COMPLETE:
    case HPE_CB_CHUNK_HEADER:
    case HPE_CB_CHUNK_COMPLETE:
    /* Where a URL, a status or a header is reported once, in httptools no
     * callback can fail. */
    case HPE_CB_URL_COMPLETE:
    case HPE_CB_STATUS_COMPLETE:
    case HPE_CB_HEADER_VALUE_COMPLETE:
    case HPE_USER:
        return st->objects[ERROR_CALLBACK];
    case HPE_INVALID_STATUS:
        return st->objects[ERROR_INVALID_STATUS];
    case HPE_INVALID_METHOD:
        return st->objects[ERROR_INVALID_METHOD];
    case HPE_INVALID_URL:
        return st->objects[ERROR_INVALID_URL];
    default:
        return st->objects[ERROR_PARSER];
    }
}

/* Set exc.<name>, unless that is the class's own None. Steals `value`. */
static int
set_detail(State *st, PyObject *exc, int name, PyObject *value /* steals */)
{
    int err;

    if (value == NULL) {
        return -1;
    }
    err = PyObject_SetAttr(exc, st->objects[name], value);
    Py_DECREF(value);
    return err;
}

static int
set_details(State *st, PyObject *exc, const llhttp_t *llhttp, const char *data)
{
    size_t code = (size_t)llhttp->error;
    const char *name =
        code < ARRAY_LEN(ERRNO_NAMES) ? ERRNO_NAMES[code] : NULL;

    if (set_detail(st, exc, NAME_errno, PyLong_FromLong(llhttp->error)) < 0) {
        return -1;
    }
    if (name != NULL &&
        set_detail(st, exc, NAME_name, PyUnicode_FromString(name)) < 0) {
        return -1;
    }
    if (data != NULL && llhttp->error_pos != NULL) {
        PyObject *offset = PyLong_FromSsize_t(llhttp->error_pos - data);

        return set_detail(st, exc, NAME_offset, offset);
    }
    return 0;
}

/* A new exception object, not raised yet; NULL with another one set. */
static PyObject *
make_error(State *st, const llhttp_t *llhttp, const char *data)
{
    const char *reason = llhttp->reason == NULL ? "" : llhttp->reason;
    PyObject *message = PyUnicode_FromString(reason);
    PyObject *exc = NULL;

    if (message == NULL) {
        return NULL;
    }
    exc = PyObject_CallOneArg(class_of(st, llhttp->error), message);
    Py_DECREF(message);
    if (exc != NULL && set_details(st, exc, llhttp, data) < 0) {
        Py_CLEAR(exc);
    }
    return exc;
}

int
errors_import(State *st)
{
    PyObject *module = PyImport_ImportModule("httptools.parser.errors");
    int err = -1;

    if (module == NULL) {
        return -1;
    }
    for (size_t i = 0; i < ARRAY_LEN(CLASSES); i++) {
        PyObject *cls = PyObject_GetAttrString(module, CLASSES[i].name);

        if (cls == NULL) {
            goto done;
        }
        Py_XSETREF(st->objects[CLASSES[i].index], cls);
    }
    err = 0;

done:
    Py_DECREF(module);
    return err;
}

PyObject *
raise_llhttp(State *st, const llhttp_t *llhttp, const char *data)
{
    PyObject *exc = make_error(st, llhttp, data);

    if (exc != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
        Py_DECREF(exc);
    }
    return NULL;
}

PyObject *
raise_from_callback(State *st, const llhttp_t *llhttp, const char *data)
{
    PyObject *cause;
    PyObject *exc;

    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return NULL;
    }
    cause = PyErr_GetRaisedException();
    exc = make_error(st, llhttp, data);
    if (exc == NULL) {
        Py_DECREF(cause);
        return NULL;
    }
    PyException_SetCause(exc, Py_NewRef(cause));
    PyException_SetContext(exc, cause);
    /* Not PyErr_SetObject: inside an `except` block it would put the
     * exception being handled there in the place of the callback's. */
    PyErr_SetRaisedException(exc);
    return NULL;
}

PyObject *
raise_refusal(State *st,
              bool is_limit,
              const char *name,
              const char *reason,
              int status,
              Py_ssize_t offset)
{
    PyObject *cls = st->objects[is_limit ? ERROR_LIMIT : ERROR_PARSER];
    PyObject *exc = PyObject_CallFunction(cls, "s", reason);

    if (exc == NULL) {
        return NULL;
    }
    if (set_detail(st, exc, NAME_name, PyUnicode_FromString(name)) == 0 &&
        set_detail(st, exc, NAME_status, PyLong_FromLong(status)) == 0 &&
        (offset < 0 ||
         set_detail(st, exc, NAME_offset, PyLong_FromSsize_t(offset)) == 0)) {
        PyErr_SetObject(cls, exc);
    }
    Py_DECREF(exc);
    return NULL;
}

PyObject *
raise_upgrade(State *st, Py_ssize_t offset, PyObject *rest)
{
    PyObject *exc;

    if (rest == NULL) {
        return NULL;
    }
    exc = PyObject_CallFunction(st->objects[ERROR_UPGRADE], "n", offset);
    if (exc == NULL) {
        Py_DECREF(rest);
        return NULL;
    }
    if (PyBytes_GET_SIZE(rest) == 0) {
        Py_DECREF(rest); /* as the class says */
    }
    else if (set_detail(st, exc, NAME_rest, rest) < 0) {
        Py_DECREF(exc);
        return NULL;
    }
    PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
    Py_DECREF(exc);
    return NULL;
}

PyObject *
raise_invalid_url(State *st, PyObject *url)
{
    return PyErr_Format(st->objects[ERROR_INVALID_URL], "invalid url %R", url);
}

PyObject *
raise_long_url(State *st, Py_ssize_t len, int max_len)
{
    return PyErr_Format(st->objects[ERROR_INVALID_URL],
                        "url is too long: url length of %zd bytes exceeds "
                        "the maximum of %d bytes",
                        len,
                        max_len);
}
