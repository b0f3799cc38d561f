#include "spans.h"

enum {
    SCRATCH_MIN = 256,
    SCRATCH_KEPT = 4096 /* what an idle connection may hold on to */
};

static int
reserve(Spans *spans, size_t extra)
{
    size_t used = spans->name_len + spans->value_len;
    size_t needed;
    size_t capacity = Py_MAX(spans->capacity, (size_t)SCRATCH_MIN);
    char *scratch;

    if (extra > (size_t)PY_SSIZE_T_MAX - used) {
        PyErr_NoMemory();
        return -1;
    }
    needed = used + extra;
    if (needed <= spans->capacity) {
        return 0;
    }
    while (capacity < needed) {
        capacity *= 2; /* needed is at most half of SIZE_MAX */
    }
    scratch = PyMem_Realloc(spans->scratch, capacity);
    if (scratch == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    spans->scratch = scratch;
    spans->capacity = capacity;
    return 0;
}

/* Append to the scratch buffer; the caller adds len to one of the lengths. */
static int
append(Spans *spans, const char *at, size_t len)
{
    if (spans_keep(spans) < 0 || reserve(spans, len) < 0) {
        return -1;
    }
    if (len > 0) {
        memcpy(spans->scratch + spans->name_len + spans->value_len, at, len);
    }
    return 0;
}

int
spans_add_name(Spans *spans, const char *at, size_t len)
{
    if (!spans->has_name) {
        spans->name = at;
        spans->name_len = len;
        spans->has_name = true;
        return 0;
    }
    if (append(spans, at, len) < 0) {
        return -1;
    }
    spans->name_len += len;
    return 0;
}

int
spans_add_value(Spans *spans, const char *at, size_t len)
{
    if (!spans->has_value && !spans->copied) {
        spans->value = at;
        spans->value_len = len;
        spans->has_value = true;
        return 0;
    }
    if (append(spans, at, len) < 0) {
        return -1;
    }
    spans->value_len += len;
    spans->has_value = true;
    return 0;
}

int
spans_keep(Spans *spans)
{
    size_t name_len = spans->name_len;
    size_t value_len = spans->value_len;

    if (spans->copied) {
        return 0;
    }
    if (reserve(spans, 0) < 0) {
        return -1;
    }
    if (name_len > 0) {
        memcpy(spans->scratch, spans->name, name_len);
    }
    if (value_len > 0) {
        memcpy(spans->scratch + name_len, spans->value, value_len);
    }
    spans->copied = true;
    return 0;
}

void
spans_reset(Spans *spans)
{
    spans->has_name = false;
    spans->has_value = false;
    spans->name_len = 0;
    spans->value_len = 0;
    if (spans->copied) {
        spans->copied = false;
        if (spans->capacity > SCRATCH_KEPT) {
            spans_free(spans);
        }
    }
}

void
spans_free(Spans *spans)
{
    PyMem_Free(spans->scratch);
    memset(spans, 0, sizeof(*spans));
}
