#include "hooks.h"

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

/* llhttp found an error at p: was there anything to refuse before it? A span
 * that it was in has not been seen by its hook. */
void
hooks_check_before_error(Events *events, const Byte *p)
{
    const llhttp_t *llhttp = &events->llhttp;
    const Byte *start = llhttp->_span_pos0;
    void *hook = llhttp->_span_cb0;

    if (start == NULL || start > p) {
        (void)guard_check(events, p); /* it is noted in events */
    }
    else if (hook == (void *)llhttp__on_url) {
        (void)guard_check_url(events, start, p); /* as above */
    }
    else if (hook == (void *)llhttp__on_protocol) {
        (void)guard_check_protocol(events, start, p); /* as above */
    }
    else if (hook == (void *)llhttp__on_header_field) {
        (void)guard_check_name(events, start, p); /* as above */
    }
    else if (hook == (void *)llhttp__on_header_value) {
        (void)guard_check_value(events, start, p); /* as above */
    }
    else {
        (void)guard_check_piece(events, start, p); /* as above */
    }
}

/* llhttp is run over what has been taken already, see feed.c: the hooks
 * do nothing, until the one that it is to stop in. */
static int
replay(Events *events)
{
    events->replay--;
    return events->replay > 0 ? 0 : events->replay_answer;
}

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
        events_enter_phase(events, PHASE_HEAD, p);
    }
    if (guard_check(events, p)) {
        return HPE_USER;
    }
    guard_hear(events, p);
    return calls_begin_message(events);
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
        events->token_end = events_position(events, p);
        guard_hear(events, p);
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
    if (guard_refuses(events, p, endp, guard_check_url)) {
        return HPE_USER;
    }
    events->url_len += (size_t)(endp - p);
    return calls_take_url(events, (const char *)p, (size_t)(endp - p));
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
    if (events->policy.has_limits && guard_check(events, p)) {
        return HPE_USER;
    }
    if ((events->policy.switches & REJECT_HTTP09) && llhttp->http_major == 0 &&
        llhttp->http_minor == 9) {
        return guard_refuse(events, REFUSED_HTTP09);
    }
    return calls_finish_start(events, CALLBACK_URL);
}

int
llhttp__on_protocol(llhttp_t *llhttp, const Byte *p, const Byte *endp)
{
    Events *events = events_of(llhttp);

    if (events->replay > 0) {
        return 0; /* scan.c has seen to it */
    }
    if (events->policy.has_limits && guard_check_protocol(events, p, endp)) {
        return HPE_USER;
    }
    events->token_end = events_position(events, endp); /* it may go on */
    guard_hear(events, endp);
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
    if (events->policy.has_limits && guard_check(events, p)) {
        return HPE_USER;
    }
    guard_hear(events, p);
    if ((events->policy.switches & REJECT_VERSIONS) && version != 10 &&
        version != 11) {
        return guard_refuse(events, REFUSED_VERSION);
    }
    return 0;
}

int
llhttp__on_status(llhttp_t *llhttp, const Byte *p, const Byte *endp)
{
    Events *events = events_of(llhttp);
    size_t len = (size_t)(endp - p);

    if (guard_refuses(events, p, endp, guard_check_piece)) {
        return HPE_USER;
    }
    if (calls_gathers_start(events)) {
        return spans_add_name(&events->start, (const char *)p, len) < 0
                   ? calls_fail(llhttp, "`on_status` callback error")
                   : 0;
    }
    if (events->callbacks[CALLBACK_STATUS].function == NULL) {
        return 0;
    }
    if (calls_emit_span(events, CALLBACK_STATUS, (const char *)p, len) < 0) {
        return calls_fail(llhttp, "`on_status` callback error");
    }
    return calls_answer(events);
}

int
llhttp__on_status_complete(llhttp_t *llhttp,
                           const Byte *p,
                           const Byte *Py_UNUSED(endp))
{
    Events *events = events_of(llhttp);

    if (events->policy.has_limits && guard_check(events, p)) {
        return HPE_USER;
    }
    return calls_finish_start(events, CALLBACK_STATUS);
}

int
llhttp__on_header_field(llhttp_t *llhttp, const Byte *p, const Byte *endp)
{
    Events *events = events_of(llhttp);

    if (events->replay > 0) {
        return replay(events);
    }
    if (guard_refuses(events, p, endp, guard_check_name)) {
        return HPE_USER;
    }
    return calls_take_name(events, (const char *)p, (size_t)(endp - p));
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
    if (guard_refuses(events, p, endp, guard_check_value)) {
        return HPE_USER;
    }
    return calls_take_value(events, (const char *)p, (size_t)(endp - p));
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
        return calls_answer(events);
    }
    if (events->policy.has_limits && guard_check(events, p)) {
        return HPE_USER;
    }
    return calls_finish_header(events);
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
    return guard_check(events, p) ? HPE_USER : calls_complete_head(events);
}

int
llhttp__after_headers_complete(llhttp_t *llhttp,
                               const Byte *p,
                               const Byte *Py_UNUSED(endp))
{
    Events *events = events_of(llhttp);
    int kind = events_body_kind(events);

    events_enter_phase(
        events, kind == BODY_CHUNKED ? PHASE_CHUNK_LINE : PHASE_BODY, p);
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
        calls_emit_span(events, CALLBACK_BODY, (const char *)p, len) < 0) {
        return calls_fail(llhttp, "`on_body` callback error");
    }
    return is_over ? guard_refuse(events, REFUSED_BODY) : calls_answer(events);
}

int
llhttp__on_chunk_header(llhttp_t *llhttp,
                        const Byte *p,
                        const Byte *Py_UNUSED(endp))
{
    Events *events = events_of(llhttp);

    if (guard_check(events, p)) {
        return HPE_USER;
    }
    if (llhttp->content_length >
        events->policy.limits[LIMIT_BODY] - events->body) {
        return guard_refuse(events, REFUSED_BODY);
    }
    events->chunk = llhttp->content_length;
    events_enter_phase(
        events, events->chunk == 0 ? PHASE_TRAILERS : PHASE_BODY, p);
    if (calls_notify(events, CALLBACK_CHUNK_HEADER) < 0) {
        return -1;
    }
    return calls_answer(events);
}

int
llhttp__on_chunk_extension_name(llhttp_t *llhttp,
                                const Byte *p,
                                const Byte *endp)
{
    Events *events = events_of(llhttp);

    if (guard_check(events, endp)) {
        return HPE_USER;
    }
    if ((!events->in_name && events->extensions.has_name &&
         spans_add_name(&events->extensions, ";", 1) < 0) ||
        spans_add_name(
            &events->extensions, (const char *)p, (size_t)(endp - p)) < 0) {
        return calls_fail(llhttp, "`on_chunk_extension_name` callback error");
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

    if (guard_check(events, endp)) {
        return HPE_USER;
    }
    if ((!events->in_value &&
         spans_add_name(&events->extensions, "=", 1) < 0) ||
        spans_add_name(
            &events->extensions, (const char *)p, (size_t)(endp - p)) < 0) {
        return calls_fail(llhttp, "`on_chunk_extension_value` callback error");
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

    if (guard_check(events, p)) {
        return HPE_USER;
    }
    if (events->phase == PHASE_TRAILERS) {
        if (calls_flush_header(events) < 0 ||
            calls_emit_trailers(events) < 0) {
            return -1;
        }
    }
    else {
        events_enter_phase(events, PHASE_CHUNK_LINE, p);
    }
    spans_reset(&events->extensions);
    if (calls_notify(events, CALLBACK_CHUNK_COMPLETE) < 0) {
        return -1;
    }
    return calls_answer(events);
}

int
llhttp__on_message_complete(llhttp_t *llhttp,
                            const Byte *Py_UNUSED(p),
                            const Byte *Py_UNUSED(endp))
{
    Events *events = events_of(llhttp);

    return events->replay > 0 ? replay(events)
                              : calls_complete_message(events);
}

/* 1: another message may follow; 0: what follows is `Data after
 * "Connection: close"`. */
int
llhttp__after_message_complete(llhttp_t *llhttp,
                               const Byte *p,
                               const Byte *Py_UNUSED(endp))
{
    Events *events = events_of(llhttp);
    int more = events_should_keep_alive(events);

    llhttp->finish = HTTP_FINISH_SAFE;
    llhttp->flags = 0;
    events_enter_phase(events, more ? PHASE_HEAD : PHASE_CLOSED, p);
    return more;
}
