#include "timers.h"

/* Compact once this many timers, and more than half of all, are cancelled:
 * asyncio's thresholds. */
#define TIMERS_MIN_CANCELLED 100

/* To track more than these at once costs less than to walk them all. */
#define TIMERS_MAX_UNSETTLED 20000

/* Children of a node: four lie in one or two cache lines, and the heap is half
 * as deep as with two. */
#define TIMERS_ARITY 4

/* Hardly ever due at once: to say so keeps it free of branches. */
static inline bool
is_before(const TimerEntry *a, const TimerEntry *b)
{
    bool before = a->when < b->when;

    if (__builtin_expect(a->when == b->when, 0)) {
        before = a->callback->sequence < b->callback->sequence;
    }
    return before;
}

static void
sift_up(TimerEntry *heap, size_t i)
{
    TimerEntry entry = heap[i];

    while (i > 0) {
        size_t parent = (i - 1) / TIMERS_ARITY;

        if (!is_before(&entry, &heap[parent])) {
            break;
        }
        heap[i] = heap[parent];
        i = parent;
    }
    heap[i] = entry;
}

/* Which of two is due first, without a branch: it cannot be foretold. */
static inline size_t
earlier(const TimerEntry *heap, size_t a, size_t b)
{
    return a + (b - a) * is_before(&heap[b], &heap[a]);
}

/* The least of the children of a node, the first of which is there. */
static inline size_t
least_child(const TimerEntry *heap, size_t count, size_t first)
{
    size_t least = first;

    if (first + TIMERS_ARITY <= count) {
        return earlier(heap,
                       earlier(heap, first, first + 1),
                       earlier(heap, first + 2, first + 3));
    }
    while (++first < count) {
        least = earlier(heap, least, first);
    }
    return least;
}

static void
sift_down(TimerEntry *heap, size_t count, size_t i)
{
    TimerEntry entry = heap[i];

    for (;;) {
        size_t first = TIMERS_ARITY * i + 1;
        size_t least = 0;

        if (first >= count) {
            break;
        }
        least = least_child(heap, count, first);
        if (!is_before(&heap[least], &entry)) {
            break;
        }
        heap[i] = heap[least];
        i = least;
    }
    heap[i] = entry;
}

/* Its heap entry is gone: the callback, whose reference the caller now has.
 */
static TimerCallback *
unheap(Timers *timers, TimerCallback *callback)
{
    if (callback->base.flags & CALLBACK_COUNTED) {
        timers->cancelled--;
    }
    callback->base.flags &= (uint8_t)~(CALLBACK_HEAPED | CALLBACK_COUNTED);
    return callback;
}

static TimerCallback *
pop(Timers *timers)
{
    TimerCallback *callback = timers->heap[0].callback;

    timers->count--;
    if (timers->count > 0) {
        timers->heap[0] = timers->heap[timers->count];
        sift_down(timers->heap, timers->count, 0);
    }
    return unheap(timers, callback);
}

/* Drop every cancelled timer and make the rest a heap again. Releasing may
 * run Python code, which may use the heap: so first it is whole again. */
static void
compact(Timers *timers, CallbackHost *host)
{
    TimerCallback **dropped = PyMem_New(TimerCallback *, timers->count);
    size_t drop_count = 0;
    size_t kept = 0;

    if (dropped == NULL) {
        return; /* they go when they are due */
    }
    for (size_t i = 0; i < timers->count; i++) {
        TimerEntry entry = timers->heap[i];

        if (callback_is_cancelled(&entry.callback->base)) {
            dropped[drop_count++] = unheap(timers, entry.callback);
        }
        else {
            timers->heap[kept++] = entry;
        }
    }
    timers->count = kept;
    for (size_t i = kept / TIMERS_ARITY + 1; i-- > 0;) {
        sift_down(timers->heap, kept, i);
    }
    for (size_t i = 0; i < drop_count; i++) {
        callback_release(host, &dropped[i]->base);
    }
    PyMem_Free(dropped);
}

/* The heap is full: those that another thread has cancelled are not counted,
 * and would have it grow for ever. */
static void
drop_unheard(Timers *timers, CallbackHost *host)
{
    size_t cancelled = 0;

    for (size_t i = 0; i < timers->count; i++) {
        cancelled += callback_is_cancelled(&timers->heap[i].callback->base);
    }
    if (cancelled * 2 > timers->count) {
        compact(timers, host);
    }
}

/* Cancelled ones at the end of the heap, which are leaves. By now who
 * cancelled them has mostly let go, so that they serve again. */
static void
drop_last(Timers *timers, CallbackHost *host)
{
    while (timers->cancelled > 0 && timers->count > 0 &&
           callback_is_cancelled(
               &timers->heap[timers->count - 1].callback->base)) {
        TimerCallback *callback = timers->heap[--timers->count].callback;

        callback_release(host, &unheap(timers, callback)->base);
    }
}

int
timers_push(Timers *timers, TimerCallback *callback)
{
    drop_last(timers, callback->base.host);
    if (timers->count == timers->allocated) {
        drop_unheard(timers, callback->base.host);
    }
    if (timers->count == timers->allocated) {
        size_t size = timers->allocated == 0 ? 64 : timers->allocated * 2;
        TimerEntry *heap = timers->heap;

        if (PyMem_Resize(heap, TimerEntry, size) == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        timers->heap = heap;
        timers->allocated = size;
    }
    callback->base.flags |= CALLBACK_HEAPED;
    callback->sequence = timers->sequence++;
    timers->heap[timers->count] = (TimerEntry){
        .when = callback->when,
        .callback = callback,
    };
    sift_up(timers->heap, timers->count++);
    return 0;
}

void
timers_settle_pushed(Timers *timers, TimerCallback *callback, bool now)
{
    if (now || timers->count > TIMERS_MAX_UNSETTLED) {
        callback_settle(&callback->base);
    }
    else {
        timers->unsettled = true;
    }
}

void
timers_cancelled(Timers *timers, CallbackHost *host, TimerCallback *callback)
{
    callback->base.flags |= CALLBACK_COUNTED;
    timers->cancelled++;
    if (timers->cancelled >= TIMERS_MIN_CANCELLED &&
        timers->cancelled * 2 > timers->count) {
        compact(timers, host);
    }
}

int64_t
timers_next(Timers *timers, CallbackHost *host)
{
    while (timers->count > 0) {
        TimerCallback *callback = timers->heap[0].callback;

        if (!callback_is_cancelled(&callback->base)) {
            return timers->heap[0].when;
        }
        callback_release(host, &pop(timers)->base);
    }
    return INT64_MAX;
}

int
timers_collect(Timers *timers, CallbackHost *host, Ready *ready, int64_t now)
{
    while (timers->count > 0 && timers->heap[0].when <= now) {
        TimerCallback *callback = pop(timers);

        if (callback_is_cancelled(&callback->base)) {
            callback_release(host, &callback->base);
        }
        else if (ready_push(ready, &callback->base) < 0) {
            callback_release(host, &callback->base);
            return -1;
        }
    }
    return 0;
}

int
timers_traverse(Timers *timers, visitproc visit, void *arg)
{
    for (size_t i = 0; i < timers->count; i++) {
        int err = callback_visit(&timers->heap[i].callback->base, visit, arg);

        if (err != 0) {
            return err;
        }
    }
    return 0;
}

void
timers_settle(Timers *timers)
{
    if (!timers->unsettled) {
        return;
    }
    timers->unsettled = false;
    for (size_t i = 0; i < timers->count; i++) {
        callback_settle(&timers->heap[i].callback->base);
    }
}

void
timers_clear(Timers *timers, CallbackHost *host)
{
    while (timers->count > 0) {
        TimerCallback *callback =
            unheap(timers, timers->heap[--timers->count].callback);

        callback_cancel(&callback->base);
        callback_release(host, &callback->base);
    }
}

void
timers_free(Timers *timers)
{
    PyMem_Free(timers->heap);
    timers->heap = NULL;
    timers->allocated = 0;
}
