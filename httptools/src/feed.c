#include "feed.h"

#include "calls.h"
#include "guard.h"
#include "hooks.h"
#include "scan.h"

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
        llhttp->error = calls_fail(llhttp, "Out of memory");
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
        hooks_check_before_error(events, (const Byte *)llhttp->error_pos);
    }
    /* No hook is called any more (after an upgrade: nothing is pending), and
     * the pieces point into the data. */
    events_drop_pieces(events);
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
 * what follows the last message. The limits of one behind a message that ends
 * the connection begin in llhttp's first hook. */
enum {
    SCAN_LENIENCIES = LENIENT_DATA_AFTER_CLOSE
};

static bool
may_scan(const Events *events)
{
    const llhttp_t *llhttp = &events->llhttp;

    return llhttp->_current == events->st->at_start &&
           events->phase == PHASE_HEAD && llhttp->type == HTTP_REQUEST &&
           !(llhttp->lenient_flags & ~SCAN_LENIENCIES);
}

static bool
has_short_headers(const size_t *limits, const ScanHead *head)
{
    for (size_t i = 0; i < head->count; i++) {
        if (head->headers[i].text.name_len > limits[LIMIT_HEADER_NAME] ||
            head->headers[i].text.value_len > limits[LIMIT_HEADER_VALUE]) {
            return false;
        }
    }
    return head->count <= limits[LIMIT_HEADERS];
}

/* Whether no limit is met in this head. One that is is for llhttp: its hooks
 * tell where. */
static bool
is_within_limits(const Events *events, const ScanHead *head, const char *data)
{
    const size_t *limits = events->policy.limits;

    if (events_position(events, data) > events->quiet_end) {
        return false; /* behind so many empty lines */
    }
    return !events->policy.has_limits ||
           (events_position(events, head->end) <= events->phase_end &&
            head->target_len <= limits[LIMIT_URL] &&
            has_short_headers(limits, head));
}

/* The hooks that llhttp would call for a head that llhttp is to be run over
 * up to one of them, counted from 1: those before the headers, three for each
 * header, and two. */
enum {
    HOOK_MESSAGE_BEGIN = 1,
    HOOK_URL,
    HOOK_URL_COMPLETE,
    HOOKS_BEFORE_HEADERS = HOOK_URL_COMPLETE,
    HOOKS_OF_HEADER = 3
};

/* Whether what stands for a hook has answered that it is to stop there. */
static inline bool
stops(Events *events, size_t hook, int answer)
{
    if (answer == 0) {
        return false;
    }
    events->replay = (unsigned)hook;
    events->replay_answer = answer;
    return true;
}

/* What headers mean to llhttp. */
static inline void
understand(llhttp_t *llhttp, const ScanHead *head, unsigned flags)
{
    llhttp->flags |= (uint16_t)flags;
    if (flags & F_CONTENT_LENGTH) {
        llhttp->content_length = head->content_length;
    }
}

/* A header's three hooks, of which the last one is `last`. */
static bool
take_header(Events *events,
            const ScanHead *head,
            const ScanHeader *header,
            size_t last)
{
    const HeaderText *text = &header->text;

    if (stops(events,
              last - 2,
              calls_take_name(events, text->name, text->name_len))) {
        return false;
    }
    understand(&events->llhttp, head, header->flags);
    return !stops(events,
                  last - 1,
                  calls_take_value(events, text->value, text->value_len)) &&
           !stops(events, last, calls_finish_header(events));
}

/* The headers if they are looked at one by one. */
static bool
finish_headers(Events *events, const ScanHead *head)
{
    size_t hook = HOOKS_BEFORE_HEADERS;

    for (size_t i = 0; i < head->count; i++) {
        hook += HOOKS_OF_HEADER;
        if (!take_header(events, head, &head->headers[i], hook)) {
            return false;
        }
    }
    return true;
}

/* The same for on_request: nobody hears of them yet. */
static bool
gather_headers(Events *events, const ScanHead *head)
{
    size_t hook = HOOKS_BEFORE_HEADERS;

    understand(&events->llhttp, head, head->flags);
    for (size_t i = 0; i < head->count; i++) {
        hook += HOOKS_OF_HEADER;
        if (stops(events,
                  hook,
                  calls_gather_header(events, head->headers[i].text))) {
            return false;
        }
    }
    return true;
}

/* The same for on_header alone: it hears of a header where the next one's
 * name ends, see calls_take_name(), and of the last one at the end. */
static bool
emit_headers(Events *events, const ScanHead *head, const HeaderText **last)
{
    size_t hook = HOOKS_BEFORE_HEADERS + 1;

    for (size_t i = 0; i < head->count; i++) {
        const HeaderText *text = &head->headers[i].text;

        if (i > 0 && stops(events, hook, calls_emit_header(events, *last))) {
            /* The first piece: not copied. */
            (void)spans_add_name(&events->header, text->name, text->name_len);
            return false;
        }
        understand(&events->llhttp, head, head->headers[i].flags);
        hook += HOOKS_OF_HEADER;
        *last = text;
    }
    return true;
}

/* *last is the header that on_header has not heard of yet, or NULL. */
static bool
take_headers(Events *events, const ScanHead *head, const HeaderText **last)
{
    *last = NULL;
    if (events->is_batch) {
        return gather_headers(events, head);
    }
    if (events->finishes_headers) {
        return finish_headers(events, head);
    }
    if (events->wants_headers) {
        return emit_headers(events, head, last);
    }
    understand(&events->llhttp, head, head->flags);
    return true;
}

/* Do what the hooks would do for this head, and bring llhttp to the state
 * that it would be in behind it. False: stopped by the last answer. */
static bool
take_head(Events *events, const ScanHead *head)
{
    llhttp_t *llhttp = &events->llhttp;
    size_t hook = HOOKS_BEFORE_HEADERS + HOOKS_OF_HEADER * head->count;
    const HeaderText *last;

    llhttp->finish = HTTP_FINISH_UNSAFE;
    llhttp->content_length = 0;
    if (stops(events, HOOK_MESSAGE_BEGIN, calls_begin_message(events))) {
        return false;
    }
    llhttp->method = head->method;
    if (stops(events,
              HOOK_URL,
              calls_take_url(events, head->target, head->target_len)) ||
        stops(events,
              HOOK_URL_COMPLETE,
              calls_finish_start(events, CALLBACK_URL))) {
        return false;
    }
    llhttp->http_major = 1;
    llhttp->http_minor = head->minor;
    if (!take_headers(events, head, &last)) {
        return false;
    }
    llhttp->upgrade = 0;
    if (stops(events, hook + 1, calls_complete_ordinary_head(events, last))) {
        return false;
    }
    if (events->kind == BODY_LENGTH) {
        events_enter_phase(events, PHASE_BODY, head->end);
        llhttp->_current = events->st->at_body;
        return true;
    }
    if (stops(events, hook + 2, calls_complete_ordinary_message(events))) {
        return false;
    }
    /* Another message may follow: scan_request() said so. */
    llhttp->finish = HTTP_FINISH_SAFE;
    llhttp->flags = 0;
    llhttp->initial_message_completed = 1;
    events_enter_phase(events, PHASE_HEAD, head->end);
    return true;
}

/* A callback wrote over the head that it is called for. */
static int
fail_changed(Events *events, const char *data)
{
    llhttp_t *llhttp = &events->llhttp;

    events->replay = 0;
    events->pausing = false;
    if (events->refusal == REFUSED_NOTHING && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the data was changed while it was fed");
    }
    llhttp->error = calls_fail(llhttp, "Data changed while it was fed");
    llhttp->error_pos = data;
    return llhttp->error;
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
    err = events->st->execute(llhttp, data, end);
    assert(events->replay == 0 && err != HPE_OK);
    guard_hear(events, llhttp->error_pos); /* if it is to go on from there */
    return err;
}

/* Take as many ordinary heads as data begins with, and let llhttp do the
 * rest. Its error, or 0. A head that was stopped in is scanned again: it must
 * still have as many hooks. (One call of scan_request() only: then it is
 * inlined, which saves 30 instructions of 900.) */
static int
parse(Events *events, const char *data, const char *end)
{
    size_t count = 0;
    ScanHead head;

    while ((events->replay > 0 || may_scan(events)) &&
           scan_request(&head, data, end)) {
        if (events->replay > 0) {
            return head.count == count ? catch_up(events, data, end)
                                       : fail_changed(events, data);
        }
        if (!is_within_limits(events, &head, data)) {
            break;
        }
        count = head.count;
        if (take_head(events, &head)) {
            data = head.end;
            if (data == end) {
                return HPE_OK;
            }
        }
    }
    return events->replay > 0
               ? fail_changed(events, data)
               : events->st->execute(&events->llhttp, data, end);
}

int
feed_learn(State *st)
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
    if (feed_bytes(&events, NULL, text, (size_t)(end - text) - 1) == 0) {
        st->at_body = events.llhttp._current;
        if (feed_bytes(&events, NULL, end - 1, 1) == 0 &&
            events.llhttp._current == at_start) {
            st->at_start = at_start;
        }
    }
    events_clear(&events);
    events_free(&events);
    return 0;
}

int
feed_bytes(Events *events, PyObject *whole, const char *data, size_t len)
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
    if (err == HPE_OK && guard_check(events, end)) {
        llhttp->error = err = HPE_USER;
        llhttp->error_pos = end;
    }
    if (err == HPE_OK) {
        events->consumed += len;
        err = keep_pieces(events, end);
    }
    else {
        events->consumed = events_position(events, llhttp->error_pos);
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
feed_resume(Events *events)
{
    events->pausing = false;
    if (events->llhttp.error == HPE_PAUSED) {
        events->llhttp.error = HPE_OK;
    }
}

int
feed_eof(Events *events)
{
    llhttp_t *llhttp = &events->llhttp;
    int err = 0;

    if (llhttp->error != HPE_OK) {
        return llhttp->error;
    }
    llhttp->error_pos = NULL;
    if (llhttp->finish == HTTP_FINISH_UNSAFE) {
        events_drop_pieces(events);
        llhttp->error = HPE_INVALID_EOF_STATE;
        llhttp->reason = "Invalid EOF state";
        return llhttp->error;
    }
    if (llhttp->finish == HTTP_FINISH_SAFE_WITH_CB) {
        err = calls_complete_message(events);
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
