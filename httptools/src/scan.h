/* scan.h - an ordinary request head, found without the state machine.
 *
 * Nearly every head that a server gets is whole in its buffer and has nothing
 * about it that needs llhttp: a usual method, a plain path, HTTP/1.1 or 1.0,
 * headers of one line each, a connection that stays open. scan_request()
 * finds its parts with one look at each byte, or says that it is not such a
 * head: then llhttp has to look. Whatever it accepts, llhttp accepts without
 * any leniency, and cuts into the same parts; in doubt it declines. Nothing
 * here runs Python code or allocates.
 */
#ifndef HTTPTOOLS_SCAN_H
#define HTTPTOOLS_SCAN_H

#include "spans.h"

#include <stdint.h>

enum {
    SCAN_MAX_HEADERS = 64 /* a head with more is not ordinary */
};

/* All pointers are raw: into the data. No part but the value is empty, and
 * that is not either. */
typedef struct {
    HeaderText text; /* the value is behind the colon and at most one space */
    unsigned flags;  /* llhttp's F_ constants that this header sets */
} ScanHeader;

typedef struct {
    uint8_t method; /* llhttp's number */
    uint8_t minor;  /* of HTTP/1.x */
    unsigned flags; /* of all headers */
    size_t count;   /* of headers */
    uint64_t content_length;
    const char *target;
    size_t target_len;
    const char *end; /* the first byte behind the head */
    ScanHeader headers[SCAN_MAX_HEADERS];
} ScanHead;

/* Whether data begins with an ordinary head; its parts are in *head then. */
bool scan_request(ScanHead *head, const char *data, const char *data_end);

#endif
