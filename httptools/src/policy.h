/* policy.h - what a parser is asked to refuse, and in which form it reports:
 * the constructor's keywords, read once.
 */
#ifndef HTTPTOOLS_POLICY_H
#define HTTPTOOLS_POLICY_H

#include "state.h"

#include <stdbool.h>

/* The switches, bits of Policy.switches. */
enum {
    REJECT_HTTP09 = 1 << 0,
    REJECT_VERSIONS = 1 << 1,     /* other than 1.0 and 1.1 */
    REJECT_TE_IN_HTTP10 = 1 << 2, /* RFC 9112 6.1 */
    REJECT_CODINGS = 1 << 3,      /* Transfer-Encoding other than chunked */
    REJECT_DUPLICATES = 1 << 4,   /* of headers that may come once */
    REJECT_OBS_TEXT = 1 << 5,     /* bytes over 127 in values */
    REJECT_SPACES = 1 << 6,       /* more than one in the request line */
    REJECT_TRAILERS = 1 << 7,     /* those of HEADER_NO_TRAILER */
    REQUIRE_HOST = 1 << 8,        /* exactly one, in a 1.1 request */
    REJECT_ANY_HEADER = REJECT_CODINGS | REJECT_DUPLICATES | REJECT_OBS_TEXT |
                        REJECT_TRAILERS | REQUIRE_HOST,
    STRIP_OWS = 1 << 9,
    LOWER_NAMES = 1 << 10,
    WHOLE_TOKENS = 1 << 11 /* URL, status, header: once, when complete */
};

enum {
    LIMIT_HEAD,
    LIMIT_URL,
    LIMIT_HEADERS,
    LIMIT_HEADER_NAME,
    LIMIT_HEADER_VALUE,
    LIMIT_TRAILERS,
    LIMIT_CHUNK_EXTENSIONS,
    LIMIT_BODY,
    LIMIT_COUNT
};

enum {
    /* Bytes in a row between two things that are reported; nobody sends
     * more whitespace or empty lines than this for a good reason. */
    MAX_QUIET = 65536,
    MAX_CHUNK_LINE = 16384, /* unless max_chunk_extensions says otherwise */
    NO_LIMIT = -1
};

/* The arguments of the constructor behind `protocol`, in this order. */
enum {
    OPTION_ON_ERROR,
    OPTION_HEADER_NAMES,
    OPTION_STRIP_OWS,
    OPTION_UPGRADES,
    OPTION_STRICT,
    OPTION_FIRST_LIMIT,
    OPTION_FIRST_SWITCH = OPTION_FIRST_LIMIT + LIMIT_COUNT,
    OPTION_COUNT = OPTION_FIRST_SWITCH + 9
};
extern const short POLICY_NAMES[OPTION_COUNT]; /* indices of their names */

typedef struct {
    unsigned switches;
    bool has_limits; /* or spaces to refuse */
    /* Whether headers are looked at one by one: for a limit, a switch or the
     * upgrades. */
    bool looks_at_headers;
    size_t limits[LIMIT_COUNT]; /* the largest that is accepted */
    PyObject *upgrades; /* owned: tuple of bytes in lower case; NULL: all */
} Policy;

/* The policy of HttpRequestParser(protocol). */
void policy_init_plain(Policy *policy);

/* Read the options; those not given are NULL. 0, or -1 with an exception.
 * Runs Python code (`upgrades` may be any iterable). */
int policy_init(Policy *policy, State *st, PyObject *const *options);
void policy_clear(Policy *policy);

/* Whether the value of an Upgrade header names one of the protocols that
 * stop the parser. */
bool policy_is_upgrade(const Policy *policy, const char *at, size_t len);

#endif
