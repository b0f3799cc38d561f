/* events.h - what a parser knows: llhttp's state, its protocol's callbacks,
 * what it is asked to refuse, and where in the message it is.
 *
 * The way of a byte from here on: feed.c > llhttp or scan.c > hooks.c >
 * guard.c > calls.c > the protocol.
 */
#ifndef HTTPTOOLS_EVENTS_H
#define HTTPTOOLS_EVENTS_H

#include "head.h"
#include "policy.h"
#include "spans.h"
#include "state.h"

#include <stdint.h>
#include <llhttp.h>

/* In the order in which the protocol's attributes are looked up. */
enum {
    CALLBACK_HEADER,
    CALLBACK_HEADERS_COMPLETE,
    CALLBACK_BODY,
    CALLBACK_MESSAGE_BEGIN,
    CALLBACK_MESSAGE_COMPLETE,
    CALLBACK_CHUNK_HEADER,
    CALLBACK_CHUNK_COMPLETE,
    CALLBACK_URL,
    CALLBACK_STATUS,
    /* Those that httptools does not have. */
    CALLBACK_REQUEST, /* or on_response */
    CALLBACK_TRAILERS,
    CALLBACK_TRAILER,
    CALLBACK_ERROR,
    CALLBACK_COUNT
};

/* What on_request and on_response are told of a message. */
enum {
    FLAG_KEEP_ALIVE = 1 << 0,
    FLAG_UPGRADE = 1 << 1,
    FLAG_CHUNKED = 1 << 2,
    FLAG_HAS_BODY = 1 << 3,
    FLAG_EXPECT_100 = 1 << 4
};

/* Why we refuse what llhttp accepts. */
typedef enum {
    REFUSED_NOTHING,
    REFUSED_HEAD,
    REFUSED_URL,
    REFUSED_HEADERS,
    REFUSED_HEADER_NAME,
    REFUSED_HEADER_VALUE,
    REFUSED_TRAILERS,
    REFUSED_CHUNK_EXTENSIONS,
    REFUSED_BODY,
    REFUSED_QUIET,
    REFUSED_LAST_LIMIT = REFUSED_QUIET,
    REFUSED_HTTP09,
    REFUSED_VERSION,
    REFUSED_TE_IN_HTTP10,
    REFUSED_CODING,
    REFUSED_DUPLICATE,
    REFUSED_OBS_TEXT,
    REFUSED_SPACES,
    REFUSED_TRAILER_NAME,
    REFUSED_HOST,
    REFUSED_COUNT
} Refusal;

/* What stands in the place of a body: what llhttp__after_headers_complete
 * answers; llhttp.c only knows the numbers. */
enum {
    BODY_NONE = 0,
    BODY_OTHER_PROTOCOL = 1,
    BODY_CHUNKED = 2,
    BODY_LENGTH = 3,
    BODY_UNTIL_EOF = 4,
    BODY_UNKNOWABLE = 5
};

/* Where in a message the parser is; a phase has a limit of its own. */
typedef enum {
    PHASE_HEAD,       /* and what is before it */
    PHASE_BODY,       /* or a chunk's data */
    PHASE_CHUNK_LINE, /* size and extensions */
    PHASE_TRAILERS,
    PHASE_CLOSED /* after a message that ends the connection */
} Phase;

/* A method of the protocol is kept unbound: that saves unpacking it again on
 * every call. */
typedef struct {
    PyObject *function; /* owned; NULL: nobody listens */
    PyObject *receiver; /* borrowed: the protocol, or NULL if not needed */
} Callback;

/* A position is a count of bytes since the parser began, so that it means
 * the same however the bytes were cut into feeds. */
typedef struct {
    llhttp_t llhttp;  /* first: the hooks get a pointer to it */
    State *st;        /* borrowed: the object's type keeps the module */
    PyObject *whole;  /* borrowed: the exact bytes being fed, or NULL */
    const char *data; /* raw: the buffer being fed */
    size_t origin;    /* what to take from an address to get a position */
    size_t consumed;  /* the position up to which all is parsed */
    Spans header;
    Spans start;      /* target or reason, if it is reported whole */
    Spans extensions; /* of the current chunk: "name=value;name" */
    Head head;
    Spare target; /* of the last head that was reported whole */
    Policy policy;
    Phase phase;
    Refusal refusal;
    size_t phase_end;      /* the position that this phase may not go over */
    size_t quiet_end;      /* the same, for whitespace */
    size_t token_end;      /* position of the end of the method or the URL */
    size_t url_len;        /* so far */
    size_t headers;        /* how many so far, with trailers */
    uint64_t body;         /* bytes so far */
    uint64_t length;       /* Content-Length */
    uint64_t chunk;        /* size of the current chunk */
    unsigned seen;         /* bits of HEADER_ constants, of this message */
    int kind;              /* of the body, a BODY_ constant */
    bool wants_headers;    /* pieces of names and values are kept */
    bool finishes_headers; /* each is looked at when it is whole */
    bool ended;            /* feed_eof() was called */
    bool is_batch;         /* on_request or on_response is there */
    bool has_length;       /* `length` is valid */
    bool expects;          /* Expect: 100-continue */
    bool names_upgrade;    /* Upgrade names one that the policy knows */
    bool keep_alive;       /* of the last head, or the last message */
    bool complete;         /* nothing, or a whole message, was parsed last */
    bool skip_body;        /* of the next response that is final */
    bool in_name;          /* of a chunk extension; pieces follow */
    bool in_value;
    bool pausing;      /* a callback asked for it */
    unsigned replay;   /* hooks that are mute, see feed.c */
    int replay_answer; /* of the last of them */
    bool relaxed;      /* LENIENT_HEADER_VALUE_RELAXED, which is set from it */
    PyObject *host;    /* owned: bytes, what on_header got last, or NULL */
    PyObject *protocol; /* owned; NULL: not bound yet */
    Callback callbacks[CALLBACK_COUNT];
} Events;

/* Look up the callbacks of `protocol`, take the policy over and start afresh.
 * 0, or -1 with an exception and nothing changed. Runs Python code. */
int events_bind(Events *events,
                PyObject *protocol,
                llhttp_type_t type,
                Policy *policy /* steals its contents on success */);

/* Start afresh, with the same callbacks, policy and leniencies. */
void events_reset(Events *events);

/* The phase begins at p: so do its limits. */
void events_enter_phase(Events *events, Phase phase, const void *p);

/* Forget pieces of tokens: they point into data that goes away. */
void events_drop_pieces(Events *events);

/* What llhttp can say about the message now; its flags are gone once the
 * message is complete (llhttp#147), which users of httptools know. */
bool events_should_keep_alive(const Events *events);

/* What stands in the place of the body: a BODY_ constant. */
int events_body_kind(const Events *events);

/* '1.1'; a new reference. */
PyObject *events_version(const Events *events);

int events_traverse(Events *events, visitproc visit, void *arg);
void events_clear(Events *events);
void events_free(Events *events); /* what forms no cycle */

/* llhttp hands its hooks a pointer to the first field. */
static inline Events *
events_of(llhttp_t *llhttp)
{
    return (Events *)llhttp;
}

static inline size_t
events_position(const Events *events, const void *p)
{
    return (size_t)(uintptr_t)p - events->origin;
}

#endif
