/* spare.h - a bytes object that is used again once nobody else has it.
 *
 * To make one and to free it takes longer than to write what is short.
 */
#ifndef HTTPTOOLS_SPARE_H
#define HTTPTOOLS_SPARE_H

#include "compat.h"

typedef struct {
    PyObject *bytes; /* owned, or NULL */
    size_t room;     /* bytes that it was made with */
} Spare;

/* Bytes to be filled in: the spare ones, or new ones that take their place.
 * New reference, or NULL with MemoryError. */
static inline PyObject *
spare_take(Spare *spare, size_t size)
{
    PyObject *bytes;

    if (size <= spare->room && size > spare->room / 2 &&
        bytes_is_ours(spare->bytes)) {
        bytes_recycle(spare->bytes, (Py_ssize_t)size);
        return Py_NewRef(spare->bytes);
    }
    bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (bytes != NULL) {
        Py_XSETREF(spare->bytes, Py_NewRef(bytes));
        spare->room = size;
    }
    return bytes;
}

static inline void
spare_clear(Spare *spare)
{
    Py_CLEAR(spare->bytes);
    spare->room = 0;
}

#endif
