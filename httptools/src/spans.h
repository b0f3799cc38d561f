/* spans.h - the header that is being parsed: a name and a value that arrive
 * in pieces.
 *
 * A piece points into the caller's buffer for as long as it can: only a
 * header that is split over two feeds (or folded over two lines) is copied,
 * into a scratch buffer that grows by doubling, so that a value fed one byte
 * at a time costs linear time. Nothing here runs Python code.
 */
#ifndef HTTPTOOLS_SPANS_H
#define HTTPTOOLS_SPANS_H

#include "compat.h"

#include <stdbool.h>

/* A header that is whole, as it was sent. */
typedef struct {
    const char *name;  /* raw */
    const char *value; /* raw */
    size_t name_len;
    size_t value_len;
} HeaderText;

typedef struct {
    const char *name;  /* raw: into the fed data, unless copied */
    const char *value; /* raw: into the fed data, unless copied */
    size_t name_len;
    size_t value_len;
    char *scratch; /* owned: the name, then the value, if copied */
    size_t capacity;
    bool has_name;
    bool has_value;
    bool copied;
} Spans;

/* Add a piece to the name or the value. 0, or -1 with MemoryError. A name
 * grows only while there is no value: after that the header is whole, and
 * the caller takes it first. */
int spans_add_name(Spans *spans, const char *at, size_t len);
int spans_add_value(Spans *spans, const char *at, size_t len);

/* Copy what is still in the caller's buffer, which is about to go away. */
int spans_keep(Spans *spans);

/* Forget the header, keep a small scratch buffer for the next. */
void spans_reset(Spans *spans);

/* Forget the header and free the scratch buffer. */
void spans_free(Spans *spans);

static inline const char *
spans_name(const Spans *spans)
{
    return spans->copied ? spans->scratch : spans->name;
}

static inline const char *
spans_value(const Spans *spans)
{
    return spans->copied ? spans->scratch + spans->name_len : spans->value;
}

static inline HeaderText
spans_text(const Spans *spans)
{
    return (HeaderText){spans_name(spans),
                        spans_value(spans),
                        spans->name_len,
                        spans->value_len};
}

#endif
