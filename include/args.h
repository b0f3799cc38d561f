/* args.h - METH_FASTCALL | METH_KEYWORDS arguments, without a tuple or dict.
 *
 * The names are interned strings that the caller's module state holds, so a
 * keyword written in Python source is found by comparing pointers.
 */
#ifndef HTTPTOOLS_UV_ARGS_H
#define HTTPTOOLS_UV_ARGS_H

#include "compat.h"

typedef struct {
    const char *function; /* for messages */
    int required;         /* leading arguments that must be given */
    int positional;       /* leading arguments that may go by position */
    int count;            /* all of them */
    const short *names;   /* count indices into the interned names */
} ArgSpec;

/* Whether two strings are equal. asyncio's C code has its own "context", not
 * interned, so this is on the way of every task's step. */
static inline bool
args_same_name(PyObject *a, PyObject *b)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(a);

    if (a == b) {
        return true;
    }
    if (!PyUnicode_IS_COMPACT_ASCII(a) || !PyUnicode_IS_COMPACT_ASCII(b)) {
        return PyUnicode_Compare(a, b) == 0;
    }
    if (length != PyUnicode_GET_LENGTH(b)) {
        return false;
    }
    return memcmp(PyUnicode_1BYTE_DATA(a),
                  PyUnicode_1BYTE_DATA(b),
                  (size_t)length) == 0;
}

/* The index of `name` in the spec, or -1. Runs no Python code: keyword names
 * are always strings. */
static inline int
args_index(const ArgSpec *spec, PyObject *const *interned, PyObject *name)
{
    for (int i = 0; i < spec->count; i++) {
        if (interned[spec->names[i]] == name) {
            return i;
        }
    }
    for (int i = 0; i < spec->count; i++) {
        if (args_same_name(interned[spec->names[i]], name)) {
            return i;
        }
    }
    return -1;
}

/* Spread a vectorcall's arguments over out[spec->count]: borrowed references,
 * NULL where the argument was not given. 0, or -1 with TypeError. */
static inline int
args_spread(const ArgSpec *spec,
            PyObject *const *interned,
            PyObject *const *args,
            Py_ssize_t nargs,
            PyObject *kwnames,
            PyObject **out)
{
    Py_ssize_t nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);

    for (int i = 0; i < spec->count; i++) {
        out[i] = i < nargs ? args[i] : NULL;
    }
    if (nargs > spec->positional) {
        PyErr_Format(PyExc_TypeError,
                     "%s() takes at most %d positional argument%s (%zd given)",
                     spec->function,
                     spec->positional,
                     spec->positional == 1 ? "" : "s",
                     nargs);
        return -1;
    }
    for (Py_ssize_t k = 0; k < nkw; k++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, k);
        int i = args_index(spec, interned, name);

        if (i < 0) {
            PyErr_Format(PyExc_TypeError,
                         "%s() got an unexpected keyword argument '%U'",
                         spec->function,
                         name);
            return -1;
        }
        if (out[i] != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "%s() got multiple values for argument '%U'",
                         spec->function,
                         name);
            return -1;
        }
        out[i] = args[nargs + k];
    }
    for (int i = 0; i < spec->required; i++) {
        if (out[i] == NULL) {
            PyErr_Format(PyExc_TypeError,
                         "%s() missing required argument: '%U'",
                         spec->function,
                         interned[spec->names[i]]);
            return -1;
        }
    }
    return 0;
}

#endif
