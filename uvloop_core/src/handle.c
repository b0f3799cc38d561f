#include "handle.h"

#include "enter.h"

static void
list_push(Registry *registry, Handle *handle)
{
    handle->prev = NULL;
    handle->next = registry->first;
    if (handle->next != NULL) {
        handle->next->prev = handle;
    }
    registry->first = handle;
}

static void
list_remove(Registry *registry, Handle *handle)
{
    if (handle->prev != NULL) {
        handle->prev->next = handle->next;
    }
    else {
        registry->first = handle->next;
    }
    if (handle->next != NULL) {
        handle->next->prev = handle->prev;
    }
    handle->prev = NULL;
    handle->next = NULL;
}

static void
on_closed(uv_handle_t *uv)
{
    Handle *handle = uv->data;
    Registry *registry = handle->registry;

    assert_attached();
    list_remove(registry, handle);
    handle->state = HANDLE_CLOSED;
    registry->closed++;
    registry->closing--;
    if (handle->ops->closed != NULL) {
        handle->ops->closed(handle);
    }
    Py_DECREF(handle); /* the list's reference */
}

static void
on_closed_plain(uv_handle_t *uv)
{
    Registry *registry = uv->data;

    assert_attached();
    registry->closing--;
}

void
handle_open(Handle *handle,
            const HandleOps *ops,
            Registry *registry,
            uv_handle_t *uv)
{
    assert(handle->state == HANDLE_NEW);
    handle->ops = ops;
    handle->registry = registry;
    handle->loop = Py_NewRef(registry->loop);
    handle->uv = uv;
    uv->data = handle;
    handle->state = HANDLE_OPEN;
    Py_INCREF(handle); /* the list's, until on_closed */
    list_push(registry, handle);
    registry->opened++;
}

void
handle_close(Handle *handle)
{
    if (handle->state != HANDLE_OPEN) {
        return;
    }
    handle->registry->touch(handle->registry->loop);
    handle->state = HANDLE_CLOSING;
    handle->registry->closing++;
    uv_close(handle->uv, on_closed);
}

void
handle_close_plain(Registry *registry, uv_handle_t *uv)
{
    registry->touch(registry->loop);
    registry->closing++;
    uv->data = registry;
    uv_close(uv, on_closed_plain);
}

int
handle_traverse(Handle *handle, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(handle));
    Py_VISIT(handle->extra);
    Py_VISIT(handle->loop);
    for (unsigned i = 0; i < handle->requests; i++) {
        Py_VISIT(handle); /* libuv's, which the loop's finalizer ends */
    }
    return 0;
}

void
handle_clear(Handle *handle)
{
    Py_CLEAR(handle->extra);
}

void
handle_shut_all(Registry *registry)
{
    Handle *handle = registry->first;

    while (handle != NULL) {
        if (handle->state == HANDLE_OPEN) {
            /* shut() may warn, and a warning may run code that changes the
             * list: hold this one, and start over after it. */
            Py_INCREF(handle);
            handle->ops->shut(handle);
            handle_close(handle);
            Py_DECREF(handle);
            handle = registry->first;
        }
        else {
            handle = handle->next;
        }
    }
}
