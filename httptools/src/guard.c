#include "guard.h"

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

static const Refusal PHASE_REFUSALS[] = {
    [PHASE_HEAD] = REFUSED_HEAD,
    [PHASE_BODY] = REFUSED_BODY,
    [PHASE_CHUNK_LINE] = REFUSED_CHUNK_EXTENSIONS,
    [PHASE_TRAILERS] = REFUSED_TRAILERS,
    [PHASE_CLOSED] = REFUSED_BODY, /* these two have no limit */
};

int
guard_refuse(Events *events, Refusal refusal)
{
    events->refusal = refusal;
    return HPE_USER;
}

int
guard_refuse_phase(Events *events)
{
    return guard_refuse(events,
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
    size_t at = events_position(events, endp);
    size_t most = events->policy.limits[limit];

    if (guard_check(events, p)) {
        return HPE_USER;
    }
    if (len > most && at - len + most <= events->phase_end) {
        return guard_refuse(events, refusal);
    }
    return at <= events->phase_end
               ? 0
               : guard_refuse(events, PHASE_REFUSALS[events->phase]);
}

int
guard_check_url(Events *events, const Byte *p, const Byte *endp)
{
    if (guard_check(events, p)) {
        return HPE_USER;
    }
    if (events->url_len == 0 && (events->policy.switches & REJECT_SPACES) &&
        events_position(events, p) != events->token_end + 1) {
        return guard_refuse(events, REFUSED_SPACES);
    }
    return check_token(events,
                       p,
                       endp,
                       events->url_len + (size_t)(endp - p),
                       LIMIT_URL,
                       REFUSED_URL);
}

/* A name's first piece is one that finds no name, or a whole header. */
int
guard_check_name(Events *events, const Byte *p, const Byte *endp)
{
    const Spans *header = &events->header;
    bool is_new = !header->has_name || header->has_value;
    size_t len = is_new ? 0 : header->name_len;

    if (guard_check(events, p)) {
        return HPE_USER;
    }
    if (is_new && events->headers >= events->policy.limits[LIMIT_HEADERS]) {
        return guard_refuse(events, REFUSED_HEADERS);
    }
    return check_token(events,
                       p,
                       endp,
                       len + (size_t)(endp - p),
                       LIMIT_HEADER_NAME,
                       REFUSED_HEADER_NAME);
}

int
guard_check_value(Events *events, const Byte *p, const Byte *endp)
{
    return check_token(events,
                       p,
                       endp,
                       events->header.value_len + (size_t)(endp - p),
                       LIMIT_HEADER_VALUE,
                       REFUSED_HEADER_VALUE);
}

/* A token without a limit of its own. */
int
guard_check_piece(Events *events, const Byte *p, const Byte *endp)
{
    if (guard_check(events, p)) {
        return HPE_USER;
    }
    return events_position(events, endp) <= events->phase_end
               ? 0
               : guard_refuse(events, PHASE_REFUSALS[events->phase]);
}

/* "HTTP", which is to be one space behind the URL. */
int
guard_check_protocol(Events *events, const Byte *p, const Byte *endp)
{
    if (guard_check(events, p)) {
        return HPE_USER;
    }
    if (events->llhttp.type == HTTP_REQUEST &&
        (events->policy.switches & REJECT_SPACES) &&
        events_position(events, p) > events->token_end + 1) {
        return guard_refuse(events, REFUSED_SPACES);
    }
    return guard_check_piece(events, p, endp);
}
