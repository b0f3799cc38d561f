#include "errors.h"

#include <uv.h>

PyObject *
error_from_uv(State *st, int err)
{
    if (err == UV_ECANCELED) {
        return PyObject_CallNoArgs(st->objects[OBJECT_CANCELLED_ERROR]);
    }
    if (err <= UV_EAI_ADDRFAMILY) {
        /* libuv's own numbers (UV_EOF, UV_EAI_*): no errno stands for them */
        return PyObject_CallFunction(
            PyExc_OSError, "is", err, uv_strerror(err));
    }
    /* A system error is a negative errno, and OSError picks the subclass. */
    return PyObject_CallFunction(PyExc_OSError, "is", -err, strerror(-err));
}

int
raise_uv(State *st, int err)
{
    PyObject *exc = error_from_uv(st, err);

    if (exc != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
        Py_DECREF(exc);
    }
    return -1;
}
