#include "events.h"

#include "scan.h"

/* What llhttp__after_headers_complete answers; llhttp.c only knows the
 * numbers. */
enum {
    BODY_NONE = 0,
    BODY_OTHER_PROTOCOL = 1,
    BODY_CHUNKED = 2,
    BODY_LENGTH = 3,
    BODY_UNTIL_EOF = 4,
    BODY_UNKNOWABLE = 5
};

enum {
    ANYWHERE = -1 /* size_t: a position that none is over */
};

typedef unsigned char Byte;

_Static_assert(NAME_on_status - NAME_on_header == CALLBACK_STATUS &&
                   NAME_on_body - NAME_on_header == CALLBACK_BODY,
               "callbacks and their names are in one order");

/* llhttp.c declares these for itself: there is no header to include. */
int llhttp__on_reset(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_message_begin(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_method(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_method_complete(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_url(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_url_complete(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_protocol(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_protocol_complete(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_version(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_version_complete(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_status(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_status_complete(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_header_field(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_header_field_complete(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_header_value(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_header_value_complete(llhttp_t *, const Byte *, const Byte *);
int llhttp__before_headers_complete(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_headers_complete(llhttp_t *, const Byte *, const Byte *);
int llhttp__after_headers_complete(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_body(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_chunk_header(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_chunk_extension_name(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_chunk_extension_name_complete(llhttp_t *,
                                             const Byte *,
                                             const Byte *);
int llhttp__on_chunk_extension_value(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_chunk_extension_value_complete(llhttp_t *,
                                              const Byte *,
                                              const Byte *);
int llhttp__on_chunk_complete(llhttp_t *, const Byte *, const Byte *);
int llhttp__on_message_complete(llhttp_t *, const Byte *, const Byte *);
int llhttp__after_message_complete(llhttp_t *, const Byte *, const Byte *);

const RefusalInfo REFUSALS[REFUSED_COUNT] = {
    [REFUSED_NOTHING] = {"", "", 0},
    [REFUSED_HEAD] = {"LIMIT_HEAD", "Head is too large", 431},
    [REFUSED_URL] = {"LIMIT_URL", "URL is too long", 414},
    [REFUSED_HEADERS] = {"LIMIT_HEADERS", "Too many headers", 431},
    [REFUSED_HEADER_NAME] = {"LIMIT_HEADER_NAME",
                             "Header name is too long",
                             431},
    [REFUSED_HEADER_VALUE] = {"LIMIT_HEADER_VALUE",
                              "Header value is too long",
                              431},
    [REFUSED_TRAILERS] = {"LIMIT_TRAILERS", "Trailers are too large", 431},
    [REFUSED_CHUNK_EXTENSIONS] = {"LIMIT_CHUNK_EXTENSIONS",
                                  "Chunk extensions are too large",
                                  413},
    [REFUSED_BODY] = {"LIMIT_BODY", "Body is too large", 413},
    [REFUSED_QUIET] = {"LIMIT_WHITESPACE", "Too much whitespace", 431},
    [REFUSED_HTTP09] = {"STRICT_HTTP09", "HTTP/0.9 is not accepted", 400},
    [REFUSED_VERSION] = {"STRICT_VERSION",
                         "HTTP version is not accepted",
                         505},
    [REFUSED_TE_IN_HTTP10] = {"STRICT_TE_IN_HTTP10",
                              "Transfer-Encoding is not accepted in HTTP/1.0",
                              400},
    [REFUSED_CODING] = {"STRICT_CODING",
                        "Transfer-Encoding other than chunked",
                        501},
    [REFUSED_DUPLICATE] = {"STRICT_DUPLICATE",
                           "Header that may come once came twice",
                           400},
    [REFUSED_OBS_TEXT] = {"STRICT_OBS_TEXT",
                          "Byte over 127 in a header value",
                          400},
    [REFUSED_SPACES] = {"STRICT_SPACES",
                        "More than one space in the request line",
                        400},
    [REFUSED_TRAILER_NAME] = {"STRICT_TRAILER",
                              "Header that may not be a trailer",
                              400},
    [REFUSED_HOST] = {"STRICT_HOST", "Host is missing or not single", 400},
};

static inline Events *
events_of(llhttp_t *llhttp)
{
    return (Events *)llhttp; /* its first field */
}

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
        result =
            PyObject_Vectorcall(callback->function,
                                args + 1,
                                (count + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                NULL);
    }
    else {
        result = PyObject_Vectorcall(callback->function,
                                     args + 2,
                                     count | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                     NULL);
    }
    if (result == NULL) {
        return -1;
    }
    Py_DECREF(result); /* whatever it is: callbacks have no say */
    return 0;
}

static int
notify(Events *events, int index)
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
static int
emit_span(Events *events, int index, const char *at, size_t len)
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
static Callback *
header_callback(Events *events)
{
    if (events->phase == PHASE_TRAILERS &&
        events->callbacks[CALLBACK_TRAILER].function != NULL) {
        return &events->callbacks[CALLBACK_TRAILER];
    }
    return &events->callbacks[CALLBACK_HEADER];
}

/* Deliver the header that is whole, if there is one. It is forgotten first:
 * whatever the callback does, it is not delivered twice. */
static int
emit_header(Events *events)
{
    Spans *header = &events->header;
    PyObject *args[4] = {NULL, NULL, NULL, NULL};
    int err = -1;

    if (!header->has_value) {
        return 0;
    }
    if (header_callback(events)->function == NULL) {
        spans_reset(header);
        return 0;
    }
    args[2] = state_token(events->st, spans_name(header), header->name_len);
    args[3] = state_token(events->st, spans_value(header), header->value_len);
    spans_reset(header);
    if (args[2] != NULL && args[3] != NULL) {
        err = call(header_callback(events), args, 2);
    }
    Py_XDECREF(args[3]);
    Py_XDECREF(args[2]);
    return err;
}

/* llhttp has texts for the notifying hooks, none for those with a span. */
static int
fail_span(llhttp_t *llhttp, const char *reason)
{
    llhttp->reason = reason;
    return HPE_USER;
}

/* Whether the end of the message is the end of the connection. */
static bool
needs_eof(const llhttp_t *llhttp)
{
    unsigned status = llhttp->status_code;

    if (llhttp->type == HTTP_REQUEST || (llhttp->flags & F_SKIPBODY) ||
        (status >= 100 && status < 200) || status == 204 || status == 304) {
        return false;
    }
    if (llhttp->flags & F_CHUNKED) {
        return false;
    }
    /* A transfer coding that is not chunked beats a length. */
    return (llhttp->flags & F_TRANSFER_ENCODING) ||
           !(llhttp->flags & F_CONTENT_LENGTH);
}

static bool
should_keep_alive(const llhttp_t *llhttp)
{
    bool by_default = llhttp->http_major > 0 && llhttp->http_minor > 0;

    if (by_default ? (llhttp->flags & F_CONNECTION_CLOSE) != 0
                   : (llhttp->flags & F_CONNECTION_KEEP_ALIVE) == 0) {
        return false;
    }
    return !needs_eof(llhttp);
}

/* Statuses whose message ends with its head, whatever the headers say. The
 * other 1xx are not among them: as in llhttp, 199 has a body. */
static bool
is_bodiless_status(unsigned status)
{
    return status == 100 || status == 102 || status == 103 || status == 204 ||
           status == 304;
}

/* What stands in the place of the body, see the BODY_ constants. */
static int
body_kind(const llhttp_t *llhttp)
{
    bool is_response = llhttp->type == HTTP_RESPONSE;
    unsigned status = llhttp->status_code;

    if (llhttp->upgrade || (is_response && status == 101)) {
        return BODY_OTHER_PROTOCOL;
    }
    if ((llhttp->flags & F_SKIPBODY) ||
        (is_response && is_bodiless_status(status))) {
        return BODY_NONE;
    }
    if (llhttp->flags & F_CHUNKED) {
        return BODY_CHUNKED;
    }
    if (llhttp->flags & F_TRANSFER_ENCODING) {
        /* RFC 9112 6.3: a request's length cannot be told then, a response
         * goes on until the connection ends. */
        const unsigned lenient =
            LENIENT_CHUNKED_LENGTH | LENIENT_TRANSFER_ENCODING;

        return is_response || (llhttp->lenient_flags & lenient)
                   ? BODY_UNTIL_EOF
                   : BODY_UNKNOWABLE;
    }
    if (llhttp->flags & F_CONTENT_LENGTH) {
        return llhttp->content_length > 0 ? BODY_LENGTH : BODY_NONE;
    }
    return needs_eof(llhttp) ? BODY_UNTIL_EOF : BODY_NONE;
}

/* Limits. All of them are positions, so that whether one is exceeded, and
 * which one first, does not depend on how the bytes were cut into feeds:
 * what is over a position is refused when the byte behind it is met. */

static inline size_t
position(const Events *events, const void *p)
{
    return (size_t)(uintptr_t)p - events->origin;
}

static inline size_t
limit_from(const Events *events, size_t at, int limit)
{
    size_t size = events->policy.limits[limit];

    return size == (size_t)NO_LIMIT ? (size_t)ANYWHERE : at + size;
}

static void
enter_phase(Events *events, Phase phase, const void *p)
{
    size_t at = position(events, p);

    events->phase = phase;
    events->phase_end = (size_t)ANYWHERE;
    events->quiet_end = (size_t)ANYWHERE;
    switch (phase) {
    case PHASE_HEAD:
        events->phase_end = limit_from(events, at, LIMIT_HEAD);
        events->quiet_end = at + MAX_QUIET;
        break;
    case PHASE_TRAILERS:
        events->phase_end = limit_from(events, at, LIMIT_TRAILERS);
        events->quiet_end = at + MAX_QUIET;
        break;
    case PHASE_CHUNK_LINE:
        events->phase_end = limit_from(events, at, LIMIT_CHUNK_EXTENSIONS);
        break;
    case PHASE_BODY:
    case PHASE_CLOSED:
        break;
    }
}

static const Refusal PHASE_REFUSALS[] = {
    [PHASE_HEAD] = REFUSED_HEAD,
    [PHASE_BODY] = REFUSED_BODY,
    [PHASE_CHUNK_LINE] = REFUSED_CHUNK_EXTENSIONS,
    [PHASE_TRAILERS] = REFUSED_TRAILERS,
    [PHASE_CLOSED] = REFUSED_BODY, /* these two have no limit */
};

/* An answer of a hook: stop. */
static int
refuse(Events *events, Refusal refusal)
{
    events->refusal = refusal;
    return HPE_USER;
}

/* 0, or refuse() if p is over the limit of the phase. */
static inline int
check_position(Events *events, const void *p)
{
    size_t at = position(events, p);

    if (at <= events->phase_end && at <= events->quiet_end) {
        return 0;
    }
    return refuse(events,
                  events->phase_end <= events->quiet_end
                      ? PHASE_REFUSALS[events->phase]
                      : REFUSED_QUIET);
}

/* The same for a token from p to endp, `len` long with the pieces before it.
 * Of two limits the one that was met first counts. */
static int
check_token(Events *events,
            const Byte *p,
            const Byte *endp,
            size_t len,
            int limit,
            Refusal refusal)
{
    size_t at = position(events, endp);
    size_t most = events->policy.limits[limit];

    if (check_position(events, p)) {
        return HPE_USER;
    }
    if (len > most && at - len + most <= events->phase_end) {
        return refuse(events, refusal);
    }
    return at <= events->phase_end
               ? 0
               : refuse(events, PHASE_REFUSALS[events->phase]);
}

/* Something is reported: whitespace counts from here. */
static inline void
hear(Events *events, const void *p)
{
    events->quiet_end = position(events, p) + MAX_QUIET;
}

/* What every span's hook does first: whether the span is refused, and that
 * something is heard of. Where there is no limit, two comparisons. */
static inline int
refuses(Events *events,
        const Byte *p,
        const Byte *endp,
        int (*check)(Events *, const Byte *, const Byte *))
{
    if (events->has_limits || position(events, p) > events->quiet_end) {
        if (check(events, p, endp)) {
            return HPE_USER;
        }
    }
    hear(events, endp);
    return 0;
}

static int
check_url(Events *events, const Byte *p, const Byte *endp)
{
    if (check_position(events, p)) {
        return HPE_USER;
    }
    if (events->url_len == 0 && (events->policy.switches & REJECT_SPACES) &&
        position(events, p) != events->token_end + 1) {
        return refuse(events, REFUSED_SPACES);
    }
    return check_token(events,
                       p,
                       endp,
                       events->url_len + (size_t)(endp - p),
                       LIMIT_URL,
                       REFUSED_URL);
}

/* A name's first piece is one that finds no name, or a whole header. */
static int
check_name(Events *events, const Byte *p, const Byte *endp)
{
    const Spans *header = &events->header;
    bool is_new = !header->has_name || header->has_value;
    size_t len = is_new ? 0 : header->name_len;

    if (check_position(events, p)) {
        return HPE_USER;
    }
    if (is_new && events->headers >= events->policy.limits[LIMIT_HEADERS]) {
        return refuse(events, REFUSED_HEADERS);
    }
    return check_token(events,
                       p,
                       endp,
                       len + (size_t)(endp - p),
                       LIMIT_HEADER_NAME,
                       REFUSED_HEADER_NAME);
}

static int
check_value(Events *events, const Byte *p, const Byte *endp)
{
    return check_token(events,
                       p,
                       endp,
                       events->header.value_len + (size_t)(endp - p),
                       LIMIT_HEADER_VALUE,
                       REFUSED_HEADER_VALUE);
}

/* A token without a limit of its own. */
static int
check_piece(Events *events, const Byte *p, const Byte *endp)
{
    if (check_position(events, p)) {
        return HPE_USER;
    }
    return position(events, endp) <= events->phase_end
               ? 0
               : refuse(events, PHASE_REFUSALS[events->phase]);
}

/* "HTTP", which is to be one space behind the URL. */
static int
check_protocol(Events *events, const Byte *p, const Byte *endp)
{
    if (check_position(events, p)) {
        return HPE_USER;
    }
    if (events->llhttp.type == HTTP_REQUEST &&
        (events->policy.switches & REJECT_SPACES) &&
        position(events, p) > events->token_end + 1) {
        return refuse(events, REFUSED_SPACES);
    }
    return check_piece(events, p, endp);
}

/* llhttp found an error at p: was there anything to refuse before it? A span
 * that it was in has not been seen by its hook. */
static void
check_before_error(Events *events, const Byte *p)
{
    const llhttp_t *llhttp = &events->llhttp;
    const Byte *start = llhttp->_span_pos0;
    void *hook = llhttp->_span_cb0;

    if (start == NULL || start > p) {
        (void)check_position(events, p); /* it is noted in events */
    }
    else if (hook == (void *)llhttp__on_url) {
        (void)check_url(events, start, p); /* as above */
    }
    else if (hook == (void *)llhttp__on_protocol) {
        (void)check_protocol(events, start, p); /* as above */
    }
    else if (hook == (void *)llhttp__on_header_field) {
        (void)check_name(events, start, p); /* as above */
    }
    else if (hook == (void *)llhttp__on_header_value) {
        (void)check_value(events, start, p); /* as above */
    }
    else {
        (void)check_piece(events, start, p); /* as above */
    }
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
                return refuse(events, REFUSED_OBS_TEXT);
            }
        }
    }
    if (header == HEADER_OTHER) {
        return 0;
    }
    if (events->phase == PHASE_TRAILERS) {
        return (header & HEADER_NO_TRAILER) && (switches & REJECT_TRAILERS)
                   ? refuse(events, REFUSED_TRAILER_NAME)
                   : 0;
    }
    if (kind != HEADER_OTHER && kind <= HEADER_LAST_SINGLE) {
        if ((events->seen & bit) && kind == HEADER_HOST &&
            (switches & REQUIRE_HOST)) {
            return refuse(events, REFUSED_HOST);
        }
        if ((events->seen & bit) && (switches & REJECT_DUPLICATES)) {
            return refuse(events, REFUSED_DUPLICATE);
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
        return refuse(events, REFUSED_CODING);
    }
    else if (kind == HEADER_UPGRADE && events->policy.upgrades != NULL &&
             policy_is_upgrade(&events->policy, at, len)) {
        events->names_upgrade = true;
    }
    return 0;
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

/* A hook that called Python answers this: go on, or pause. */
static inline int
answer(const Events *events)
{
    return events->pausing ? HPE_PAUSED : 0;
}

/* A header for on_request or on_trailers is complete. */
static int
gather_header(Events *events,
              const char *name,
              size_t name_len,
              const char *value,
              size_t len)
{
    unsigned switches = events->policy.switches;
    unsigned header;

    if (switches & STRIP_OWS) {
        len = without_ows(value, len);
    }
    events->headers++;
    if (head_add(&events->head,
                 events->st,
                 name,
                 name_len,
                 value,
                 len,
                 (switches & LOWER_NAMES) != 0,
                 &header) < 0) {
        return -1;
    }
    if ((header != HEADER_OTHER || (switches & REJECT_OBS_TEXT)) &&
        look_at_header(events, header, value, len)) {
        return HPE_USER;
    }
    return answer(events);
}

/* The header's value is complete, and no line of it follows. */
static int
finish_header(Events *events)
{
    Spans *header = &events->header;
    unsigned switches = events->policy.switches;
    const char *name = spans_name(header);
    const char *value = spans_value(header);
    unsigned kind;
    int err;

    if (gathers_headers(events)) {
        err = gather_header(
            events, name, header->name_len, value, header->value_len);
        spans_reset(header);
        return err;
    }
    if (switches & STRIP_OWS) {
        header->value_len = without_ows(value, header->value_len);
    }
    events->headers++;
    Py_XDECREF(
        state_header_name(events->st, name, header->name_len, true, &kind));
    if (look_at_header(events, kind, value, header->value_len)) {
        return HPE_USER;
    }
    /* Else it waits, see take_name. */
    if ((switches & WHOLE_TOKENS || events->is_batch) &&
        emit_header(events) < 0) {
        return -1;
    }
    return answer(events);
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
        return refuse(events, REFUSED_TE_IN_HTTP10);
    }
    if ((switches & REQUIRE_HOST) && is_request && version >= 11 &&
        !(events->seen & 1u << HEADER_HOST)) {
        return refuse(events, REFUSED_HOST);
    }
    switch (kind) {
    case BODY_LENGTH:
        return llhttp->content_length > events->policy.limits[LIMIT_BODY]
                   ? refuse(events, REFUSED_BODY)
                   : 0;
    case BODY_UNKNOWABLE:
        /* llhttp would say it when the callback has been called. */
        return events->is_batch || (switches & WHOLE_TOKENS)
                   ? refuse(events, REFUSED_CODING)
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

PyObject *
events_version(const Events *events)
{
    PyObject *const *objects = events->st->objects;
    int major = events->llhttp.http_major;
    int minor = events->llhttp.http_minor;

    switch (major * 10 + minor) {
    case 0:
        return Py_NewRef(objects[VERSION_0_0]);
    case 9:
        return Py_NewRef(objects[VERSION_0_9]);
    case 10:
        return Py_NewRef(objects[VERSION_1_0]);
    case 11:
        return Py_NewRef(objects[VERSION_1_1]);
    case 20:
        return Py_NewRef(objects[VERSION_2_0]);
    default:
        return PyUnicode_FromFormat("%d.%d", major, minor);
    }
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
        args[3] = PyBytes_FromStringAndSize(start, (Py_ssize_t)len);
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

static int
emit_trailers(Events *events)
{
    if (events->head.count == 0) {
        return 0;
    }
    return emit_bytes(events, CALLBACK_TRAILERS, head_take(&events->head));
}

static inline bool
gathers_start(const Events *events)
{
    return events->is_batch || (events->policy.switches & WHOLE_TOKENS);
}

/* The URL or the status is complete; a batch protocol hears of it later. */
static int
finish_start(Events *events, int index)
{
    Spans *start = &events->start;
    PyObject *bytes;

    if (!start->has_name || events->is_batch) {
        return answer(events);
    }
    bytes = PyBytes_FromStringAndSize(spans_name(start),
                                      (Py_ssize_t)start->name_len);
    spans_reset(start);
    if (events->callbacks[index].function == NULL) {
        Py_XDECREF(bytes);
        return bytes == NULL ? -1 : answer(events);
    }
    return emit_bytes(events, index, bytes) < 0 ? -1 : answer(events);
}

/* What is done with each part of a head, whoever has found it: llhttp, or
 * scan.c. Each answers as a hook: other than 0 stops the parser. */

static int
begin_message(Events *events)
{
    events->url_len = 0;
    events->headers = 0;
    events->body = 0;
    events->seen = 0;
    events->expects = events->names_upgrade = false;
    events->has_length = events->complete = false;
    if (notify(events, CALLBACK_MESSAGE_BEGIN) < 0) {
        return -1;
    }
    return answer(events);
}

static int
take_url(Events *events, const char *at, size_t len)
{
    int err = 0;

    events->token_end = position(events, at + len);
    if (gathers_start(events)) {
        err = spans_add_name(&events->start, at, len);
    }
    else if (events->callbacks[CALLBACK_URL].function != NULL) {
        err = emit_span(events, CALLBACK_URL, at, len);
    }
    if (err < 0) {
        return fail_span(&events->llhttp, "`on_url` callback error");
    }
    return answer(events);
}

/* A header is delivered when the next one's name shows that its value has no
 * further line, as httptools does: so on_header lags by one. */
static int
take_name(Events *events, const char *at, size_t len)
{
    if (!events->wants_headers) {
        return 0;
    }
    if (emit_header(events) < 0 ||
        spans_add_name(&events->header, at, len) < 0) {
        return fail_span(&events->llhttp, "`on_header_field` callback error");
    }
    return answer(events);
}

static int
take_value(Events *events, const char *at, size_t len)
{
    if (events->wants_headers &&
        spans_add_value(&events->header, at, len) < 0) {
        return fail_span(&events->llhttp, "`on_header_value` callback error");
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

static int
complete_head(Events *events)
{
    llhttp_t *llhttp = &events->llhttp;

    apply_skip_body(events);
    events->kind = body_kind(llhttp);
    if (look_at_head(events, events->kind)) {
        return HPE_USER;
    }
    events->keep_alive = should_keep_alive(llhttp);
    events->has_length = (llhttp->flags & F_CONTENT_LENGTH) != 0;
    events->length = llhttp->content_length;
    if (emit_header(events) < 0 ||
        (events->is_batch && emit_head(events) < 0) ||
        notify(events, CALLBACK_HEADERS_COMPLETE) < 0) {
        return -1;
    }
    apply_skip_body(events);
    if (llhttp->upgrade) {
        llhttp->flags |= F_SKIPBODY;
    }
    return answer(events);
}

static int
complete_message(Events *events)
{
    events->complete = true;
    events->keep_alive = should_keep_alive(&events->llhttp);
    if (events->llhttp.status_code >= 200) {
        events->skip_body = false;
    }
    if (notify(events, CALLBACK_MESSAGE_COMPLETE) < 0) {
        return -1;
    }
    return answer(events);
}

/* llhttp is run over what has been taken already, see take_scanned: the hooks
 * do nothing, until the one that it is to stop in. */
static int
replay(Events *events)
{
    events->replay--;
    return events->replay > 0 ? 0 : events->replay_answer;
}

/* llhttp's hooks. An answer other than 0 stops the parser. */

int
llhttp__on_reset(llhttp_t *Py_UNUSED(llhttp),
                 const Byte *Py_UNUSED(p),
                 const Byte *Py_UNUSED(endp))
{
    return 0;
}

int
llhttp__on_message_begin(llhttp_t *llhttp,
                         const Byte *p,
                         const Byte *Py_UNUSED(endp))
{
    Events *events = events_of(llhttp);

    if (events->replay > 0) {
        return replay(events);
    }
    if (events->phase == PHASE_CLOSED) {
        enter_phase(events, PHASE_HEAD, p);
    }
    if (check_position(events, p)) {
        return HPE_USER;
    }
    hear(events, p);
    return begin_message(events);
}

int
llhttp__on_method(llhttp_t *Py_UNUSED(llhttp),
                  const Byte *Py_UNUSED(p),
                  const Byte *Py_UNUSED(endp))
{
    return 0;
}

int
llhttp__on_method_complete(llhttp_t *llhttp,
                           const Byte *p,
                           const Byte *Py_UNUSED(endp))
{
    Events *events = events_of(llhttp);

    if (events->replay == 0) {
        events->token_end = position(events, p);
        hear(events, p);
    }
    return 0;
}

int
llhttp__on_url(llhttp_t *llhttp, const Byte *p, const Byte *endp)
{
    Events *events = events_of(llhttp);

    if (events->replay > 0) {
        return replay(events);
    }
    if (refuses(events, p, endp, check_url)) {
        return HPE_USER;
    }
    events->url_len += (size_t)(endp - p);
    return take_url(events, (const char *)p, (size_t)(endp - p));
}

int
llhttp__on_url_complete(llhttp_t *llhttp,
                        const Byte *p,
                        const Byte *Py_UNUSED(endp))
{
    Events *events = events_of(llhttp);

    if (events->replay > 0) {
        return replay(events);
    }
    if (events->has_limits && check_position(events, p)) {
        return HPE_USER;
    }
    if ((events->policy.switches & REJECT_HTTP09) && llhttp->http_major == 0 &&
        llhttp->http_minor == 9) {
        return refuse(events, REFUSED_HTTP09);
    }
    return finish_start(events, CALLBACK_URL);
}

int
llhttp__on_protocol(llhttp_t *llhttp, const Byte *p, const Byte *endp)
{
    Events *events = events_of(llhttp);

    if (events->replay > 0) {
        return 0; /* scan.c has seen to it */
    }
    if (events->has_limits && check_protocol(events, p, endp)) {
        return HPE_USER;
    }
    events->token_end = position(events, endp); /* it may go on */
    hear(events, endp);
    return 0;
}

int
llhttp__on_protocol_complete(llhttp_t *Py_UNUSED(llhttp),
                             const Byte *Py_UNUSED(p),
                             const Byte *Py_UNUSED(endp))
{
    return 0;
}

int
llhttp__on_version(llhttp_t *Py_UNUSED(llhttp),
                   const Byte *Py_UNUSED(p),
                   const Byte *Py_UNUSED(endp))
{
    return 0;
}

int
llhttp__on_version_complete(llhttp_t *llhttp,
                            const Byte *p,
                            const Byte *Py_UNUSED(endp))
{
    Events *events = events_of(llhttp);
    unsigned version = llhttp->http_major * 10u + llhttp->http_minor;

    if (events->replay > 0) {
        return 0; /* as above */
    }
    if (events->has_limits && check_position(events, p)) {
        return HPE_USER;
    }
    hear(events, p);
    if ((events->policy.switches & REJECT_VERSIONS) && version != 10 &&
        version != 11) {
        return refuse(events, REFUSED_VERSION);
    }
    return 0;
}

int
llhttp__on_status(llhttp_t *llhttp, const Byte *p, const Byte *endp)
{
    Events *events = events_of(llhttp);
    size_t len = (size_t)(endp - p);

    if (refuses(events, p, endp, check_piece)) {
        return HPE_USER;
    }
    if (gathers_start(events)) {
        return spans_add_name(&events->start, (const char *)p, len) < 0
                   ? fail_span(llhttp, "`on_status` callback error")
                   : 0;
    }
    if (events->callbacks[CALLBACK_STATUS].function == NULL) {
        return 0;
    }
    if (emit_span(events, CALLBACK_STATUS, (const char *)p, len) < 0) {
        return fail_span(llhttp, "`on_status` callback error");
    }
    return answer(events);
}

int
llhttp__on_status_complete(llhttp_t *llhttp,
                           const Byte *p,
                           const Byte *Py_UNUSED(endp))
{
    Events *events = events_of(llhttp);

    if (events->has_limits && check_position(events, p)) {
        return HPE_USER;
    }
    return finish_start(events, CALLBACK_STATUS);
}

int
llhttp__on_header_field(llhttp_t *llhttp, const Byte *p, const Byte *endp)
{
    Events *events = events_of(llhttp);

    if (events->replay > 0) {
        return replay(events);
    }
    if (refuses(events, p, endp, check_name)) {
        return HPE_USER;
    }
    return take_name(events, (const char *)p, (size_t)(endp - p));
}

int
llhttp__on_header_field_complete(llhttp_t *Py_UNUSED(llhttp),
                                 const Byte *Py_UNUSED(p),
                                 const Byte *Py_UNUSED(endp))
{
    return 0;
}

int
llhttp__on_header_value(llhttp_t *llhttp, const Byte *p, const Byte *endp)
{
    Events *events = events_of(llhttp);

    if (events->replay > 0) {
        return replay(events);
    }
    if (refuses(events, p, endp, check_value)) {
        return HPE_USER;
    }
    return take_value(events, (const char *)p, (size_t)(endp - p));
}

int
llhttp__on_header_value_complete(llhttp_t *llhttp,
                                 const Byte *p,
                                 const Byte *Py_UNUSED(endp))
{
    Events *events = events_of(llhttp);

    if (events->replay > 0) {
        return replay(events);
    }
    if (!events->finishes_headers || !events->header.has_name) {
        return answer(events);
    }
    if (events->has_limits && check_position(events, p)) {
        return HPE_USER;
    }
    return finish_header(events);
}

/* on_headers_complete may ask should_upgrade(), so it is decided before. A
 * response's headers only announce that the server could upgrade, unless the
 * status says that it does. */
int
llhttp__before_headers_complete(llhttp_t *llhttp,
                                const Byte *Py_UNUSED(p),
                                const Byte *Py_UNUSED(endp))
{
    const unsigned both = F_UPGRADE | F_CONNECTION_UPGRADE;
    const Events *events = events_of(llhttp);

    if ((llhttp->flags & both) != both) {
        llhttp->upgrade = llhttp->method == HTTP_CONNECT;
    }
    else if (llhttp->type == HTTP_REQUEST) {
        llhttp->upgrade = events->policy.upgrades == NULL ||
                          events->names_upgrade ||
                          llhttp->method == HTTP_CONNECT;
    }
    else {
        llhttp->upgrade = llhttp->status_code == 101;
    }
    return 0;
}

int
llhttp__on_headers_complete(llhttp_t *llhttp,
                            const Byte *p,
                            const Byte *Py_UNUSED(endp))
{
    Events *events = events_of(llhttp);

    if (events->replay > 0) {
        return replay(events);
    }
    return check_position(events, p) ? HPE_USER : complete_head(events);
}

int
llhttp__after_headers_complete(llhttp_t *llhttp,
                               const Byte *p,
                               const Byte *Py_UNUSED(endp))
{
    int kind = body_kind(llhttp);

    enter_phase(events_of(llhttp),
                kind == BODY_CHUNKED ? PHASE_CHUNK_LINE : PHASE_BODY,
                p);
    return kind;
}

int
llhttp__on_body(llhttp_t *llhttp, const Byte *p, const Byte *endp)
{
    Events *events = events_of(llhttp);
    size_t len = (size_t)(endp - p);
    size_t most = events->policy.limits[LIMIT_BODY];
    bool is_over = events->body + len > most;

    if (is_over) { /* what is within the limit is delivered in any case */
        len = (size_t)(most - events->body);
    }
    events->body += len;
    if (events->callbacks[CALLBACK_BODY].function != NULL &&
        !(is_over && len == 0) &&
        emit_span(events, CALLBACK_BODY, (const char *)p, len) < 0) {
        return fail_span(llhttp, "`on_body` callback error");
    }
    return is_over ? refuse(events, REFUSED_BODY) : answer(events);
}

int
llhttp__on_chunk_header(llhttp_t *llhttp,
                        const Byte *p,
                        const Byte *Py_UNUSED(endp))
{
    Events *events = events_of(llhttp);

    if (check_position(events, p)) {
        return HPE_USER;
    }
    if (llhttp->content_length >
        events->policy.limits[LIMIT_BODY] - events->body) {
        return refuse(events, REFUSED_BODY);
    }
    events->chunk = llhttp->content_length;
    enter_phase(events, events->chunk == 0 ? PHASE_TRAILERS : PHASE_BODY, p);
    if (notify(events, CALLBACK_CHUNK_HEADER) < 0) {
        return -1;
    }
    return answer(events);
}

int
llhttp__on_chunk_extension_name(llhttp_t *llhttp,
                                const Byte *p,
                                const Byte *endp)
{
    Events *events = events_of(llhttp);

    if (check_position(events, endp)) {
        return HPE_USER;
    }
    if ((!events->in_name && events->extensions.has_name &&
         spans_add_name(&events->extensions, ";", 1) < 0) ||
        spans_add_name(
            &events->extensions, (const char *)p, (size_t)(endp - p)) < 0) {
        return fail_span(llhttp, "`on_chunk_extension_name` callback error");
    }
    events->in_name = true;
    return 0;
}

int
llhttp__on_chunk_extension_name_complete(llhttp_t *llhttp,
                                         const Byte *Py_UNUSED(p),
                                         const Byte *Py_UNUSED(endp))
{
    events_of(llhttp)->in_name = false;
    return 0;
}

int
llhttp__on_chunk_extension_value(llhttp_t *llhttp,
                                 const Byte *p,
                                 const Byte *endp)
{
    Events *events = events_of(llhttp);

    if (check_position(events, endp)) {
        return HPE_USER;
    }
    if ((!events->in_value &&
         spans_add_name(&events->extensions, "=", 1) < 0) ||
        spans_add_name(
            &events->extensions, (const char *)p, (size_t)(endp - p)) < 0) {
        return fail_span(llhttp, "`on_chunk_extension_value` callback error");
    }
    events->in_value = true;
    return 0;
}

int
llhttp__on_chunk_extension_value_complete(llhttp_t *llhttp,
                                          const Byte *Py_UNUSED(p),
                                          const Byte *Py_UNUSED(endp))
{
    events_of(llhttp)->in_value = false;
    return 0;
}

/* The last chunk's end is also the end of the trailers. */
int
llhttp__on_chunk_complete(llhttp_t *llhttp,
                          const Byte *p,
                          const Byte *Py_UNUSED(endp))
{
    Events *events = events_of(llhttp);

    if (check_position(events, p)) {
        return HPE_USER;
    }
    if (events->phase == PHASE_TRAILERS) {
        if (emit_header(events) < 0 || emit_trailers(events) < 0) {
            return -1;
        }
    }
    else {
        enter_phase(events, PHASE_CHUNK_LINE, p);
    }
    spans_reset(&events->extensions);
    if (notify(events, CALLBACK_CHUNK_COMPLETE) < 0) {
        return -1;
    }
    return answer(events);
}

int
llhttp__on_message_complete(llhttp_t *llhttp,
                            const Byte *Py_UNUSED(p),
                            const Byte *Py_UNUSED(endp))
{
    Events *events = events_of(llhttp);

    return events->replay > 0 ? replay(events) : complete_message(events);
}

/* 1: another message may follow; 0: what follows is `Data after
 * "Connection: close"`. */
int
llhttp__after_message_complete(llhttp_t *llhttp,
                               const Byte *p,
                               const Byte *Py_UNUSED(endp))
{
    int more = should_keep_alive(llhttp);

    llhttp->finish = HTTP_FINISH_SAFE;
    llhttp->flags = 0;
    enter_phase(events_of(llhttp), more ? PHASE_HEAD : PHASE_CLOSED, p);
    return more;
}

static void
release_callbacks(Callback *callbacks)
{
    for (int i = 0; i < CALLBACK_COUNT; i++) {
        Py_CLEAR(callbacks[i].function);
        Py_CLEAR(callbacks[i].receiver);
    }
}

/* Look up one attribute: missing or None means that nobody listens. */
static int
find_callback(PyObject *protocol, PyObject *name, Callback *callback)
{
    PyObject *found;

    if (PyObject_GetOptionalAttr(protocol, name, &found) < 0) {
        return -1;
    }
    if (found == NULL || found == Py_None) {
        Py_XDECREF(found);
        return 0;
    }
    if (PyMethod_Check(found)) {
        callback->function = Py_NewRef(PyMethod_GET_FUNCTION(found));
        callback->receiver = Py_NewRef(PyMethod_GET_SELF(found));
        Py_DECREF(found);
    }
    else {
        callback->function = found;
    }
    return 0;
}

/* The same for an attribute that httptools does not know: a class that
 * answers to any name (a Mock, a proxy) is not asked, only its type is. */
static int
find_new_callback(PyObject *protocol, PyObject *name, Callback *callback)
{
    PyTypeObject *type = Py_TYPE(protocol);
    PyObject *found;
    int has;

    if (type->tp_getattro != PyObject_GenericGetAttr &&
        !PyType_Check(protocol)) {
        has = PyObject_GetOptionalAttr((PyObject *)type, name, &found);
        Py_XDECREF(found);
        if (has <= 0) {
            return has;
        }
    }
    return find_callback(protocol, name, callback);
}

static int
find_callbacks(PyObject *const *objects,
               PyObject *protocol,
               llhttp_type_t type,
               Callback *found)
{
    int unused = type == HTTP_REQUEST ? CALLBACK_STATUS : CALLBACK_URL;
    const int names[] = {
        type == HTTP_REQUEST ? NAME_on_request : NAME_on_response,
        NAME_on_trailers,
        NAME_on_trailer,
        NAME_on_parse_error,
    };

    for (int i = 0; i <= CALLBACK_STATUS; i++) {
        if (i != unused &&
            find_callback(protocol, objects[NAME_on_header + i], &found[i]) <
                0) {
            return -1;
        }
    }
    for (int i = 0; i < (int)ARRAY_LEN(names); i++) {
        if (find_new_callback(protocol,
                              objects[names[i]],
                              &found[CALLBACK_REQUEST + i]) < 0) {
            return -1;
        }
    }
    return 0;
}

static void
free_pieces(Events *events)
{
    if (events->header.has_name || events->header.capacity > 0) {
        spans_free(&events->header);
    }
    if (events->start.has_name || events->start.capacity > 0) {
        spans_free(&events->start);
    }
    if (events->extensions.has_name || events->extensions.capacity > 0) {
        spans_free(&events->extensions);
    }
    head_drop(&events->head);
}

void
events_reset(Events *events)
{
    llhttp_t *llhttp = &events->llhttp;
    uint16_t lenient_flags = llhttp->lenient_flags;
    uint8_t type = llhttp->type;

    free_pieces(events);
    (void)llhttp__internal_init(llhttp); /* always 0 */
    llhttp->type = type;
    llhttp->lenient_flags = lenient_flags;
    events->refusal = REFUSED_NOTHING;
    events->origin = events->consumed = 0;
    events->body = 0;
    events->headers = 0;
    events->chunk = 0;
    events->has_length = events->keep_alive = events->skip_body = false;
    events->in_name = events->in_value = events->pausing = false;
    events->ended = false;
    events->complete = true;
    enter_phase(events, PHASE_HEAD, NULL);
}

int
events_bind(Events *events,
            PyObject *protocol,
            llhttp_type_t type,
            Policy *policy)
{
    Callback found[CALLBACK_COUNT] = {{NULL, NULL}};
    Policy old_policy = events->policy;

    if (find_callbacks(events->st->objects, protocol, type, found) < 0) {
        release_callbacks(found);
        return -1;
    }
    for (int i = 0; i < CALLBACK_COUNT; i++) {
        Callback old = events->callbacks[i];

        events->callbacks[i] = found[i];
        found[i] = old;
    }
    events->policy = *policy;
    events->has_limits = (policy->switches & REJECT_SPACES) != 0;
    for (int i = 0; i < LIMIT_COUNT; i++) {
        if (i != LIMIT_CHUNK_EXTENSIONS && i != LIMIT_BODY &&
            policy->limits[i] != (size_t)NO_LIMIT) {
            events->has_limits = true;
        }
    }
    events->is_batch = events->callbacks[CALLBACK_REQUEST].function != NULL;
    events->finishes_headers =
        events->is_batch || policy->looks_at_headers ||
        events->callbacks[CALLBACK_TRAILERS].function != NULL;
    events->wants_headers =
        events->finishes_headers ||
        events->callbacks[CALLBACK_HEADER].function != NULL ||
        events->callbacks[CALLBACK_TRAILER].function != NULL;
    events->llhttp.type = (uint8_t)type;
    events->llhttp.lenient_flags = 0;
    events->relaxed = false;
    events_reset(events);
    release_callbacks(found); /* last: it may run Python code */
    policy_clear(&old_policy);
    return 0;
}

static int
keep_piece(Spans *piece)
{
    return piece->has_name ? spans_keep(piece) : 0;
}

/* The data goes away: copy what is still needed of it. */
static int
keep_pieces(Events *events, const char *end)
{
    llhttp_t *llhttp = &events->llhttp;

    if (keep_piece(&events->header) < 0 || keep_piece(&events->start) < 0 ||
        keep_piece(&events->extensions) < 0) {
        llhttp->error = fail_span(llhttp, "Out of memory");
        llhttp->error_pos = end;
        return llhttp->error;
    }
    return 0;
}

/* llhttp has stopped with an error. */
static void
stop(Events *events, int err)
{
    const llhttp_t *llhttp = &events->llhttp;

    if (events->refusal == REFUSED_NOTHING && !PyErr_Occurred() &&
        err != HPE_PAUSED_UPGRADE && err != HPE_PAUSED_H2_UPGRADE) {
        check_before_error(events, (const Byte *)llhttp->error_pos);
    }
    /* No hook is called any more (after an upgrade: nothing is pending), and
     * the pieces point into the data. */
    free_pieces(events);
}

/* How many of these bytes are certainly of a body. */
static size_t
count_body(const Events *events, size_t len)
{
    uint64_t rest = events->llhttp.content_length;

    if (events->phase != PHASE_BODY) {
        return 0;
    }
    if (events->kind == BODY_UNTIL_EOF || rest > len) {
        return len;
    }
    return (size_t)rest;
}

/* With LENIENT_HEADER_VALUE_RELAXED, llhttp 9.4.3 looks at a NUL in a header
 * value for ever. So each NUL outside of bodies is parsed by itself and
 * without it: llhttp then refuses those in values, as it is meant to. */
static int
execute_relaxed(Events *events, const char *data, const char *end)
{
    llhttp_t *llhttp = &events->llhttp;
    const char *from = data;
    int err = HPE_OK;

    while (err == HPE_OK && data < end) {
        const char *nul = memchr(from, '\0', (size_t)(end - from));

        if (data != nul) {
            llhttp->lenient_flags |= LENIENT_HEADER_VALUE_RELAXED;
            err = events->st->execute(llhttp, data, nul == NULL ? end : nul);
            llhttp->lenient_flags &= (uint16_t)~LENIENT_HEADER_VALUE_RELAXED;
        }
        if (err != HPE_OK || nul == NULL) {
            break;
        }
        data = nul;
        from = nul + count_body(events, (size_t)(end - nul));
        if (from == nul) {
            from = data = nul + 1;
            err = events->st->execute(llhttp, nul, data);
        }
    }
    return err;
}

/* Ordinary heads, see scan.h. They have no leniency but this, which is about
 * what follows the last message. */
enum {
    SCAN_LENIENCIES = LENIENT_DATA_AFTER_CLOSE
};

static bool
may_scan(const Events *events)
{
    const llhttp_t *llhttp = &events->llhttp;

    return llhttp->_current == events->st->at_start &&
           llhttp->type == HTTP_REQUEST &&
           !(llhttp->lenient_flags & ~SCAN_LENIENCIES);
}

/* Whether no limit is met in this head. One that is is for llhttp: its hooks
 * tell where. */
static bool
is_within_limits(const Events *events, const ScanHead *head, const char *data)
{
    const size_t *limits = events->policy.limits;

    if (position(events, data) > events->quiet_end) {
        return false; /* behind so many empty lines */
    }
    return !events->has_limits ||
           (position(events, head->end) <= events->phase_end &&
            head->target_len <= limits[LIMIT_URL] &&
            head->count <= limits[LIMIT_HEADERS] &&
            head->longest_name <= limits[LIMIT_HEADER_NAME] &&
            head->longest_value <= limits[LIMIT_HEADER_VALUE]);
}

/* Note the answer of what stands for a hook; true: stop. */
static inline bool
stops(Events *events, int hook_answer)
{
    events->taken++;
    events->replay_answer = hook_answer;
    return hook_answer != 0;
}

/* What a header means to llhttp, between its name and its value. */
static inline void
understand(llhttp_t *llhttp, const ScanHead *head, const ScanHeader *header)
{
    llhttp->flags |= (uint16_t)header->flags;
    if (header->flags & F_CONTENT_LENGTH) {
        llhttp->content_length = head->content_length;
    }
}

static bool
take_headers(Events *events, const ScanHead *head)
{
    llhttp_t *llhttp = &events->llhttp;

    for (size_t i = 0; i < head->count; i++) {
        const ScanHeader *header = &head->headers[i];
        const char *name = header->name;
        const char *value = header->value;

        if (events->is_batch) {
            events->taken += 2; /* its name and its value do nothing */
            understand(llhttp, head, header);
            if (stops(events,
                      gather_header(events,
                                    name,
                                    header->name_len,
                                    value,
                                    header->value_len))) {
                return false;
            }
            continue;
        }
        if (stops(events, take_name(events, name, header->name_len))) {
            return false;
        }
        understand(llhttp, head, header);
        if (stops(events, take_value(events, value, header->value_len)) ||
            stops(events,
                  events->finishes_headers ? finish_header(events)
                                           : answer(events))) {
            return false;
        }
    }
    return true;
}

/* Do what the hooks would do for this head, and bring llhttp to the state
 * that it would be in behind it. False: stopped by the last answer. */
static bool
take_head(Events *events, const ScanHead *head)
{
    llhttp_t *llhttp = &events->llhttp;

    llhttp->finish = HTTP_FINISH_UNSAFE;
    llhttp->content_length = 0;
    if (stops(events, begin_message(events))) {
        return false;
    }
    llhttp->method = head->method;
    if (stops(events, take_url(events, head->target, head->target_len)) ||
        stops(events, finish_start(events, CALLBACK_URL))) {
        return false;
    }
    llhttp->http_major = 1;
    llhttp->http_minor = head->minor;
    if (!take_headers(events, head)) {
        return false;
    }
    llhttp->upgrade = 0;
    if (stops(events, complete_head(events))) {
        return false;
    }
    if (llhttp__after_headers_complete(
            llhttp, (const Byte *)head->end, NULL) == BODY_LENGTH) {
        llhttp->_current = events->st->at_body;
        return true;
    }
    if (stops(events, complete_message(events))) {
        return false;
    }
    (void)llhttp__after_message_complete(
        llhttp, (const Byte *)head->end, NULL); /* 1: scan_request said so */
    llhttp->initial_message_completed = 1;
    return true;
}

/* A callback raised, refused or paused in the middle of a head. To be in the
 * state that llhttp would be in, llhttp is run over it after all, its hooks
 * mute up to there. Returns its error. */
static int
catch_up(Events *events, const char *data, const char *end)
{
    llhttp_t *llhttp = &events->llhttp;
    int err;

    llhttp->flags = 0;
    llhttp->content_length = 0;
    llhttp->finish = HTTP_FINISH_SAFE;
    events->replay = events->taken;
    err = events->st->execute(llhttp, data, end);
    assert(events->replay == 0 && err != HPE_OK);
    hear(events, llhttp->error_pos); /* if it is to go on from there */
    return err;
}

/* Take as many ordinary heads as data begins with, and let llhttp do the
 * rest. Its error, or 0. */
static int
parse(Events *events, const char *data, const char *end)
{
    ScanHead head;

    while (may_scan(events) && scan_request(&head, data, end) &&
           is_within_limits(events, &head, data)) {
        events->taken = 0;
        if (!take_head(events, &head)) {
            return catch_up(events, data, end);
        }
        data = head.end;
        if (data == end) {
            return HPE_OK;
        }
    }
    return events->st->execute(&events->llhttp, data, end);
}

int
events_learn(State *st)
{
    static const char text[] = "PUT / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx";
    const char *end = text + sizeof(text) - 1;
    Events events = {.st = st};
    Policy policy;
    void *at_start;

    policy_init_plain(&policy);
    if (events_bind(&events, Py_None, HTTP_REQUEST, &policy) < 0) {
        return -1;
    }
    /* at_start is NULL yet, so nothing is scanned. */
    at_start = events.llhttp._current;
    if (events_feed(&events, NULL, text, (size_t)(end - text) - 1) == 0) {
        st->at_body = events.llhttp._current;
        if (events_feed(&events, NULL, end - 1, 1) == 0 &&
            events.llhttp._current == at_start) {
            st->at_start = at_start;
        }
    }
    events_clear(&events);
    events_free(&events);
    return 0;
}

int
events_feed(Events *events, PyObject *whole, const char *data, size_t len)
{
    llhttp_t *llhttp = &events->llhttp;
    const char *end = data + len;
    int err = llhttp->error;

    if (err != HPE_OK) {
        return err;
    }
    if (events->ended && len > 0) {
        llhttp->error = HPE_CLOSED_CONNECTION;
        llhttp->reason = "Data after the end";
        llhttp->error_pos = data;
        return llhttp->error;
    }
    events->whole = whole;
    events->data = data;
    events->origin = (size_t)(uintptr_t)data - events->consumed;
    if (events->relaxed && len > 0) {
        err = execute_relaxed(events, data, end);
    }
    else {
        err = parse(events, data, end);
    }
    if (err == HPE_OK && check_position(events, end)) {
        llhttp->error = err = HPE_USER;
        llhttp->error_pos = end;
    }
    if (err == HPE_OK) {
        events->consumed += len;
        err = keep_pieces(events, end);
    }
    else {
        events->consumed = position(events, llhttp->error_pos);
        if (err == HPE_PAUSED && events->pausing) {
            if (keep_pieces(events, end)) {
                err = llhttp->error;
            }
        }
        else {
            stop(events, err);
        }
    }
    events->whole = NULL;
    events->data = NULL;
    return err;
}

void
events_resume(Events *events)
{
    events->pausing = false;
    if (events->llhttp.error == HPE_PAUSED) {
        events->llhttp.error = HPE_OK;
    }
}

int
events_feed_eof(Events *events)
{
    llhttp_t *llhttp = &events->llhttp;
    int err = 0;

    if (llhttp->error != HPE_OK) {
        return llhttp->error;
    }
    llhttp->error_pos = NULL;
    if (llhttp->finish == HTTP_FINISH_UNSAFE) {
        free_pieces(events);
        llhttp->error = HPE_INVALID_EOF_STATE;
        llhttp->reason = "Invalid EOF state";
        return llhttp->error;
    }
    if (llhttp->finish == HTTP_FINISH_SAFE_WITH_CB) {
        err = llhttp__on_message_complete(llhttp, NULL, NULL);
        llhttp->finish = HTTP_FINISH_SAFE;
        llhttp->flags = 0;
    }
    if (err != 0 && PyErr_Occurred()) {
        llhttp->error = HPE_CB_MESSAGE_COMPLETE;
        llhttp->reason = "`on_message_complete` callback error";
        return llhttp->error;
    }
    events->ended = true;
    return 0;
}

void
events_set_on_error(Events *events, PyObject *on_error)
{
    Callback *callback = &events->callbacks[CALLBACK_ERROR];

    Py_XSETREF(callback->function, Py_NewRef(on_error));
    Py_CLEAR(callback->receiver);
}

int
events_report(Events *events, PyObject *exc)
{
    Callback callback = events->callbacks[CALLBACK_ERROR];
    PyObject *args[3] = {NULL, NULL, exc};
    int err;

    Py_INCREF(callback.function);
    Py_XINCREF(callback.receiver);
    err = call(&callback, args, 1);
    Py_XDECREF(callback.receiver);
    Py_DECREF(callback.function);
    return err;
}

bool
events_should_keep_alive(const Events *events)
{
    return should_keep_alive(&events->llhttp);
}

int
events_traverse(Events *events, visitproc visit, void *arg)
{
    for (int i = 0; i < CALLBACK_COUNT; i++) {
        Py_VISIT(events->callbacks[i].function);
        Py_VISIT(events->callbacks[i].receiver);
    }
    return 0;
}

void
events_clear(Events *events)
{
    release_callbacks(events->callbacks);
}

void
events_free(Events *events)
{
    free_pieces(events);
    head_free(&events->head);
    policy_clear(&events->policy);
}
