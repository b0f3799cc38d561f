#include "parser.h"

#include "args.h"
#include "errors.h"
#include "calls.h"
#include "feed.h"
#include "guard.h"

typedef struct {
    PyObject_HEAD
    Events events;
    Claim feeding;
    bool initialised;
    bool inert;         /* on_error was told: what follows is dropped */
    bool eof_pending;   /* feed_eof() came while paused */
    PyObject *pending;  /* owned: list of bytes fed while paused, or NULL */
    Py_ssize_t skipped; /* bytes of pending[0] that are parsed already */
} Parser;

enum {
    LENIENCY_COUNT = 11,
    INIT_COUNT = 1 + OPTION_COUNT
};

static const short FEED_NAMES[] = {NAME_data};
static const ArgSpec FEED_ARGS = {"feed_data", 1, 1, 1, FEED_NAMES};

/* In the order of httptools' arguments; LENIENCIES gives llhttp's bits. */
static const short LENIENT_NAMES[LENIENCY_COUNT] = {
    NAME_lenient_headers,
    NAME_lenient_chunked_length,
    NAME_lenient_keep_alive,
    NAME_lenient_transfer_encoding,
    NAME_lenient_version,
    NAME_lenient_data_after_close,
    NAME_lenient_optional_lf_after_cr,
    NAME_lenient_optional_cr_before_lf,
    NAME_lenient_optional_crlf_after_chunk,
    NAME_lenient_spaces_after_chunk_size,
    NAME_lenient_header_value_relaxed,
};
static const ArgSpec LENIENT_ARGS = {"set_dangerous_leniencies",
                                     0,
                                     LENIENCY_COUNT,
                                     LENIENCY_COUNT,
                                     LENIENT_NAMES};
static const unsigned LENIENCIES[LENIENCY_COUNT] = {
    LENIENT_HEADERS,
    LENIENT_CHUNKED_LENGTH,
    LENIENT_KEEP_ALIVE,
    LENIENT_TRANSFER_ENCODING,
    LENIENT_VERSION,
    LENIENT_DATA_AFTER_CLOSE,
    LENIENT_OPTIONAL_LF_AFTER_CR,
    LENIENT_OPTIONAL_CR_BEFORE_LF,
    LENIENT_OPTIONAL_CRLF_AFTER_CHUNK,
    LENIENT_SPACES_AFTER_CHUNK_SIZE,
    LENIENT_HEADER_VALUE_RELAXED,
};

static bool
check_initialised(const Parser *parser)
{
    if (!parser->initialised) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the parser's __init__() has not been called");
    }
    return parser->initialised;
}

static void
raise_busy(const char *what)
{
    PyErr_Format(
        PyExc_RuntimeError, "%s() called while the parser is being fed", what);
}

static bool
start_feeding(Parser *parser, const char *what)
{
    if (!claim_take(&parser->feeding)) {
        raise_busy(what);
        return false;
    }
    return true;
}

/* data[offset:] as bytes, without a copy if it is all of a bytes object. */
static PyObject *
rest_of(PyObject *whole, const char *data, Py_ssize_t len, Py_ssize_t offset)
{
    if (whole != NULL && offset == 0) {
        return Py_NewRef(whole);
    }
    return PyBytes_FromStringAndSize(data + offset, len - offset);
}

/* Turn what the parser stopped with into an exception. data is NULL if it
 * stopped in an earlier one. */
static void
raise_stop(Parser *parser, PyObject *whole, const char *data, Py_ssize_t len)
{
    State *st = parser->events.st;
    llhttp_t *llhttp = &parser->events.llhttp;
    Refusal refusal = parser->events.refusal;
    bool has_offset = data != NULL && llhttp->error_pos != NULL;
    Py_ssize_t offset = has_offset ? llhttp->error_pos - data : -1;

    if (PyErr_Occurred()) {
        raise_from_callback(st, llhttp, data);
    }
    else if (refusal != REFUSED_NOTHING) {
        raise_refusal(st,
                      refusal <= REFUSED_LAST_LIMIT,
                      REFUSALS[refusal].name,
                      REFUSALS[refusal].reason,
                      REFUSALS[refusal].status,
                      offset);
    }
    else if (llhttp->error == HPE_PAUSED_UPGRADE && llhttp->upgrade &&
             has_offset) {
        /* No one has to resume the parser: the next feed begins a message,
         * as it always did in httptools. */
        llhttp->error = HPE_OK;
        raise_upgrade(st, offset, rest_of(whole, data, len, offset));
    }
    else {
        raise_llhttp(st, llhttp, data);
    }
}

/* Keep bytes that came while the parser is paused. 0/-1. */
static int
keep_pending(Parser *parser, PyObject *bytes /* steals */)
{
    int err = -1;

    if (bytes == NULL) {
        return -1;
    }
    if (parser->pending == NULL) {
        parser->pending = PyList_New(0);
        parser->skipped = 0;
    }
    if (parser->pending != NULL) {
        err = PyList_Append(parser->pending, bytes);
    }
    Py_DECREF(bytes);
    return err;
}

/* A callback paused at error_pos. An exact bytes object is kept as it is. */
static int
keep_rest(Parser *parser, PyObject *whole, const char *data, Py_ssize_t len)
{
    Py_ssize_t offset = parser->events.llhttp.error_pos - data;

    if (offset == len) {
        return 0;
    }
    if (whole == NULL) {
        return keep_pending(
            parser, PyBytes_FromStringAndSize(data + offset, len - offset));
    }
    if (keep_pending(parser, Py_NewRef(whole)) < 0) {
        return -1;
    }
    parser->skipped = offset;
    return 0;
}

/* Parse, or keep if paused. 0, or -1 with an exception. */
static int
feed_buffer(Parser *parser, PyObject *whole, const char *data, Py_ssize_t len)
{
    bool was_stopped = parser->events.llhttp.error != HPE_OK;
    int err;

    if (parser->events.pausing) {
        return len == 0 ? 0
                        : keep_pending(parser, rest_of(whole, data, len, 0));
    }
    err = feed_bytes(&parser->events, whole, data, (size_t)len);
    if (err == HPE_OK) {
        return 0;
    }
    if (err == HPE_PAUSED && parser->events.pausing) {
        return keep_rest(parser, whole, data, len);
    }
    raise_stop(parser, whole, was_stopped ? NULL : data, len);
    return -1;
}

static int
feed(Parser *parser, PyObject *data)
{
    Py_buffer view;
    int err;

    if (PyBytes_CheckExact(data)) {
        return feed_buffer(
            parser, data, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data));
    }
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    /* An empty buffer may have no address, llhttp needs one. */
    err =
        feed_buffer(parser, NULL, view.buf == NULL ? "" : view.buf, view.len);
    PyBuffer_Release(&view);
    return err;
}

static int
end_feed(Parser *parser)
{
    int err;

    if (parser->events.pausing) {
        parser->eof_pending = true;
        return 0;
    }
    err = feed_eof(&parser->events);
    if (err == HPE_OK) {
        return 0;
    }
    raise_stop(parser, NULL, NULL, 0);
    return -1;
}

/* An upgrade was found in pending[i]: what was kept behind it goes along. */
static void
add_rest(Parser *parser, PyObject *pending, Py_ssize_t i)
{
    PyObject *const *objects = parser->events.st->objects;
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *rest = NULL;

    if (PyObject_TypeCheck(exc, (PyTypeObject *)objects[ERROR_UPGRADE])) {
        rest = PyObject_GetAttr(exc, objects[NAME_rest]);
    }
    for (i++; rest != NULL && i < PyList_GET_SIZE(pending); i++) {
        PyBytes_Concat(&rest, PyList_GET_ITEM(pending, i));
    }
    if (rest != NULL && PyObject_SetAttr(exc, objects[NAME_rest], rest) == 0) {
        Py_DECREF(rest);
    }
    else {
        Py_XDECREF(rest);
    }
    PyErr_Clear(); /* no memory for the rest: exc is raised without */
    PyErr_SetRaisedException(exc);
}

/* Parse what was kept while paused, until a callback pauses again. */
static int
feed_pending(Parser *parser)
{
    PyObject *pending = parser->pending;
    Py_ssize_t skipped = parser->skipped;
    Py_ssize_t count = pending == NULL ? 0 : PyList_GET_SIZE(pending);
    int err = 0;

    parser->pending = NULL;
    parser->skipped = 0;
    if (count == 0 && parser->events.llhttp._span_pos0 == NULL) {
        /* The end of a message may be due without a byte more. */
        err = feed_buffer(parser, NULL, "", 0);
    }
    for (Py_ssize_t i = 0; i < count && err == 0; i++) {
        PyObject *bytes = PyList_GET_ITEM(pending, i);

        if (skipped > 0 && !parser->events.pausing) {
            Py_ssize_t len = PyBytes_GET_SIZE(bytes) - skipped;
            const char *data = PyBytes_AS_STRING(bytes) + skipped;

            err = feed_buffer(parser, NULL, data, len);
        }
        else {
            err = feed(parser, bytes);
        }
        skipped = 0;
        if (err < 0) {
            add_rest(parser, pending, i);
        }
    }
    Py_XDECREF(pending);
    if (err == 0 && parser->eof_pending && !parser->events.pausing) {
        parser->eof_pending = false;
        err = end_feed(parser);
    }
    return err;
}

/* The feed is over: None, or NULL with its exception, unless on_error takes
 * it. The parser is not busy any more then, so on_error may use it, and
 * another thread may replace on_error: it is held from before. */
static PyObject *
end_feeding(Parser *parser, int err)
{
    PyObject *const *objects = parser->events.st->objects;
    Callback on_error = {NULL, NULL};
    PyObject *exc;

    if (err < 0 && (PyErr_ExceptionMatches(objects[ERROR_PARSER]) ||
                    PyErr_ExceptionMatches(objects[ERROR_UPGRADE]))) {
        on_error = calls_hold_on_error(&parser->events);
        parser->inert |= on_error.function != NULL;
    }
    claim_drop(&parser->feeding);
    if (err == 0) {
        Py_RETURN_NONE;
    }
    if (on_error.function == NULL) {
        return NULL;
    }
    exc = PyErr_GetRaisedException();
    err = calls_report(on_error, exc);
    Py_DECREF(exc);
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
feed_data_meth(PyObject *self,
               PyObject *const *args,
               Py_ssize_t nargs,
               PyObject *kwnames)
{
    Parser *parser = CAST(Parser, self);
    PyObject *data;

    if (nargs == 1 && kwnames == NULL) {
        data = args[0];
    }
    else if (args_spread(&FEED_ARGS,
                         parser->events.st->objects,
                         args,
                         nargs,
                         kwnames,
                         &data) < 0) {
        return NULL;
    }
    if (!check_initialised(parser) || !start_feeding(parser, "feed_data")) {
        return NULL;
    }
    return end_feeding(parser, parser->inert ? 0 : feed(parser, data));
}

static PyObject *
feed_eof_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Parser *parser = CAST(Parser, self);

    if (!check_initialised(parser) || !start_feeding(parser, "feed_eof")) {
        return NULL;
    }
    return end_feeding(parser, parser->inert ? 0 : end_feed(parser));
}

static PyObject *
pause_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Parser *parser = CAST(Parser, self);

    if (!check_initialised(parser)) {
        return NULL;
    }
    parser->events.pausing = true;
    Py_RETURN_NONE;
}

static PyObject *
resume_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Parser *parser = CAST(Parser, self);

    if (!check_initialised(parser)) {
        return NULL;
    }
    if (!claim_take(&parser->feeding)) {
        if (claim_is_foreign(&parser->feeding)) {
            raise_busy("resume");
            return NULL;
        }
        parser->events.pausing = false; /* in a callback: pause() undone */
        Py_RETURN_NONE;
    }
    feed_resume(&parser->events);
    return end_feeding(parser, parser->inert ? 0 : feed_pending(parser));
}

static void
forget_pending(Parser *parser)
{
    parser->inert = parser->eof_pending = false;
    parser->skipped = 0;
    Py_CLEAR(parser->pending);
}

static PyObject *
reset_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Parser *parser = CAST(Parser, self);

    if (!check_initialised(parser) || !start_feeding(parser, "reset")) {
        return NULL;
    }
    events_reset(&parser->events);
    forget_pending(parser);
    claim_drop(&parser->feeding);
    Py_RETURN_NONE;
}

static PyObject *
skip_body_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Parser *parser = CAST(Parser, self);

    if (!check_initialised(parser)) {
        return NULL;
    }
    parser->events.skip_body = true;
    Py_RETURN_NONE;
}

/* Read one argument of set_dangerous_leniencies: 1, 0, -1 not given. -2 with
 * TypeError. */
static int
read_leniency(PyObject *value, const char *name)
{
    if (value == NULL || value == Py_None) {
        return -1;
    }
    if (!PyBool_Check(value)) {
        PyErr_Format(PyExc_TypeError,
                     "Argument '%s' has incorrect type (expected bool, got "
                     "%.200s)",
                     name,
                     Py_TYPE(value)->tp_name);
        return -2;
    }
    return value == Py_True;
}

static PyObject *
set_dangerous_leniencies_meth(PyObject *self,
                              PyObject *const *args,
                              Py_ssize_t nargs,
                              PyObject *kwnames)
{
    Parser *parser = CAST(Parser, self);
    PyObject *const *names = parser->events.st->objects;
    PyObject *values[LENIENCY_COUNT];
    unsigned flags;

    if (args_spread(&LENIENT_ARGS, names, args, nargs, kwnames, values) < 0 ||
        !check_initialised(parser)) {
        return NULL;
    }
    flags = parser->events.llhttp.lenient_flags;
    flags |= parser->events.relaxed ? LENIENT_HEADER_VALUE_RELAXED : 0u;
    for (int i = 0; i < LENIENCY_COUNT; i++) {
        const char *name = PyUnicode_AsUTF8(names[LENIENT_NAMES[i]]);
        int value = read_leniency(values[i], name);

        if (value == -2) {
            return NULL;
        }
        if (value == 1) {
            flags |= LENIENCIES[i];
        }
        else if (value == 0) {
            flags &= ~LENIENCIES[i];
        }
    }
    parser->events.relaxed = (flags & LENIENT_HEADER_VALUE_RELAXED) != 0;
    flags &= ~(unsigned)LENIENT_HEADER_VALUE_RELAXED; /* events.c sets it */
    parser->events.llhttp.lenient_flags = (uint16_t)flags;
    Py_RETURN_NONE;
}

static PyObject *
get_http_version_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Parser *parser = CAST(Parser, self);

    if (!check_initialised(parser)) {
        return NULL;
    }
    return events_version(&parser->events);
}

static PyObject *
should_keep_alive_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Parser *parser = CAST(Parser, self);

    if (!check_initialised(parser)) {
        return NULL;
    }
    return PyBool_FromLong(events_should_keep_alive(&parser->events));
}

static PyObject *
should_upgrade_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Parser *parser = CAST(Parser, self);

    if (!check_initialised(parser)) {
        return NULL;
    }
    return PyBool_FromLong(parser->events.llhttp.upgrade);
}

static PyObject *
get_method_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Parser *parser = CAST(Parser, self);
    unsigned method = parser->events.llhttp.method;

    if (!check_initialised(parser)) {
        return NULL;
    }
    assert(method < METHOD_COUNT);
    return Py_NewRef(parser->events.st->objects[METHOD_FIRST + method]);
}

static PyObject *
get_status_code_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Parser *parser = CAST(Parser, self);

    if (!check_initialised(parser)) {
        return NULL;
    }
    return PyLong_FromLong(parser->events.llhttp.status_code);
}

/* A parser is in the middle of a connection: it cannot be copied. The words
 * are those that users of httptools know. */
static PyObject *
reduce_meth(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    PyErr_SetString(PyExc_TypeError,
                    "no default __reduce__ due to non-trivial __cinit__");
    return NULL;
}

/* The attributes. A class that is derived from a parser may have some of the
 * same name, as it could when there were none here: so they can be set, and
 * what was set is in the object's __dict__ and goes first. */

enum {
    FIELD_CONSUMED,
    FIELD_KEEP_ALIVE,
    FIELD_CONTENT_LENGTH,
    FIELD_CHUNK_SIZE,
    FIELD_CHUNK_EXTENSIONS,
    FIELD_MESSAGE_COMPLETE,
    FIELD_PAUSED
};

static const char *const FIELD_NAMES[] = {
    [FIELD_CONSUMED] = "consumed",
    [FIELD_KEEP_ALIVE] = "keep_alive",
    [FIELD_CONTENT_LENGTH] = "content_length",
    [FIELD_CHUNK_SIZE] = "chunk_size",
    [FIELD_CHUNK_EXTENSIONS] = "chunk_extensions",
    [FIELD_MESSAGE_COMPLETE] = "message_complete",
    [FIELD_PAUSED] = "paused",
};

/* The buffer must not move meanwhile. In a callback its feeder looks. */
static PyObject *
copy_extensions(Parser *parser)
{
    const Spans *extensions = &parser->events.extensions;
    PyObject *bytes = NULL;
    bool taken = claim_take(&parser->feeding);

    if (!taken && claim_is_foreign(&parser->feeding)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "chunk_extensions while another thread feeds the "
                        "parser");
        return NULL;
    }
    bytes = PyBytes_FromStringAndSize(spans_name(extensions),
                                      (Py_ssize_t)extensions->name_len);
    if (taken) {
        claim_drop(&parser->feeding);
    }
    return bytes;
}

static PyObject *
field_value(Parser *parser, Py_ssize_t field)
{
    const Events *events = &parser->events;

    switch (field) {
    case FIELD_CONSUMED:
        return PyLong_FromSize_t(events->consumed);
    case FIELD_KEEP_ALIVE:
        return PyBool_FromLong(events->keep_alive);
    case FIELD_CONTENT_LENGTH:
        if (!events->has_length) {
            Py_RETURN_NONE;
        }
        return PyLong_FromUnsignedLongLong(events->length);
    case FIELD_CHUNK_SIZE:
        return PyLong_FromUnsignedLongLong(events->chunk);
    case FIELD_CHUNK_EXTENSIONS:
        return copy_extensions(parser);
    case FIELD_MESSAGE_COMPLETE:
        return PyBool_FromLong(events->complete);
    default:
        return PyBool_FromLong(events->pausing);
    }
}

/* The object's __dict__, or NULL without an exception: a parser itself has
 * none. */
static PyObject *
find_dict(PyObject *self)
{
    const State *st = CAST(Parser, self)->events.st;
    PyObject *type = (PyObject *)Py_TYPE(self);
    PyObject *dict;

    if (type == st->objects[TYPE_REQUEST_PARSER] ||
        type == st->objects[TYPE_RESPONSE_PARSER]) {
        return NULL;
    }
    dict = PyObject_GenericGetDict(self, NULL);
    if (dict == NULL) {
        PyErr_Clear(); /* it has __slots__ */
    }
    return dict;
}

static PyObject *
field_get(PyObject *self, void *closure)
{
    Py_ssize_t field = (const char *const *)closure - FIELD_NAMES;
    PyObject *dict = find_dict(self);
    PyObject *found = NULL;

    if (dict != NULL) {
        PyObject *name = PyUnicode_FromString(FIELD_NAMES[field]);
        int has = name == NULL ? -1 : PyDict_GetItemRef(dict, name, &found);

        Py_XDECREF(name);
        Py_DECREF(dict);
        if (has != 0) {
            return has < 0 ? NULL : found;
        }
    }
    if (!check_initialised(CAST(Parser, self))) {
        return NULL;
    }
    return field_value(CAST(Parser, self), field);
}

static int
field_set(PyObject *self, PyObject *value, void *closure)
{
    const char *name = *(const char *const *)closure;
    PyObject *dict = find_dict(self);
    int err;

    if (dict == NULL) {
        PyErr_Format(PyExc_AttributeError,
                     "attribute '%s' of '%.200s' objects is not writable",
                     name,
                     Py_TYPE(self)->tp_name);
        return -1;
    }
    err = value == NULL ? PyDict_DelItemString(dict, name)
                        : PyDict_SetItemString(dict, name, value);
    Py_DECREF(dict);
    return err;
}

static int
bind_protocol(Parser *parser,
              PyObject *protocol,
              llhttp_type_t type,
              Policy *policy /* steals its contents */,
              PyObject *on_error)
{
    int err;

    if (!start_feeding(parser, "__init__")) {
        policy_clear(policy);
        return -1;
    }
    err = events_bind(&parser->events, protocol, type, policy);
    if (err < 0) {
        policy_clear(policy);
    }
    else {
        parser->initialised = true;
        forget_pending(parser);
        if (on_error != NULL && on_error != Py_None) {
            calls_set_on_error(&parser->events, on_error);
        }
    }
    claim_drop(&parser->feeding);
    return err;
}

/* `args` is what args_spread takes. */
static int
init_parser(Parser *parser,
            PyObject *const *args,
            Py_ssize_t nargs,
            PyObject *kwnames,
            llhttp_type_t type)
{
    State *st = parser->events.st;
    short names[INIT_COUNT] = {NAME_protocol};
    const ArgSpec spec = {"__init__", 1, 1, INIT_COUNT, names};
    PyObject *values[INIT_COUNT];
    Policy policy;

    if (nargs == 1 && kwnames == NULL) {
        policy_init_plain(&policy);
        return bind_protocol(parser, args[0], type, &policy, NULL);
    }
    memcpy(names + 1, POLICY_NAMES, sizeof(POLICY_NAMES));
    if (args_spread(&spec, st->objects, args, nargs, kwnames, values) < 0 ||
        policy_init(&policy, st, values + 1) < 0) {
        return -1;
    }
    return bind_protocol(
        parser, values[0], type, &policy, values[1 + OPTION_ON_ERROR]);
}

/* The same from a tuple and a dict. */
static int
init(PyObject *self, PyObject *args, PyObject *kwargs, llhttp_type_t type)
{
    PyObject *stack[INIT_COUNT + 1];
    Py_ssize_t nargs = PyTuple_GET_SIZE(args);
    Py_ssize_t nkw = kwargs == NULL ? 0 : PyDict_GET_SIZE(kwargs);
    PyObject *kwnames = NULL;
    PyObject *name;
    PyObject *value;
    Py_ssize_t at = 0;
    int err;

    if (nargs + nkw > (Py_ssize_t)ARRAY_LEN(stack)) {
        PyErr_SetString(PyExc_TypeError, "__init__() got too many arguments");
        return -1;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        stack[i] = PyTuple_GET_ITEM(args, i);
    }
    if (nkw > 0) {
        kwnames = PyTuple_New(nkw);
        if (kwnames == NULL) {
            return -1;
        }
        for (Py_ssize_t i = 0; PyDict_Next(kwargs, &at, &name, &value); i++) {
            PyTuple_SET_ITEM(kwnames, i, Py_NewRef(name));
            stack[nargs + i] = value; /* the dict is this call's own */
        }
    }
    err = init_parser(CAST(Parser, self), stack, nargs, kwnames, type);
    Py_XDECREF(kwnames);
    return err;
}

static int
request_tp_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return init(self, args, kwargs, HTTP_REQUEST);
}

static int
response_tp_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return init(self, args, kwargs, HTTP_RESPONSE);
}

static PyObject *
parser_tp_new(PyTypeObject *type,
              PyObject *Py_UNUSED(args),
              PyObject *Py_UNUSED(kwargs))
{
    State *st = state_from_type(type);
    Parser *parser;

    if (st == NULL) {
        return NULL;
    }
    parser = (Parser *)type->tp_alloc(type, 0);
    if (parser != NULL) {
        parser->events.st = st;
    }
    return (PyObject *)parser;
}

/* HttpRequestParser(protocol) without a tuple of arguments, for the types
 * themselves: classes derived from them do not inherit it. */
static PyObject *
construct(PyObject *cls,
          PyObject *const *args,
          size_t nargsf,
          PyObject *kwnames,
          llhttp_type_t type)
{
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    PyObject *self = parser_tp_new((PyTypeObject *)cls, NULL, NULL);

    if (self == NULL) {
        return NULL;
    }
    if (init_parser(CAST(Parser, self), args, nargs, kwnames, type) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

static PyObject *
request_vectorcall(PyObject *cls,
                   PyObject *const *args,
                   size_t nargsf,
                   PyObject *kwnames)
{
    return construct(cls, args, nargsf, kwnames, HTTP_REQUEST);
}

static PyObject *
response_vectorcall(PyObject *cls,
                    PyObject *const *args,
                    size_t nargsf,
                    PyObject *kwnames)
{
    return construct(cls, args, nargsf, kwnames, HTTP_RESPONSE);
}

static int
parser_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return events_traverse(&CAST(Parser, self)->events, visit, arg);
}

static int
parser_tp_clear(PyObject *self)
{
    events_clear(&CAST(Parser, self)->events);
    return 0;
}

static void
parser_tp_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    events_clear(&CAST(Parser, self)->events);
    events_free(&CAST(Parser, self)->events);
    Py_CLEAR(CAST(Parser, self)->pending);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(
    feed_data_doc,
    "feed_data($self, /, data)\n--\n\n"
    "Feed bytes to the parser, which calls the protocol back.\n\n"
    "On an upgrade HttpParserUpgrade(offset) is raised: data[offset:] "
    "is no HTTP.");
PyDoc_STRVAR(get_http_version_doc,
             "get_http_version($self, /)\n--\n\n"
             "The message's HTTP version, e.g. '1.1'.");
PyDoc_STRVAR(should_keep_alive_doc,
             "should_keep_alive($self, /)\n--\n\n"
             "Whether the connection goes on after this message; to be asked "
             "in on_headers_complete or on_message_complete.");
PyDoc_STRVAR(should_upgrade_doc,
             "should_upgrade($self, /)\n--\n\n"
             "Whether the message asks for another protocol; set just before "
             "on_headers_complete.");
PyDoc_STRVAR(
    set_dangerous_leniencies_doc,
    "set_dangerous_leniencies($self, /, lenient_headers=None,\n"
    "    lenient_chunked_length=None, lenient_keep_alive=None,\n"
    "    lenient_transfer_encoding=None, lenient_version=None,\n"
    "    lenient_data_after_close=None, lenient_optional_lf_after_cr=None,\n"
    "    lenient_optional_cr_before_lf=None,\n"
    "    lenient_optional_crlf_after_chunk=None,\n"
    "    lenient_spaces_after_chunk_size=None,\n"
    "    lenient_header_value_relaxed=None)\n--\n\n"
    "Accept what the standard forbids, each for True; None leaves a switch "
    "as it is.");
PyDoc_STRVAR(get_method_doc,
             "get_method($self, /)\n--\n\n"
             "The request's method, e.g. b'GET'.");
PyDoc_STRVAR(get_status_code_doc,
             "get_status_code($self, /)\n--\n\n"
             "The response's status, e.g. 200.");
PyDoc_STRVAR(
    request_doc,
    "HttpRequestParser(protocol"
    ", *, on_error=None, header_names='raw',\n"
    "    strip_ows=False, upgrades=None, strict=False, max_head=None,\n"
    "    max_url=None, max_headers=None, max_header_name=None,\n"
    "    max_header_value=None, max_trailers=None,\n"
    "    max_chunk_extensions=16384, max_body=None, reject_http09=False,\n"
    "    reject_versions=False, reject_te_in_http10=False,\n"
    "    reject_codings=False, reject_duplicates=False,\n"
    "    reject_obs_text=False, reject_spaces=False,\n"
    "    reject_trailers=False, require_host=False)\n--\n\n"
    "Parses requests, as a server does. See docs/parser.md.");
PyDoc_STRVAR(
    response_doc,
    "HttpResponseParser(protocol"
    ", *, on_error=None, header_names='raw',\n"
    "    strip_ows=False, upgrades=None, strict=False, max_head=None,\n"
    "    max_url=None, max_headers=None, max_header_name=None,\n"
    "    max_header_value=None, max_trailers=None,\n"
    "    max_chunk_extensions=16384, max_body=None, reject_http09=False,\n"
    "    reject_versions=False, reject_te_in_http10=False,\n"
    "    reject_codings=False, reject_duplicates=False,\n"
    "    reject_obs_text=False, reject_spaces=False,\n"
    "    reject_trailers=False, require_host=False)\n--\n\n"
    "Parses responses, as a client does. See docs/parser.md.");

PyDoc_STRVAR(feed_eof_doc,
             "feed_eof($self, /)\n--\n\n"
             "The connection has ended: completes a response without a "
             "length, refuses a message that is cut short.");
PyDoc_STRVAR(pause_doc,
             "pause($self, /)\n--\n\n"
             "Call no callback after this one until resume(); what is fed "
             "meanwhile is kept.");
PyDoc_STRVAR(resume_doc,
             "resume($self, /)\n--\n\n"
             "Go on after pause(), with what was kept.");
PyDoc_STRVAR(reset_doc,
             "reset($self, /)\n--\n\n"
             "Start afresh, for another connection: callbacks, options and "
             "leniencies stay.");
PyDoc_STRVAR(skip_body_doc,
             "skip_body($self, /)\n--\n\n"
             "The response that is next, or whose headers are complete, has "
             "no body: it answers HEAD.");

static PyGetSetDef parser_getset[] = {
    {"consumed",
     field_get,
     field_set,
     PyDoc_STR("How many of the bytes fed so far are parsed."),
     (void *)&FIELD_NAMES[FIELD_CONSUMED]},
    {"keep_alive",
     field_get,
     field_set,
     PyDoc_STR("should_keep_alive() of the last head, also afterwards."),
     (void *)&FIELD_NAMES[FIELD_KEEP_ALIVE]},
    {"content_length",
     field_get,
     field_set,
     PyDoc_STR("The Content-Length of the last head, or None."),
     (void *)&FIELD_NAMES[FIELD_CONTENT_LENGTH]},
    {"chunk_size",
     field_get,
     field_set,
     PyDoc_STR("The size of the current chunk; 0 for the last one."),
     (void *)&FIELD_NAMES[FIELD_CHUNK_SIZE]},
    {"chunk_extensions",
     field_get,
     field_set,
     PyDoc_STR("Those of the current chunk, as b'name=value;name'."),
     (void *)&FIELD_NAMES[FIELD_CHUNK_EXTENSIONS]},
    {"message_complete",
     field_get,
     field_set,
     PyDoc_STR("Whether no message is half parsed."),
     (void *)&FIELD_NAMES[FIELD_MESSAGE_COMPLETE]},
    {"paused",
     field_get,
     field_set,
     PyDoc_STR("Whether pause() was called, and resume() was not."),
     (void *)&FIELD_NAMES[FIELD_PAUSED]},
    {NULL, NULL, NULL, NULL, NULL},
};

/* A class that calls its methods often has them itself: CPython's call of a
 * base's is the slow one. */
#define COMMON_METHODS                                                        \
    {"feed_data",                                                             \
     METHOD(feed_data_meth),                                                  \
     METH_FASTCALL | METH_KEYWORDS,                                           \
     feed_data_doc},                                                          \
        {"get_http_version",                                                  \
         get_http_version_meth,                                               \
         METH_NOARGS,                                                         \
         get_http_version_doc},                                               \
        {"should_keep_alive",                                                 \
         should_keep_alive_meth,                                              \
         METH_NOARGS,                                                         \
         should_keep_alive_doc},                                              \
        {"should_upgrade",                                                    \
         should_upgrade_meth,                                                 \
         METH_NOARGS,                                                         \
         should_upgrade_doc},                                                 \
        {"set_dangerous_leniencies",                                          \
         METHOD(set_dangerous_leniencies_meth),                               \
         METH_FASTCALL | METH_KEYWORDS,                                       \
         set_dangerous_leniencies_doc},                                       \
        {"feed_eof", feed_eof_meth, METH_NOARGS, feed_eof_doc},               \
        {"pause", pause_meth, METH_NOARGS, pause_doc},                        \
        {"resume", resume_meth, METH_NOARGS, resume_doc},                     \
        {"reset", reset_meth, METH_NOARGS, reset_doc},                        \
        {"__reduce__", reduce_meth, METH_NOARGS, NULL},                       \
    {                                                                         \
        "__setstate__", reduce_meth, METH_O, NULL                             \
    }

static PyMethodDef parser_methods[] = {
    COMMON_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyMethodDef request_methods[] = {
    COMMON_METHODS,
    {"get_method", get_method_meth, METH_NOARGS, get_method_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef response_methods[] = {
    COMMON_METHODS,
    {"get_status_code",
     get_status_code_meth,
     METH_NOARGS,
     get_status_code_doc},
    {"skip_body", skip_body_meth, METH_NOARGS, skip_body_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot parser_slots[] = {
    {Py_tp_methods, parser_methods},
    {Py_tp_getset, parser_getset},
    {Py_tp_new, parser_tp_new},
    {Py_tp_traverse, parser_tp_traverse},
    {Py_tp_clear, parser_tp_clear},
    {Py_tp_dealloc, parser_tp_dealloc},
    {0, NULL},
};

/* The slots of the base are repeated: a heap type that brings no dealloc of
 * its own gets the slow one of Python classes. */
static PyType_Slot request_slots[] = {
    {Py_tp_doc, (void *)request_doc},
    {Py_tp_methods, request_methods},
    {Py_tp_new, parser_tp_new},
    {Py_tp_init, request_tp_init},
    {Py_tp_traverse, parser_tp_traverse},
    {Py_tp_clear, parser_tp_clear},
    {Py_tp_dealloc, parser_tp_dealloc},
    {0, NULL},
};

static PyType_Slot response_slots[] = {
    {Py_tp_doc, (void *)response_doc},
    {Py_tp_methods, response_methods},
    {Py_tp_new, parser_tp_new},
    {Py_tp_init, response_tp_init},
    {Py_tp_traverse, parser_tp_traverse},
    {Py_tp_clear, parser_tp_clear},
    {Py_tp_dealloc, parser_tp_dealloc},
    {0, NULL},
};

enum {
    PARSER_FLAGS = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE |
                   Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
};

static PyType_Spec parser_spec = {
    .name = "httptools.parser.parser.HttpParser",
    .basicsize = sizeof(Parser),
    .flags = PARSER_FLAGS,
    .slots = parser_slots,
};

static PyType_Spec request_spec = {
    .name = "httptools.parser.parser.HttpRequestParser",
    .basicsize = sizeof(Parser),
    .flags = PARSER_FLAGS,
    .slots = request_slots,
};

static PyType_Spec response_spec = {
    .name = "httptools.parser.parser.HttpResponseParser",
    .basicsize = sizeof(Parser),
    .flags = PARSER_FLAGS,
    .slots = response_slots,
};

static int
add_type(PyObject *module,
         State *st,
         int index,
         PyType_Spec *spec,
         vectorcallfunc call)
{
    PyObject *base = st->objects[TYPE_PARSER]; /* NULL for itself */
    PyObject *type = PyType_FromModuleAndSpec(module, spec, base);

    if (type == NULL) {
        return -1;
    }
    /* There is no slot for it before 3.14. */
    ((PyTypeObject *)type)->tp_vectorcall = call;
    Py_XSETREF(st->objects[index], type);
    /* The base class stays out of sight, as in httptools. */
    return base == NULL ? 0 : PyModule_AddType(module, (PyTypeObject *)type);
}

int
parser_register(PyObject *module, State *st)
{
    if (add_type(module, st, TYPE_PARSER, &parser_spec, NULL) < 0 ||
        add_type(module,
                 st,
                 TYPE_REQUEST_PARSER,
                 &request_spec,
                 request_vectorcall) < 0) {
        return -1;
    }
    return add_type(
        module, st, TYPE_RESPONSE_PARSER, &response_spec, response_vectorcall);
}
