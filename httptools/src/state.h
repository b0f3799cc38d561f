/* state.h - what one interpreter's `_http` module holds.
 *
 * Everything but what the response writer keeps is read-only once the module
 * has been executed, so parsers in many threads share it without a lock.
 * Objects live in two arrays, so that traverse and clear are loops and no
 * field can be forgotten.
 */
#ifndef HTTPTOOLS_STATE_H
#define HTTPTOOLS_STATE_H

#include "spare.h"

#include <stdint.h>
#include <time.h>
#include <llhttp.h>

enum {
    METHOD_COUNT = 47, /* llhttp's methods, HTTP and RTSP, are 0 to 46 */
    TOKEN_SLOTS = 1024,
    TOKEN_MAX_LEN = 40,
    STATE_DATE_LEN = 37
};

/* Indices into State.objects. */
enum {
    TYPE_PARSER,
    TYPE_REQUEST_PARSER,
    TYPE_RESPONSE_PARSER,
    TYPE_URL,

    ERROR_PARSER,
    ERROR_CALLBACK,
    ERROR_INVALID_STATUS,
    ERROR_INVALID_METHOD,
    ERROR_INVALID_URL,
    ERROR_LIMIT,
    ERROR_UPGRADE,

    NAME_FIRST,
    NAME_on_header = NAME_FIRST,
    NAME_on_headers_complete,
    NAME_on_body,
    NAME_on_message_begin,
    NAME_on_message_complete,
    NAME_on_chunk_header,
    NAME_on_chunk_complete,
    NAME_on_url,
    NAME_on_status,
    NAME_on_request,
    NAME_on_response,
    NAME_on_trailers,
    NAME_on_trailer,
    NAME_on_parse_error,
    NAME_protocol,
    NAME_on_error,
    NAME_header_names,
    NAME_strip_ows,
    NAME_upgrades,
    NAME_strict,
    NAME_max_head,
    NAME_max_url,
    NAME_max_headers,
    NAME_max_header_name,
    NAME_max_header_value,
    NAME_max_trailers,
    NAME_max_chunk_extensions,
    NAME_max_body,
    NAME_reject_http09,
    NAME_reject_versions,
    NAME_reject_te_in_http10,
    NAME_reject_codings,
    NAME_reject_duplicates,
    NAME_reject_obs_text,
    NAME_reject_spaces,
    NAME_reject_trailers,
    NAME_require_host,
    NAME_data,
    NAME_url,
    NAME_errno,
    NAME_name,
    NAME_offset,
    NAME_status,
    NAME_headers,
    NAME_body,
    NAME_reason,
    NAME_date,
    NAME_chunked,
    NAME_rest,
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
    NAME_schema,
    NAME_host,
    NAME_port,
    NAME_path,
    NAME_query,
    NAME_fragment,
    NAME_userinfo,
    NAME_END,

    VERSION_FIRST = NAME_END,
    VERSION_0_0 = VERSION_FIRST,
    VERSION_0_9,
    VERSION_1_0,
    VERSION_1_1,
    VERSION_2_0,
    VERSION_END,

    METHOD_FIRST = VERSION_END,

    OBJECT_COUNT = METHOD_FIRST + METHOD_COUNT
};

/* What the parser has to know a header by: Token.header. Those up to
 * HEADER_LAST_SINGLE may come once; see policy.c. */
enum {
    HEADER_OTHER,
    HEADER_HOST,
    HEADER_EXPECT,
    HEADER_TRANSFER_ENCODING,
    HEADER_CONTENT_LENGTH,
    HEADER_SINGLE, /* the first of the others */
    HEADER_LAST_SINGLE = 29,
    HEADER_UPGRADE,
    HEADER_MASK = 31,
    HEADER_NO_TRAILER = 32, /* a flag: frames, routes or authenticates */
    HEADER_FREE = 64        /* a flag: no value of it is a common one */
};

typedef struct {
    PyObject *object; /* owned; NULL: the slot is free */
    PyObject *lower;  /* borrowed: the header name in lower case, or NULL */
    unsigned header;  /* a HEADER_ constant */
} Token;

typedef struct {
    /* llhttp's state machine, in the version that suits this processor. */
    int (*execute)(llhttp_t *, const char *, const char *);
    /* Its states between two requests, NULL if unknown, and before a body of
     * a known length; see events.c. */
    void *at_start;
    void *at_body;
    PyObject *objects[OBJECT_COUNT]; /* owned */
    /* Bytes objects of common header names and values, by token_hash, open
     * addressing; a server that sees the same object again finds its hash
     * computed. */
    Token tokens[TOKEN_SLOTS];
    /* What the writer keeps, for whoever holds `busy`: the line "Date: ..." of
     * date_second, and the last response. */
    Claim busy;
    time_t date_second;
    char date[STATE_DATE_LEN];
    Spare response;
} State;

/* Defined by module.c: its address is how a type finds its module. */
extern struct PyModuleDef state_module_def;

/* The state of the module that made `type` or a base of it. NULL with
 * TypeError if there is none. */
State *state_from_type(PyTypeObject *type);

static inline State *
state_from_module(PyObject *module)
{
    return (State *)PyModule_GetState(module);
}

/* Make the strings, versions, methods and tokens. 0/-1. */
int state_fill(State *st);
int state_traverse(State *st, visitproc visit, void *arg);
void state_clear(State *st);

/* A new reference to bytes equal to at[:len]: a shared object if the token
 * is a common one, else a fresh one. NULL with MemoryError. */
PyObject *state_token(State *st, const char *at, size_t len);

/* The same for the value of a header, of which HEADER_ constants are known. */
PyObject *state_value(State *st, unsigned header, const char *at, size_t len);

/* What is known of a header's name that is written like this, or NULL. */
const Token *state_header(State *st, const char *at, size_t len);

/* What HEADER_ constants say of a header's name, however it is written. */
unsigned state_header_kind(State *st, const char *at, size_t len);

/* The same as state_token for a header's name, in lower case if that is
 * wanted. *header is what HEADER_ constants say of it, however it is written.
 */
PyObject *state_header_name(
    State *st, const char *at, size_t len, bool lower, unsigned *header);

#endif
