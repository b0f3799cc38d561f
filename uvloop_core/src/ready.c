#include "ready.h"

#define READY_MIN 64

int
ready_init(Ready *ready)
{
    ready->slots = PyMem_New(Callback *, READY_MIN);
    if (ready->slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    ready->mask = READY_MIN - 1;
    return 0;
}

int
ready_reserve(Ready *ready, size_t more)
{
    size_t count = ready_count(ready);
    size_t size = ready->mask + 1;
    Callback **slots = NULL;

    while (size - count < more) {
        size *= 2;
    }
    if (size == ready->mask + 1) {
        return 0;
    }
    slots = PyMem_New(Callback *, size);
    if (slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        slots[i] = ready->slots[(ready->head + i) & ready->mask];
    }
    PyMem_Free(ready->slots);
    ready->slots = slots;
    ready->mask = size - 1;
    ready->head = 0;
    ready->tail = count;
    return 0;
}

int
ready_push(Ready *ready, Callback *callback)
{
    if (ready_count(ready) > ready->mask && ready_reserve(ready, 1) < 0) {
        return -1;
    }
    ready->slots[ready->tail++ & ready->mask] = callback;
    return 0;
}

int
ready_traverse(Ready *ready, visitproc visit, void *arg)
{
    for (size_t i = ready->head; i != ready->tail; i++) {
        int err = callback_visit(ready->slots[i & ready->mask], visit, arg);

        if (err != 0) {
            return err;
        }
    }
    return 0;
}

void
ready_settle(Ready *ready)
{
    for (size_t i = ready->head; i != ready->tail; i++) {
        callback_settle(ready->slots[i & ready->mask]);
    }
}

void
ready_clear(Ready *ready, CallbackHost *host)
{
    while (ready_count(ready) > 0) {
        Callback *callback = ready_pop(ready);

        if (callback->flags & CALLBACK_FD) {
            Py_DECREF(callback); /* poll's table still holds and cancels it */
        }
        else {
            callback_cancel(callback);
            callback_release(host, callback);
        }
    }
}

void
ready_free(Ready *ready)
{
    PyMem_Free(ready->slots);
    ready->slots = NULL;
}
