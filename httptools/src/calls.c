#include "calls.h"

#include "chars.h"

/* Call a callback that is there. args[0] belongs to the callee (see
 * PY_VECTORCALL_ARGUMENTS_OFFSET), args[1] is for the receiver, and the
 * `count` arguments follow. The callbacks cannot change meanwhile: the
 * parser is busy, and its caller holds it. */
static int
call(const Callback *callback, PyObject **args, size_t count)
{
    PyObject *result;

    if (callback->receiver != NULL) {
        args[1] = callback->receiver;
        result = function_call(callback->function,
                               args + 1,
                               (count + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET);
    }
    else {
        result = function_call(callback->function,
                               args + 2,
                               count | PY_VECTORCALL_ARGUMENTS_OFFSET);
    }
    if (result == NULL) {
        return -1;
    }
    Py_DECREF(result); /* whatever it is: callbacks have no say */
    return 0;
}

int
calls_notify(Events *events, int index)
{
    const Callback *callback = &events->callbacks[index];
    PyObject *args[2] = {NULL, NULL};

    if (callback->function == NULL) {
        return 0;
    }
    return call(callback, args, 0);
}

static int
emit_bytes(Events *events, int index, PyObject *bytes /* steals */)
{
    PyObject *args[3] = {NULL, NULL, bytes};
    int err;

    if (bytes == NULL) {
        return -1;
    }
    err = call(&events->callbacks[index], args, 1);
    Py_DECREF(bytes);
    return err;
}

/* A piece of URL, status or body. If it is all that was fed, the caller's
 * own bytes object goes on instead of a copy. */
int
calls_emit_span(Events *events, int index, const char *at, size_t len)
{
    if (events->whole != NULL && at == events->data &&
        len == (size_t)PyBytes_GET_SIZE(events->whole)) {
        return emit_bytes(events, index, Py_NewRef(events->whole));
    }
    if (index == CALLBACK_STATUS) {
        return emit_bytes(events, index, state_token(events->st, at, len));
    }
    return emit_bytes(
        events, index, PyBytes_FromStringAndSize(at, (Py_ssize_t)len));
}

/* Who hears of headers one by one: trailers may have a callback of their
 * own. A batch protocol hears of the head's otherwise. */
static const Callback *
header_callback(const Events *events)
{
    if (events->phase == PHASE_TRAILERS &&
        events->callbacks[CALLBACK_TRAILER].function != NULL) {
        return &events->callbacks[CALLBACK_TRAILER];
    }
    return &events->callbacks[CALLBACK_HEADER];
}

/* All requests of a connection are for one host, mostly. */
static PyObject *
make_host(Events *events, const char *at, size_t len)
{
    PyObject *host = events->host;

    if (host != NULL && (size_t)PyBytes_GET_SIZE(host) == len &&
        chars_equal(PyBytes_AS_STRING(host), at, len)) {
        return Py_NewRef(host);
    }
    host = state_token(events->st, at, len);
    if (host != NULL && len <= HEAD_VALUE_KEPT) {
        Py_XSETREF(events->host, Py_NewRef(host));
    }
    return host;
}

static int
emit_header(Events *events, const Callback *callback, const HeaderText *text)
{
    PyObject *args[4] = {NULL, NULL, NULL, NULL};
    const Token *name;
    unsigned header;
    int err = -1;

    if (callback->function == NULL) {
        return 0;
    }
    name = state_header(events->st, text->name, text->name_len);
    header = name == NULL ? HEADER_OTHER : name->header;
    args[2] =
        name == NULL
            ? PyBytes_FromStringAndSize(text->name, (Py_ssize_t)text->name_len)
            : Py_NewRef(name->object);
    args[3] =
        (header & HEADER_MASK) == HEADER_HOST
            ? make_host(events, text->value, text->value_len)
            : state_value(events->st, header, text->value, text->value_len);
    if (args[2] != NULL && args[3] != NULL) {
        err = call(callback, args, 2);
    }
    Py_XDECREF(args[3]);
    Py_XDECREF(args[2]);
    return err;
}

int
calls_emit_header(Events *events, const HeaderText *text)
{
    if (emit_header(events, &events->callbacks[CALLBACK_HEADER], text) < 0) {
        return calls_fail(&events->llhttp, "`on_header_field` callback error");
    }
    return calls_answer(events);
}

/* Deliver the header that is whole, if there is one. Whatever the callback
 * does, it is not delivered twice. */
int
calls_flush_header(Events *events)
{
    Spans *header = &events->header;
    HeaderText text;
    int err;

    if (!header->has_value) {
        return 0;
    }
    text = spans_text(header);
    err = emit_header(events, header_callback(events), &text);
    spans_reset(header);
    return err;
}

/* What the policy has to say of a header that is whole. */
static int
look_at_header(Events *events, unsigned header, const char *at, size_t len)
{
    unsigned switches = events->policy.switches;
    unsigned kind = header & HEADER_MASK;
    unsigned bit = 1u << kind;

    if (switches & REJECT_OBS_TEXT) {
        for (size_t i = 0; i < len; i++) {
            if ((unsigned char)at[i] > 127) {
                return guard_refuse(events, REFUSED_OBS_TEXT);
            }
        }
    }
    if (header == HEADER_OTHER) {
        return 0;
    }
    if (events->phase == PHASE_TRAILERS) {
        return (header & HEADER_NO_TRAILER) && (switches & REJECT_TRAILERS)
                   ? guard_refuse(events, REFUSED_TRAILER_NAME)
                   : 0;
    }
    if (kind != HEADER_OTHER && kind <= HEADER_LAST_SINGLE) {
        if ((events->seen & bit) && kind == HEADER_HOST &&
            (switches & REQUIRE_HOST)) {
            return guard_refuse(events, REFUSED_HOST);
        }
        if ((events->seen & bit) && (switches & REJECT_DUPLICATES)) {
            return guard_refuse(events, REFUSED_DUPLICATE);
        }
        events->seen |= bit;
    }
    if (kind == HEADER_EXPECT) {
        events->expects = len == strlen("100-continue") &&
                          PyOS_strnicmp(at, "100-continue", 12) == 0;
    }
    else if (kind == HEADER_TRANSFER_ENCODING && (switches & REJECT_CODINGS) &&
             (len != strlen("chunked") ||
              PyOS_strnicmp(at, "chunked", 7) != 0)) {
        return guard_refuse(events, REFUSED_CODING);
    }
    else if (kind == HEADER_UPGRADE && events->policy.upgrades != NULL &&
             policy_is_upgrade(&events->policy, at, len)) {
        events->names_upgrade = true;
    }
    return 0;
}

/* Whether look_at_header does anything. */
static inline bool
has_meaning(unsigned switches, unsigned header)
{
    unsigned kind = header & HEADER_MASK;

    if (switches & REJECT_ANY_HEADER) {
        return header != HEADER_OTHER || (switches & REJECT_OBS_TEXT);
    }
    return kind == HEADER_EXPECT || kind == HEADER_UPGRADE;
}

static size_t
without_ows(const char *value, size_t len)
{
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t')) {
        len--;
    }
    return len;
}

/* Whether headers are gathered for on_request or on_trailers now. */
static bool
gathers_headers(const Events *events)
{
    if (events->phase == PHASE_TRAILERS) {
        return events->callbacks[CALLBACK_TRAILERS].function != NULL;
    }
    return events->is_batch;
}

/* A header for on_request or on_trailers is complete. */
int
calls_gather_header(Events *events, HeaderText text)
{
    unsigned switches = events->policy.switches;
    unsigned header;

    if (switches & STRIP_OWS) {
        text.value_len = without_ows(text.value, text.value_len);
    }
    events->headers++;
    if (head_add(&events->head,
                 events->st,
                 &text,
                 (switches & LOWER_NAMES) != 0,
                 &header) < 0) {
        return -1;
    }
    if (has_meaning(switches, header) &&
        look_at_header(events, header, text.value, text.value_len)) {
        return HPE_USER;
    }
    return calls_answer(events);
}

/* The header's value is complete, and no line of it follows. */
int
calls_finish_header(Events *events)
{
    Spans *header = &events->header;
    unsigned switches = events->policy.switches;
    HeaderText text = spans_text(header);
    unsigned kind;
    int err;

    if (gathers_headers(events)) {
        err = calls_gather_header(events, text);
        spans_reset(header);
        return err;
    }
    if (switches & STRIP_OWS) {
        header->value_len = without_ows(text.value, text.value_len);
    }
    events->headers++;
    kind = state_header_kind(events->st, text.name, text.name_len);
    if (look_at_header(events, kind, text.value, header->value_len)) {
        return HPE_USER;
    }
    /* Else it waits, see take_name. */
    if ((switches & WHOLE_TOKENS || events->is_batch) &&
        calls_flush_header(events) < 0) {
        return -1;
    }
    return calls_answer(events);
}

/* What the policy has to say of a head that is whole. */
static int
look_at_head(Events *events, int kind)
{
    const llhttp_t *llhttp = &events->llhttp;
    unsigned switches = events->policy.switches;
    bool is_request = llhttp->type == HTTP_REQUEST;
    unsigned version = llhttp->http_major * 10u + llhttp->http_minor;

    if ((switches & REJECT_TE_IN_HTTP10) && version < 11 &&
        (llhttp->flags & F_TRANSFER_ENCODING)) {
        return guard_refuse(events, REFUSED_TE_IN_HTTP10);
    }
    if ((switches & REQUIRE_HOST) && is_request && version >= 11 &&
        !(events->seen & 1u << HEADER_HOST)) {
        return guard_refuse(events, REFUSED_HOST);
    }
    switch (kind) {
    case BODY_LENGTH:
        return llhttp->content_length > events->policy.limits[LIMIT_BODY]
                   ? guard_refuse(events, REFUSED_BODY)
                   : 0;
    case BODY_UNKNOWABLE:
        /* llhttp would say it when the callback has been called. */
        return events->is_batch || (switches & WHOLE_TOKENS)
                   ? guard_refuse(events, REFUSED_CODING)
                   : 0;
    default:
        return 0;
    }
}

static unsigned
head_flags(const Events *events)
{
    const llhttp_t *llhttp = &events->llhttp;
    int kind = events->kind;
    unsigned flags = events->keep_alive ? FLAG_KEEP_ALIVE : 0;

    if (llhttp->upgrade) {
        flags |= FLAG_UPGRADE;
    }
    if (kind == BODY_CHUNKED) {
        flags |= FLAG_CHUNKED | FLAG_HAS_BODY;
    }
    else if (kind == BODY_LENGTH || kind == BODY_UNTIL_EOF) {
        flags |= FLAG_HAS_BODY;
    }
    if (events->expects) {
        flags |= FLAG_EXPECT_100;
    }
    return flags;
}

static PyObject *
take_target(Events *events, const char *at, size_t len)
{
    PyObject *target;

    if (len == 0 || len > HEAD_VALUE_KEPT) {
        return PyBytes_FromStringAndSize(at, (Py_ssize_t)len);
    }
    target = spare_take(&events->target, len);
    if (target != NULL) {
        memcpy(PyBytes_AS_STRING(target), at, len);
    }
    return target;
}

/* on_request(method, target, version, headers, flags), on_response(status,
 * reason, version, headers, flags). */
static int
emit_head(Events *events)
{
    const llhttp_t *llhttp = &events->llhttp;
    bool is_request = llhttp->type == HTTP_REQUEST;
    PyObject *args[7] = {NULL};
    const char *start = spans_name(&events->start);
    size_t len = events->start.name_len;
    int err = -1;

    if (is_request) {
        args[2] =
            Py_NewRef(events->st->objects[METHOD_FIRST + llhttp->method]);
        args[3] = take_target(events, start, len);
    }
    else {
        args[2] = PyLong_FromLong(llhttp->status_code);
        args[3] = state_token(events->st, start, len);
    }
    args[4] = events_version(events);
    args[5] = head_take(&events->head);
    args[6] = PyLong_FromLong((long)head_flags(events));
    spans_reset(&events->start);
    if (args[2] != NULL && args[3] != NULL && args[4] != NULL &&
        args[5] != NULL && args[6] != NULL) {
        err = call(&events->callbacks[CALLBACK_REQUEST], args, 5);
    }
    for (size_t i = 2; i < ARRAY_LEN(args); i++) {
        Py_XDECREF(args[i]);
    }
    return err;
}

int
calls_emit_trailers(Events *events)
{
    if (events->head.count == 0) {
        return 0;
    }
    return emit_bytes(events, CALLBACK_TRAILERS, head_take(&events->head));
}

/* The URL or the status is complete; a batch protocol hears of it later. */
int
calls_finish_start(Events *events, int index)
{
    Spans *start = &events->start;
    PyObject *bytes;

    if (!start->has_name || events->is_batch) {
        return calls_answer(events);
    }
    bytes = PyBytes_FromStringAndSize(spans_name(start),
                                      (Py_ssize_t)start->name_len);
    spans_reset(start);
    if (events->callbacks[index].function == NULL) {
        Py_XDECREF(bytes);
        return bytes == NULL ? -1 : calls_answer(events);
    }
    return emit_bytes(events, index, bytes) < 0 ? -1 : calls_answer(events);
}

int
calls_begin_message(Events *events)
{
    events->url_len = 0;
    events->headers = 0;
    events->body = 0;
    events->seen = 0;
    events->expects = events->names_upgrade = false;
    events->has_length = events->complete = false;
    if (calls_notify(events, CALLBACK_MESSAGE_BEGIN) < 0) {
        return -1;
    }
    return calls_answer(events);
}

int
calls_take_url(Events *events, const char *at, size_t len)
{
    int err = 0;

    events->token_end = events_position(events, at + len);
    if (calls_gathers_start(events)) {
        err = spans_add_name(&events->start, at, len);
    }
    else if (events->callbacks[CALLBACK_URL].function != NULL) {
        err = calls_emit_span(events, CALLBACK_URL, at, len);
    }
    if (err < 0) {
        return calls_fail(&events->llhttp, "`on_url` callback error");
    }
    return calls_answer(events);
}

/* A header is delivered when the next one's name shows that its value has no
 * further line, as httptools does: so on_header lags by one. */
int
calls_take_name(Events *events, const char *at, size_t len)
{
    if (!events->wants_headers) {
        return 0;
    }
    if (calls_flush_header(events) < 0 ||
        spans_add_name(&events->header, at, len) < 0) {
        return calls_fail(&events->llhttp, "`on_header_field` callback error");
    }
    return calls_answer(events);
}

int
calls_take_value(Events *events, const char *at, size_t len)
{
    if (events->wants_headers &&
        spans_add_value(&events->header, at, len) < 0) {
        return calls_fail(&events->llhttp, "`on_header_value` callback error");
    }
    return 0;
}

/* skip_body() is meant for the response that answers: not for 1xx. */
static void
apply_skip_body(Events *events)
{
    llhttp_t *llhttp = &events->llhttp;

    if (events->skip_body && llhttp->status_code >= 200) {
        llhttp->flags |= F_SKIPBODY;
    }
}

/* What the protocol hears at the end of a head. */
static int
finish_head(Events *events,
            int kind,
            bool keep_alive,
            const HeaderText *last /* header, or NULL: as llhttp left it */)
{
    const llhttp_t *llhttp = &events->llhttp;
    const Callback *on_header = &events->callbacks[CALLBACK_HEADER];
    int err;

    events->kind = kind;
    if (look_at_head(events, kind)) {
        return HPE_USER;
    }
    events->keep_alive = keep_alive;
    events->has_length = (llhttp->flags & F_CONTENT_LENGTH) != 0;
    events->length = llhttp->content_length;
    err = last == NULL ? calls_flush_header(events)
                       : emit_header(events, on_header, last);
    if (err < 0 || (events->is_batch && emit_head(events) < 0)) {
        return -1;
    }
    return calls_notify(events, CALLBACK_HEADERS_COMPLETE);
}

int
calls_complete_head(Events *events)
{
    llhttp_t *llhttp = &events->llhttp;
    int err;

    apply_skip_body(events);
    err = finish_head(events,
                      events_body_kind(events),
                      events_should_keep_alive(events),
                      NULL);
    if (err != 0) {
        return err;
    }
    apply_skip_body(events);
    if (llhttp->upgrade) {
        llhttp->flags |= F_SKIPBODY;
    }
    return calls_answer(events);
}

int
calls_complete_ordinary_head(Events *events, const HeaderText *last)
{
    int kind = events->llhttp.content_length > 0 ? BODY_LENGTH : BODY_NONE;
    int err = finish_head(events, kind, true, last);

    return err == 0 ? calls_answer(events) : err;
}

int
calls_complete_message(Events *events)
{
    events->keep_alive = events_should_keep_alive(events);
    if (events->llhttp.status_code >= 200) {
        events->skip_body = false;
    }
    return calls_complete_ordinary_message(events);
}

int
calls_complete_ordinary_message(Events *events)
{
    events->complete = true;
    if (calls_notify(events, CALLBACK_MESSAGE_COMPLETE) < 0) {
        return -1;
    }
    return calls_answer(events);
}

void
calls_set_on_error(Events *events, PyObject *on_error)
{
    Callback *callback = &events->callbacks[CALLBACK_ERROR];

    callback->receiver = NULL;
    Py_XSETREF(callback->function, Py_NewRef(on_error));
}

Callback
calls_hold_on_error(const Events *events)
{
    Callback on_error = events->callbacks[CALLBACK_ERROR];

    Py_XINCREF(on_error.function);
    Py_XINCREF(on_error.receiver);
    return on_error;
}

int
calls_report(Callback on_error, PyObject *exc)
{
    PyObject *args[3] = {NULL, NULL, exc};
    int err = call(&on_error, args, 1);

    Py_XDECREF(on_error.receiver);
    Py_DECREF(on_error.function);
    return err;
}
