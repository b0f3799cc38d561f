/* inbox.h - call_soon_threadsafe: callbacks from other threads.
 *
 * One mutex; where there is a GIL, that is it. No Python call, no decref and
 * no attach while it is held: the callback is made before, memory grows by
 * malloc.
 */
#ifndef UVLOOP_CORE_INBOX_H
#define UVLOOP_CORE_INBOX_H

#include <stdatomic.h>
#include <uv.h>

#include "ready.h"

typedef struct {
    uv_mutex_t mutex;
    uv_async_t *wakeup; /* borrowed: the loop's */
    Callback **items;   /* owned references; raw memory */
    size_t count;
    size_t allocated;
    Callback **spare; /* owned: what inbox_collect swaps in */
    size_t spare_allocated;
    atomic_size_t waiting; /* == count, readable without the mutex */
    bool closed;
    bool blocked; /* the loop waits in the kernel, or is about to */
} Inbox;

typedef enum {
    INBOX_OK,
    INBOX_CLOSED,
    INBOX_NO_MEMORY
} InboxPut;

/* 0, or -1 with an exception. */
int inbox_init(Inbox *inbox, uv_async_t *wakeup);

/* Any thread; wakes the loop if it waits. Takes the reference over on
 * INBOX_OK. */
InboxPut inbox_put(Inbox *inbox, Callback *callback);

/* Just before the loop detaches to wait: true if there is something to run
 * after all, else `blocked` is set. */
bool inbox_block(Inbox *inbox);
void inbox_unblock(Inbox *inbox);

/* The part of inbox_collect that is needed if anything waits. */
int inbox_move(Inbox *inbox, Ready *ready);

/* Move everything into the ring; 0, or -1 with MemoryError and nothing lost.
 * Owner thread. Done before anything else is pushed, so that all calls run
 * in the order in which they were made, as in asyncio. */
static inline int
inbox_collect(Inbox *inbox, Ready *ready)
{
    return atomic_load(&inbox->waiting) == 0 ? 0 : inbox_move(inbox, ready);
}

/* From now on inbox_put answers INBOX_CLOSED. */
void inbox_close(Inbox *inbox);

/* In a forked child: nobody else can hold the mutex any more. */
void inbox_forked(Inbox *inbox);

int inbox_traverse(Inbox *inbox, visitproc visit, void *arg);
void inbox_clear(Inbox *inbox, CallbackHost *host);
void inbox_free(Inbox *inbox);

#endif
