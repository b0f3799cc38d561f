#include "inbox.h"

/* Whoever comes here holds the GIL, where there is one: that is a lock, too.
 */
static inline void
lock(Inbox *inbox)
{
    if (COMPAT_FREE_THREADED) {
        uv_mutex_lock(&inbox->mutex);
    }
}

static inline void
unlock(Inbox *inbox)
{
    if (COMPAT_FREE_THREADED) {
        uv_mutex_unlock(&inbox->mutex);
    }
}

/* Under the lock. Who looks without it need not see the newest one: before it
 * waits, the loop looks again with it. */
static inline void
set_waiting(Inbox *inbox, size_t count)
{
    atomic_store_explicit(&inbox->waiting, count, memory_order_release);
}

int
inbox_init(Inbox *inbox, uv_async_t *wakeup)
{
    if (uv_mutex_init(&inbox->mutex) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    inbox->wakeup = wakeup;
    return 0;
}

/* Room for one more, by malloc: no thread state is needed; 0 or -1. */
static int
grow_lock_held(Inbox *inbox)
{
    size_t size = inbox->allocated == 0 ? 64 : inbox->allocated * 2;
    Callback **items = NULL;

    if (inbox->count < inbox->allocated) {
        return 0;
    }
    items = PyMem_RawRealloc(inbox->items, size * sizeof(*items));
    if (items == NULL) {
        return -1;
    }
    inbox->items = items;
    inbox->allocated = size;
    return 0;
}

InboxPut
inbox_put(Inbox *inbox, Callback *callback)
{
    InboxPut outcome = INBOX_OK;

    lock(inbox);
    if (inbox->closed) {
        outcome = INBOX_CLOSED;
    }
    else if (grow_lock_held(inbox) < 0) {
        outcome = INBOX_NO_MEMORY;
    }
    else {
        inbox->items[inbox->count++] = callback;
        set_waiting(inbox, inbox->count);
        if (inbox->blocked) {
            /* Under the lock, so that close() cannot free it meanwhile. Once
             * a wait is enough. */
            inbox->blocked = false;
            (void)uv_async_send(inbox->wakeup); /* fails only when closed */
        }
    }
    unlock(inbox);
    return outcome;
}

bool
inbox_block(Inbox *inbox)
{
    bool busy = false;

    lock(inbox);
    busy = inbox->count > 0;
    inbox->blocked = !busy;
    unlock(inbox);
    return busy;
}

void
inbox_unblock(Inbox *inbox)
{
    lock(inbox);
    inbox->blocked = false;
    unlock(inbox);
}

typedef struct {
    Callback **items; /* until it is given back as the spare array */
    size_t count;
    size_t allocated;
} Batch;

/* Take all items out, unless there are more than `room`. */
static bool
take(Inbox *inbox, size_t room, Batch *batch)
{
    bool fits = false;

    lock(inbox);
    fits = inbox->count <= room;
    if (fits) {
        *batch = (Batch){inbox->items, inbox->count, inbox->allocated};
        inbox->items = inbox->spare;
        inbox->allocated = inbox->spare_allocated;
        inbox->count = 0;
        set_waiting(inbox, 0);
    }
    unlock(inbox);
    return fits;
}

int
inbox_move(Inbox *inbox, Ready *ready)
{
    Batch batch = {0};
    size_t room = 0;

    /* Room is made without the mutex; then there may be more of them. */
    do {
        room = atomic_load(&inbox->waiting);
        if (ready_reserve(ready, room) < 0) {
            return -1; /* all are still here */
        }
    } while (!take(inbox, room, &batch));
    for (size_t i = 0; i < batch.count; i++) {
        (void)ready_push(ready, batch.items[i]); /* there is room */
    }
    inbox->spare = batch.items;
    inbox->spare_allocated = batch.allocated;
    return 0;
}

void
inbox_close(Inbox *inbox)
{
    lock(inbox);
    inbox->closed = true;
    unlock(inbox);
}

void
inbox_forked(Inbox *inbox)
{
    (void)uv_mutex_init(&inbox->mutex); /* static memory: cannot fail here */
}

int
inbox_traverse(Inbox *inbox, visitproc visit, void *arg)
{
    /* No lock: the collector runs with every other thread stopped, or with
     * the GIL, and nobody holds the mutex without one. */
    for (size_t i = 0; i < inbox->count; i++) {
        int err = callback_visit(inbox->items[i], visit, arg);

        if (err != 0) {
            return err;
        }
    }
    return 0;
}

void
inbox_clear(Inbox *inbox, CallbackHost *host)
{
    while (inbox->count > 0) {
        Callback *callback = inbox->items[--inbox->count];

        callback_cancel(callback);
        callback_release(host, callback);
    }
    set_waiting(inbox, 0);
}

void
inbox_free(Inbox *inbox)
{
    PyMem_RawFree(inbox->items);
    PyMem_RawFree(inbox->spare);
    inbox->items = NULL;
    inbox->spare = NULL;
    uv_mutex_destroy(&inbox->mutex);
}
