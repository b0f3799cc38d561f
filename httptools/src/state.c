#include "state.h"

#include "chars.h"

#include <stdint.h>
#include <llhttp.h>

static const char *const NAMES[] = {
    [NAME_on_header - NAME_FIRST] = "on_header",
    [NAME_on_headers_complete - NAME_FIRST] = "on_headers_complete",
    [NAME_on_body - NAME_FIRST] = "on_body",
    [NAME_on_message_begin - NAME_FIRST] = "on_message_begin",
    [NAME_on_message_complete - NAME_FIRST] = "on_message_complete",
    [NAME_on_chunk_header - NAME_FIRST] = "on_chunk_header",
    [NAME_on_chunk_complete - NAME_FIRST] = "on_chunk_complete",
    [NAME_on_url - NAME_FIRST] = "on_url",
    [NAME_on_status - NAME_FIRST] = "on_status",
    [NAME_on_request - NAME_FIRST] = "on_request",
    [NAME_on_response - NAME_FIRST] = "on_response",
    [NAME_on_trailers - NAME_FIRST] = "on_trailers",
    [NAME_on_trailer - NAME_FIRST] = "on_trailer",
    [NAME_on_parse_error - NAME_FIRST] = "on_parse_error",
    [NAME_protocol - NAME_FIRST] = "protocol",
    [NAME_on_error - NAME_FIRST] = "on_error",
    [NAME_header_names - NAME_FIRST] = "header_names",
    [NAME_strip_ows - NAME_FIRST] = "strip_ows",
    [NAME_upgrades - NAME_FIRST] = "upgrades",
    [NAME_strict - NAME_FIRST] = "strict",
    [NAME_max_head - NAME_FIRST] = "max_head",
    [NAME_max_url - NAME_FIRST] = "max_url",
    [NAME_max_headers - NAME_FIRST] = "max_headers",
    [NAME_max_header_name - NAME_FIRST] = "max_header_name",
    [NAME_max_header_value - NAME_FIRST] = "max_header_value",
    [NAME_max_trailers - NAME_FIRST] = "max_trailers",
    [NAME_max_chunk_extensions - NAME_FIRST] = "max_chunk_extensions",
    [NAME_max_body - NAME_FIRST] = "max_body",
    [NAME_reject_http09 - NAME_FIRST] = "reject_http09",
    [NAME_reject_versions - NAME_FIRST] = "reject_versions",
    [NAME_reject_te_in_http10 - NAME_FIRST] = "reject_te_in_http10",
    [NAME_reject_codings - NAME_FIRST] = "reject_codings",
    [NAME_reject_duplicates - NAME_FIRST] = "reject_duplicates",
    [NAME_reject_obs_text - NAME_FIRST] = "reject_obs_text",
    [NAME_reject_spaces - NAME_FIRST] = "reject_spaces",
    [NAME_reject_trailers - NAME_FIRST] = "reject_trailers",
    [NAME_require_host - NAME_FIRST] = "require_host",
    [NAME_data - NAME_FIRST] = "data",
    [NAME_url - NAME_FIRST] = "url",
    [NAME_errno - NAME_FIRST] = "errno",
    [NAME_name - NAME_FIRST] = "name",
    [NAME_offset - NAME_FIRST] = "offset",
    [NAME_status - NAME_FIRST] = "status",
    [NAME_headers - NAME_FIRST] = "headers",
    [NAME_body - NAME_FIRST] = "body",
    [NAME_reason - NAME_FIRST] = "reason",
    [NAME_date - NAME_FIRST] = "date",
    [NAME_chunked - NAME_FIRST] = "chunked",
    [NAME_rest - NAME_FIRST] = "rest",
    [NAME_lenient_headers - NAME_FIRST] = "lenient_headers",
    [NAME_lenient_chunked_length - NAME_FIRST] = "lenient_chunked_length",
    [NAME_lenient_keep_alive - NAME_FIRST] = "lenient_keep_alive",
    [NAME_lenient_transfer_encoding - NAME_FIRST] =
        "lenient_transfer_encoding",
    [NAME_lenient_version - NAME_FIRST] = "lenient_version",
    [NAME_lenient_data_after_close - NAME_FIRST] = "lenient_data_after_close",
    [NAME_lenient_optional_lf_after_cr - NAME_FIRST] =
        "lenient_optional_lf_after_cr",
    [NAME_lenient_optional_cr_before_lf - NAME_FIRST] =
        "lenient_optional_cr_before_lf",
    [NAME_lenient_optional_crlf_after_chunk - NAME_FIRST] =
        "lenient_optional_crlf_after_chunk",
    [NAME_lenient_spaces_after_chunk_size - NAME_FIRST] =
        "lenient_spaces_after_chunk_size",
    [NAME_lenient_header_value_relaxed - NAME_FIRST] =
        "lenient_header_value_relaxed",
    [NAME_schema - NAME_FIRST] = "schema",
    [NAME_host - NAME_FIRST] = "host",
    [NAME_port - NAME_FIRST] = "port",
    [NAME_path - NAME_FIRST] = "path",
    [NAME_query - NAME_FIRST] = "query",
    [NAME_fragment - NAME_FIRST] = "fragment",
    [NAME_userinfo - NAME_FIRST] = "userinfo",
};

static const char *const VERSIONS[] = {
    [VERSION_0_0 - VERSION_FIRST] = "0.0",
    [VERSION_0_9 - VERSION_FIRST] = "0.9",
    [VERSION_1_0 - VERSION_FIRST] = "1.0",
    [VERSION_1_1 - VERSION_FIRST] = "1.1",
    [VERSION_2_0 - VERSION_FIRST] = "2.0",
};

/* llhttp.h's own list, so that a new method cannot be forgotten. */
#define METHOD_NAME(number, name, string) [number] = #string,
static const char *const METHODS[] = {HTTP_ALL_METHOD_MAP(METHOD_NAME)};
#undef METHOD_NAME

_Static_assert(ARRAY_LEN(NAMES) == NAME_END - NAME_FIRST, "a name is missing");
_Static_assert(ARRAY_LEN(METHODS) == METHOD_COUNT, "methods of llhttp.h");

/* Names that clients and servers send in practice. Each is kept as written
 * and in lower case. */
static const char *const HEADER_NAMES[] = {
    "Accept",
    "Accept-Charset",
    "Accept-Encoding",
    "Accept-Language",
    "Accept-Ranges",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Origin",
    "Access-Control-Expose-Headers",
    "Access-Control-Max-Age",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Age",
    "Allow",
    "Alt-Svc",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Location",
    "Content-Range",
    "Content-Security-Policy",
    "Content-Type",
    "Cookie",
    "DNT",
    "Date",
    "ETag",
    "Expect",
    "Expires",
    "Forwarded",
    "From",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Keep-Alive",
    "Last-Modified",
    "Link",
    "Location",
    "Max-Forwards",
    "Origin",
    "Pragma",
    "Priority",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Range",
    "Referer",
    "Referrer-Policy",
    "Retry-After",
    "Save-Data",
    "Sec-CH-UA",
    "Sec-CH-UA-Mobile",
    "Sec-CH-UA-Platform",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Site",
    "Sec-Fetch-User",
    "Sec-GPC",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Version",
    "Server",
    "Set-Cookie",
    "Strict-Transport-Security",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Upgrade-Insecure-Requests",
    "User-Agent",
    "Vary",
    "Via",
    "WWW-Authenticate",
    "X-Amzn-Trace-Id",
    "X-Content-Type-Options",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Frame-Options",
    "X-Powered-By",
    "X-Real-IP",
    "X-Request-ID",
    "X-Requested-With",
    "X-XSS-Protection",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "traceparent",
    "tracestate",
};

/* Names that the parser itself has to look at. A list of what may come once
 * in a message (RFC 9110 5.3), and of what makes no sense after the body: it
 * frames the message, routes it, authenticates or says who sent it (6.5.1).
 */
static const struct {
    const char *name;
    unsigned header;
} SPECIAL_NAMES[] = {
    {"Host", HEADER_HOST | HEADER_NO_TRAILER},
    {"Expect", HEADER_EXPECT | HEADER_NO_TRAILER},
    {"Transfer-Encoding", HEADER_TRANSFER_ENCODING | HEADER_NO_TRAILER},
    {"Content-Length", HEADER_CONTENT_LENGTH | HEADER_NO_TRAILER},
    {"Upgrade", HEADER_UPGRADE | HEADER_NO_TRAILER},
    {"Age", HEADER_SINGLE | HEADER_NO_TRAILER},
    {"Authorization", HEADER_SINGLE | HEADER_NO_TRAILER | HEADER_FREE},
    {"Content-Location", HEADER_SINGLE | HEADER_NO_TRAILER},
    {"Content-Range", HEADER_SINGLE | HEADER_NO_TRAILER},
    {"Content-Type", HEADER_SINGLE | HEADER_NO_TRAILER},
    {"Date", HEADER_SINGLE | HEADER_NO_TRAILER},
    {"ETag", HEADER_SINGLE},
    {"Expires", HEADER_SINGLE | HEADER_NO_TRAILER},
    {"From", HEADER_SINGLE},
    {"Last-Modified", HEADER_SINGLE},
    {"Location", HEADER_SINGLE | HEADER_NO_TRAILER},
    {"Max-Forwards", HEADER_SINGLE | HEADER_NO_TRAILER},
    {"Proxy-Authorization", HEADER_SINGLE | HEADER_NO_TRAILER},
    {"Range", HEADER_SINGLE | HEADER_NO_TRAILER},
    {"Referer", HEADER_SINGLE | HEADER_FREE},
    {"Retry-After", HEADER_SINGLE | HEADER_NO_TRAILER},
    {"User-Agent", HEADER_SINGLE | HEADER_FREE},
    {"Cache-Control", HEADER_NO_TRAILER},
    {"Connection", HEADER_NO_TRAILER},
    {"Content-Encoding", HEADER_NO_TRAILER},
    {"Cookie", HEADER_NO_TRAILER | HEADER_FREE},
    {"Forwarded", HEADER_NO_TRAILER},
    {"Keep-Alive", HEADER_NO_TRAILER},
    {"Pragma", HEADER_NO_TRAILER},
    {"Proxy-Authenticate", HEADER_NO_TRAILER},
    {"Proxy-Connection", HEADER_NO_TRAILER},
    {"Set-Cookie", HEADER_NO_TRAILER | HEADER_FREE},
    {"TE", HEADER_NO_TRAILER},
    {"Trailer", HEADER_NO_TRAILER},
    {"Via", HEADER_NO_TRAILER},
    {"WWW-Authenticate", HEADER_NO_TRAILER},
    {"X-Forwarded-For", HEADER_NO_TRAILER},
    {"X-Forwarded-Host", HEADER_NO_TRAILER},
    {"X-Forwarded-Port", HEADER_NO_TRAILER},
    {"X-Forwarded-Proto", HEADER_NO_TRAILER},
    {"X-Real-IP", HEADER_NO_TRAILER},
};

/* Values, status phrases and URL parts that recur; kept as written. */
static const char *const VALUES[] = {
    "*",
    "*/*",
    "0",
    "1",
    "13",
    "?0",
    "?1",
    "Bad Request",
    "Close",
    "Created",
    "Forbidden",
    "Found",
    "Internal Server Error",
    "Keep-Alive",
    "Moved Permanently",
    "No Content",
    "Not Found",
    "Not Modified",
    "OK",
    "Switching Protocols",
    "Upgrade",
    "XMLHttpRequest",
    "application/json",
    "application/octet-stream",
    "application/x-www-form-urlencoded",
    "br",
    "bytes",
    "chunked",
    "close",
    "cors",
    "deflate",
    "document",
    "empty",
    "en-US,en;q=0.5",
    "en-US,en;q=0.9",
    "gzip",
    "gzip, deflate",
    "gzip, deflate, br",
    "gzip, deflate, br, zstd",
    "http",
    "https",
    "identity",
    "keep-alive",
    "localhost",
    "max-age=0",
    "navigate",
    "no-cache",
    "no-cors",
    "no-store",
    "none",
    "same-origin",
    "same-site",
    "text/css",
    "text/html",
    "text/html; charset=utf-8",
    "text/plain",
    "text/plain; charset=utf-8",
    "trailers",
    "u=0, i",
    "u=1, i",
    "upgrade",
    "websocket",
};

/* Both ends of the token tell common names apart: Sec-Fetch-Site from
 * Sec-Fetch-Mode, Accept-Encoding from Accept-Language. */
static inline uint32_t
token_hash(const char *at, size_t len)
{
    uint32_t head = 0;
    uint32_t tail = 0;

    if (len >= 4) {
        memcpy(&head, at, 4);
        memcpy(&tail, at + len - 4, 4);
    }
    else {
        for (size_t i = 0; i < len; i++) {
            head = head << 8 | (unsigned char)at[i];
        }
    }
    return ((head ^ (uint32_t)len) * 0x9E3779B1u + tail) * 0x85EBCA6Bu >> 22;
}

_Static_assert(TOKEN_SLOTS == 1 << (32 - 22), "token_hash gives 10 bits");

/* The slot that holds the token, or the free one where it belongs. */
static Token *
find_token(State *st, const char *at, size_t len)
{
    Token *token = &st->tokens[token_hash(at, len)];

    while (token->object != NULL) {
        if ((size_t)PyBytes_GET_SIZE(token->object) == len &&
            chars_equal(PyBytes_AS_STRING(token->object), at, len)) {
            break;
        }
        token++;
        if (token == st->tokens + TOKEN_SLOTS) {
            token = st->tokens;
        }
    }
    return token;
}

static Token *
add_token(State *st, const char *at, size_t len)
{
    Token *token = find_token(st, at, len);

    assert(len <= TOKEN_MAX_LEN);
    if (token->object == NULL) {
        token->object = PyBytes_FromStringAndSize(at, (Py_ssize_t)len);
        /* Its hash is computed here once, not by the first dict. */
        if (token->object == NULL || PyObject_Hash(token->object) == -1) {
            return NULL;
        }
    }
    return token;
}

static void
lower_case(char *lower, const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        lower[i] = (char)Py_TOLOWER(at[i]);
    }
}

static int
add_header_name(State *st, const char *name, unsigned header)
{
    char text[TOKEN_MAX_LEN];
    size_t len = strlen(name);
    Token *lower;
    Token *token;

    assert(len <= TOKEN_MAX_LEN);
    lower_case(text, name, len);
    lower = add_token(st, text, len);
    token = lower == NULL ? NULL : add_token(st, name, len);
    if (token == NULL) {
        return -1;
    }
    token->lower = lower->lower = lower->object;
    if (header != HEADER_OTHER) {
        token->header = lower->header = header;
    }
    return 0;
}

static int
add_tokens(State *st)
{
    unsigned single = HEADER_SINGLE;

    for (size_t i = 0; i < ARRAY_LEN(SPECIAL_NAMES); i++) {
        unsigned header = SPECIAL_NAMES[i].header;

        if ((header & HEADER_MASK) == HEADER_SINGLE) {
            header += single++ - HEADER_SINGLE;
        }
        if (add_header_name(st, SPECIAL_NAMES[i].name, header) < 0) {
            return -1;
        }
    }
    assert(single - 1 <= HEADER_LAST_SINGLE);
    for (size_t i = 0; i < ARRAY_LEN(HEADER_NAMES); i++) {
        if (add_header_name(st, HEADER_NAMES[i], HEADER_OTHER) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(VALUES); i++) {
        if (add_token(st, VALUES[i], strlen(VALUES[i])) == NULL) {
            return -1;
        }
    }
    return 0;
}

static int
add_strings(State *st, int first, const char *const *strings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        PyObject *string = PyUnicode_InternFromString(strings[i]);

        if (string == NULL) {
            return -1;
        }
        Py_XSETREF(st->objects[(size_t)first + i], string);
    }
    return 0;
}

State *
state_from_type(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &state_module_def);

    return module == NULL ? NULL : state_from_module(module);
}

int
state_fill(State *st)
{
    if (add_strings(st, NAME_FIRST, NAMES, ARRAY_LEN(NAMES)) < 0 ||
        add_strings(st, VERSION_FIRST, VERSIONS, ARRAY_LEN(VERSIONS)) < 0) {
        return -1;
    }
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        PyObject *method = PyBytes_FromString(METHODS[i]);

        if (method == NULL) {
            return -1;
        }
        Py_XSETREF(st->objects[METHOD_FIRST + i], method);
    }
    return add_tokens(st);
}

int
state_traverse(State *st, visitproc visit, void *arg)
{
    for (size_t i = 0; i < ARRAY_LEN(st->objects); i++) {
        Py_VISIT(st->objects[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(st->tokens); i++) {
        Py_VISIT(st->tokens[i].object);
    }
    return 0;
}

void
state_clear(State *st)
{
    for (size_t i = 0; i < ARRAY_LEN(st->objects); i++) {
        Py_CLEAR(st->objects[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(st->tokens); i++) {
        Py_CLEAR(st->tokens[i].object);
    }
    spare_clear(&st->response);
}

PyObject *
state_token(State *st, const char *at, size_t len)
{
    if (len > 1 && len <= TOKEN_MAX_LEN) {
        PyObject *token = find_token(st, at, len)->object;

        if (token != NULL) {
            return Py_NewRef(token);
        }
    }
    return PyBytes_FromStringAndSize(at, (Py_ssize_t)len);
}

PyObject *
state_value(State *st, unsigned header, const char *at, size_t len)
{
    if (header & HEADER_FREE) {
        return PyBytes_FromStringAndSize(at, (Py_ssize_t)len);
    }
    return state_token(st, at, len);
}

const Token *
state_header(State *st, const char *at, size_t len)
{
    const Token *token;

    if (len > TOKEN_MAX_LEN) {
        return NULL;
    }
    token = find_token(st, at, len);
    return token->lower == NULL ? NULL : token;
}

unsigned
state_header_kind(State *st, const char *at, size_t len)
{
    const Token *token = state_header(st, at, len);
    char text[TOKEN_MAX_LEN];

    if (token == NULL && len <= TOKEN_MAX_LEN) {
        lower_case(text, at, len); /* it may be known as this */
        token = find_token(st, text, len);
    }
    return token == NULL ? HEADER_OTHER : token->header;
}

PyObject *
state_header_name(
    State *st, const char *at, size_t len, bool lower, unsigned *header)
{
    char text[TOKEN_MAX_LEN];
    const Token *token;
    PyObject *name;

    *header = HEADER_OTHER;
    if (len <= TOKEN_MAX_LEN) {
        token = find_token(st, at, len);
        if (token->object == NULL || token->lower == NULL) {
            lower_case(text, at, len); /* it may be known as this */
            token = find_token(st, text, len);
            if (!lower || token->object == NULL) {
                *header = token->header;
                return PyBytes_FromStringAndSize(lower ? text : at,
                                                 (Py_ssize_t)len);
            }
        }
        *header = token->header;
        return Py_NewRef(lower && token->lower != NULL ? token->lower
                                                       : token->object);
    }
    name = PyBytes_FromStringAndSize(at, (Py_ssize_t)len);
    if (name != NULL && lower) {
        lower_case(PyBytes_AS_STRING(name), at, len);
    }
    return name;
}
