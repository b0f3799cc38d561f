/* calls.h - the protocol is called: the parts of a message, whoever has found
 * them, llhttp (hooks.c) or scan.c (feed.c), become calls of its methods.
 *
 * Unless said otherwise a function answers as a hook of llhttp: 0 to go on,
 * HPE_PAUSED if a callback paused, HPE_USER for a refusal, else (-1, HPE_USER)
 * an exception is set. All of them run Python code.
 */
#ifndef HTTPTOOLS_CALLS_H
#define HTTPTOOLS_CALLS_H

#include "guard.h"

/* Call a callback without arguments, if it is there; 0/-1. */
int calls_notify(Events *events, int index);

/* A piece of URL, status or body for a callback that is there; 0/-1. */
int calls_emit_span(Events *events, int index, const char *at, size_t len);

/* The header that is whole, if there is one, and the trailers; 0/-1. */
int calls_flush_header(Events *events);
int calls_emit_trailers(Events *events);

/* The parts of a head, in their order. */
int calls_begin_message(Events *events);
int calls_take_url(Events *events, const char *at, size_t len);
int calls_finish_start(Events *events, int index);
int calls_take_name(Events *events, const char *at, size_t len);
int calls_take_value(Events *events, const char *at, size_t len);
int calls_finish_header(Events *events);
int calls_complete_head(Events *events);
int calls_complete_message(Events *events);

/* The same for a request as scan.c finds it: its connection goes on, and its
 * body has a length or is not there. `last` is the header that
 * calls_emit_header was not called for, or NULL. */
int calls_complete_ordinary_head(Events *events, const HeaderText *last);
int calls_complete_ordinary_message(Events *events);

/* The steps of a header in one: if the protocol wants its head in one call,
 * and if only on_header hears of it. */
int calls_gather_header(Events *events, HeaderText text);
int calls_emit_header(Events *events, const HeaderText *text);

void calls_set_on_error(Events *events, PyObject *on_error);

/* on_error with references of its own, or nobody, for calls_report(). */
Callback calls_hold_on_error(const Events *events);

/* Hand an exception to on_error. 0, or -1 with an exception: the callback may
 * do with the parser what it likes. */
int calls_report(Callback on_error /* steals its references */, PyObject *exc);

/* llhttp has texts for the notifying hooks, none for those with a span. */
static inline int
calls_fail(llhttp_t *llhttp, const char *reason)
{
    llhttp->reason = reason;
    return HPE_USER;
}

/* A hook that called Python answers this: go on, or pause. */
static inline int
calls_answer(const Events *events)
{
    return events->pausing ? HPE_PAUSED : 0;
}

static inline bool
calls_gathers_start(const Events *events)
{
    return events->is_batch || (events->policy.switches & WHOLE_TOKENS);
}

#endif
