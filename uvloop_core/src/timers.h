/* timers.h - a heap of timer handles, keyed (nanoseconds, sequence).
 *
 * Deletion is lazy: a cancelled timer stays until it is due, or until more
 * than half of at least a hundred are cancelled; the last ones of the heap go
 * at the next push, which makes call_later + cancel O(1).
 */
#ifndef UVLOOP_CORE_TIMERS_H
#define UVLOOP_CORE_TIMERS_H

#include "ready.h"

typedef struct {
    int64_t when;            /* the callback's */
    TimerCallback *callback; /* owned */
} TimerEntry;

typedef struct {
    TimerEntry *heap; /* owned */
    size_t count;
    size_t allocated;
    size_t cancelled; /* of count */
    uint64_t sequence;
    bool unsettled; /* timers_settle has to walk the heap */
} Timers;

/* 0, or -1 with MemoryError and the reference still the caller's. May run
 * Python code, by dropping cancelled ones. */
int timers_push(Timers *timers, TimerCallback *callback /* steals */);

/* To settle a timer later, or at once if `now`: also where so many are in the
 * heap that they are not to be walked each time the loop stops. */
void timers_settle_pushed(Timers *timers, TimerCallback *callback, bool now);

/* A timer in the heap was cancelled. */
void
timers_cancelled(Timers *timers, CallbackHost *host, TimerCallback *callback);

/* When the next timer is due (cancelled ones are dropped from the top
 * first); INT64_MAX if there is none. */
int64_t timers_next(Timers *timers, CallbackHost *host);

/* Move what is due at `now` into the ring, in order; 0 or -1. */
int
timers_collect(Timers *timers, CallbackHost *host, Ready *ready, int64_t now);

int timers_traverse(Timers *timers, visitproc visit, void *arg);

/* The loop stops: callback_settle for those that were pushed meanwhile. */
void timers_settle(Timers *timers);

void timers_clear(Timers *timers, CallbackHost *host);
void timers_free(Timers *timers);

#endif
