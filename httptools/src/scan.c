#include "scan.h"

#include "chars.h"

#include <llhttp.h>

static inline bool
starts_with(const char *at, const char *end, const char *text, size_t len)
{
    return (size_t)(end - at) >= len && memcmp(at, text, len) == 0;
}

static inline bool
is_crlf(const char *at)
{
    return memcmp(at, "\r\n", 2) == 0;
}

static inline uint64_t
eight_lower(const char *at)
{
    uint64_t eight;

    memcpy(&eight, at, sizeof(eight));
    return eight | 0x2020202020202020u;
}

/* The same letters, whatever their case; `text` is in lower case and has
 * nothing but letters and '-', which | 0x20 leaves as it is. */
static bool
is_word(const char *at, size_t len, const char *text)
{
    if (strlen(text) != len) {
        return false;
    }
    for (; len >= 8; at += 8, text += 8, len -= 8) {
        if (eight_lower(at) != eight_lower(text)) {
            return false;
        }
    }
    for (size_t i = 0; i < len; i++) {
        if ((at[i] | 0x20) != text[i]) {
            return false;
        }
    }
    return true;
}

/* Behind the method and its space, or NULL. CONNECT is never ordinary. */
static inline const char *
scan_method(ScanHead *head, const char *at, const char *end)
{
    if (starts_with(at, end, "GET ", 4)) {
        head->method = HTTP_GET;
        return at + 4;
    }
    if (starts_with(at, end, "POST ", 5)) {
        head->method = HTTP_POST;
        return at + 5;
    }
    if (starts_with(at, end, "HEAD ", 5)) {
        head->method = HTTP_HEAD;
        return at + 5;
    }
    if (starts_with(at, end, "PUT ", 4)) {
        head->method = HTTP_PUT;
        return at + 4;
    }
    if (starts_with(at, end, "DELETE ", 7)) {
        head->method = HTTP_DELETE;
        return at + 7;
    }
    if (starts_with(at, end, "PATCH ", 6)) {
        head->method = HTTP_PATCH;
        return at + 6;
    }
    if (starts_with(at, end, "OPTIONS ", 8)) {
        head->method = HTTP_OPTIONS;
        return at + 8;
    }
    return NULL;
}

/* A length that cannot overflow: at most 18 digits, and nothing else. */
static bool
scan_length(ScanHead *head, const ScanHeader *header)
{
    uint64_t length = 0;

    if (header->text.value_len > 18) {
        return false;
    }
    for (size_t i = 0; i < header->text.value_len; i++) {
        unsigned digit = (unsigned)(unsigned char)header->text.value[i] - '0';

        if (digit > 9) {
            return false;
        }
        length = length * 10 + digit;
    }
    head->content_length = length;
    return true;
}

/* The headers that have a meaning for llhttp: their flags, or false if it has
 * to look at them itself. Told apart by their lengths first. */
static bool
scan_meaning(ScanHead *head, ScanHeader *header, unsigned seen)
{
    const char *name = header->text.name;
    size_t len = header->text.name_len;

    switch (len) {
    case sizeof("upgrade") - 1:
        return !is_word(name, len, "upgrade");
    case sizeof("connection") - 1:
        if (!is_word(name, len, "connection")) {
            return true;
        }
        header->flags = F_CONNECTION_KEEP_ALIVE;
        return is_word(
            header->text.value, header->text.value_len, "keep-alive");
    case sizeof("content-length") - 1:
        if (!is_word(name, len, "content-length")) {
            return true;
        }
        header->flags = F_CONTENT_LENGTH;
        return !(seen & F_CONTENT_LENGTH) && scan_length(head, header);
    case sizeof("proxy-connection") - 1:
        return !is_word(name, len, "proxy-connection");
    case sizeof("transfer-encoding") - 1:
        return !is_word(name, len, "transfer-encoding");
    default:
        return true;
    }
}

/* Behind a header's line, or NULL. */
static inline const char *
scan_header(ScanHead *head,
            ScanHeader *header,
            const char *at,
            const char *end,
            unsigned seen)
{
    const char *stop = chars_skip_name(at, end);

    if (stop == at || end - stop < 4 || *stop != ':') {
        return NULL;
    }
    header->text.name = at;
    header->text.name_len = (size_t)(stop - at);
    at = stop + 1;
    at += *at == ' ';
    stop = chars_skip_value(at, end);
    /* More whitespace, an empty value, or the end of the data in it: not
     * ordinary. Nor is a line that goes on in the next: that has no name. */
    if ((unsigned char)*at <= ' ' || end - stop < 3 || !is_crlf(stop)) {
        return NULL;
    }
    header->text.value = at;
    header->text.value_len = (size_t)(stop - at);
    header->flags = 0;
    return scan_meaning(head, header, seen) ? stop + 2 : NULL;
}

bool
scan_request(ScanHead *head, const char *data, const char *data_end)
{
    const char *at = scan_method(head, data, data_end);
    const char *stop;
    unsigned seen = 0;

    if (at == NULL || at == data_end || *at != '/') {
        return false;
    }
    stop = chars_skip_target(at, data_end);
    head->target = at;
    head->target_len = (size_t)(stop - at);
    if (!starts_with(stop, data_end, " HTTP/1.", 8) || data_end - stop < 13 ||
        (stop[8] != '0' && stop[8] != '1') || !is_crlf(stop + 9)) {
        return false;
    }
    head->minor = (uint8_t)(stop[8] - '0');
    head->count = 0;
    head->content_length = 0;
    at = stop + 11;
    while (*at != '\r') {
        ScanHeader *header = &head->headers[head->count];

        if (head->count == SCAN_MAX_HEADERS) {
            return false;
        }
        at = scan_header(head, header, at, data_end, seen);
        if (at == NULL) {
            return false;
        }
        seen |= header->flags;
        head->count++;
    }
    if (data_end - at < 2 || !is_crlf(at)) {
        return false;
    }
    head->end = at + 2;
    head->flags = seen;
    /* Without it, HTTP/1.0 ends the connection. */
    return head->minor == 1 || (seen & F_CONNECTION_KEEP_ALIVE);
}
