/* ready.h - the ready ring: callbacks to run, first in, first out. */
#ifndef UVLOOP_CORE_READY_H
#define UVLOOP_CORE_READY_H

#include "callback.h"

typedef struct {
    Callback **slots; /* owned references; a power of two of them */
    size_t mask;      /* slots - 1 */
    size_t head;      /* the next to run; both only ever grow */
    size_t tail;      /* the next free slot */
} Ready;

static inline size_t
ready_count(const Ready *ready)
{
    return ready->tail - ready->head;
}

int ready_init(Ready *ready);

/* Room for `more`, so that as many pushes cannot fail; 0, or -1 with
 * MemoryError. */
int ready_reserve(Ready *ready, size_t more);

/* Append; 0, or -1 with MemoryError and the reference still the caller's. */
int ready_push(Ready *ready, Callback *callback /* steals on success */);

/* The first of at least one. New reference, taken over from the ring. */
static inline Callback *
ready_pop(Ready *ready)
{
    return ready->slots[ready->head++ & ready->mask];
}

int ready_traverse(Ready *ready, visitproc visit, void *arg);
void ready_settle(Ready *ready);

/* Drop all. May run Python code. */
void ready_clear(Ready *ready, CallbackHost *host);
void ready_free(Ready *ready);

#endif
