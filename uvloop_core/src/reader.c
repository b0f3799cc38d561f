/* A reader is asyncio's own Python object, and stays it: only the Python code
 * that fills it is passed over, five frames for each read. So nothing about it
 * is remembered from one read to the next. Whatever is not as usual is left to
 * that code: the reader has ended or is collected, the pause above its limit,
 * a subclass, and methods that somebody has replaced.
 */
#include "reader.h"

/* New reference; NULL without an exception. */
static PyObject *
get(State *st, PyObject *object, NameIndex name)
{
    PyObject *value = PyObject_GetAttr(object, st->names[name]);

    if (value == NULL) {
        PyErr_Clear(); /* data_received meets it, too */
    }
    return value;
}

/* Whether a method is its own and the function of asyncio.streams that it was
 * when that was imported: replaced neither since then nor before. */
static bool
is_own(State *st, PyObject *object, NameIndex name, ObjectIndex function)
{
    PyObject *method = get(st, object, name);
    bool own = false;

    if (method != NULL && PyMethod_Check(method)) {
        PyObject *found = PyMethod_GET_FUNCTION(method);

        own =
            PyMethod_GET_SELF(method) == object &&
            found == st->objects[function] && PyFunction_Check(found) &&
            PyFunction_GET_GLOBALS(found) == st->objects[OBJECT_STREAMS_NAMES];
    }
    Py_XDECREF(method);
    return own;
}

/* The reader of a protocol: new reference, or NULL without an exception. */
static PyObject *
find_reader(State *st, PyObject *protocol)
{
    PyObject *ref = NULL;
    PyObject *reader = NULL;

    if (!is_own(
            st, protocol, NAME_data_received, OBJECT_STREAM_DATA_RECEIVED)) {
        return NULL;
    }
    ref = get(st, protocol, NAME_stream_reader_wr);
    if (ref != NULL && PyWeakref_CheckRefExact(ref)) {
        (void)PyWeakref_GetRef(ref, &reader); /* no error: it is one */
    }
    Py_XDECREF(ref);
    if (reader != NULL &&
        (!Py_IS_TYPE(reader,
                     (PyTypeObject *)st->objects[OBJECT_STREAM_READER]) ||
         !is_own(st, reader, NAME_feed_data, OBJECT_STREAM_FEED_DATA))) {
        Py_CLEAR(reader);
    }
    return reader;
}

/* Whether a reader with so many bytes pauses its transport. */
static bool
is_over(PyObject *limit, Py_ssize_t size)
{
    Py_ssize_t half = 0;

    if (limit == NULL || !PyLong_CheckExact(limit)) {
        return true; /* asyncio's code knows */
    }
    half = PyLong_AsSsize_t(limit);
    if (half == -1 && PyErr_Occurred()) {
        PyErr_Clear(); /* it is huge: the same */
    }
    return half < 0 || size - half > half;
}

/* The buffer of a reader that has not ended, if the data does not make it
 * pause: new reference, or NULL without an exception. */
static PyObject *
find_buffer(State *st, PyObject *reader, size_t size)
{
    PyObject *eof = get(st, reader, NAME_reader_eof);
    PyObject *limit = get(st, reader, NAME_reader_limit);
    PyObject *buffer = get(st, reader, NAME_reader_buffer);

    if (buffer != NULL &&
        (eof != Py_False || !PyByteArray_CheckExact(buffer) ||
         is_over(limit, PyByteArray_GET_SIZE(buffer) + (Py_ssize_t)size))) {
        Py_CLEAR(buffer);
    }
    Py_XDECREF(limit);
    Py_XDECREF(eof);
    return buffer;
}

/* Who waits for data, a future, or None: new reference, or NULL without an
 * exception. */
static PyObject *
find_waiter(State *st, PyObject *reader)
{
    PyObject *waiter = get(st, reader, NAME_reader_waiter);

    if (waiter != NULL && waiter != Py_None &&
        !Py_IS_TYPE(waiter, (PyTypeObject *)st->objects[OBJECT_FUTURE])) {
        Py_CLEAR(waiter);
    }
    return waiter;
}

/* 0; or -1 with BufferError, if somebody looks at it, or MemoryError. */
static int
append(PyObject *buffer, const char *data, size_t size)
{
    Py_ssize_t end = 0;
    int err = 0;

    Py_BEGIN_CRITICAL_SECTION(buffer);
    end = PyByteArray_GET_SIZE(buffer);
    err = PyByteArray_Resize(buffer, end + (Py_ssize_t)size);
    if (err == 0) {
        memcpy(PyByteArray_AS_STRING(buffer) + end, data, size);
    }
    Py_END_CRITICAL_SECTION();
    return err;
}

/* Whether a future refused its result because it is cancelled; if so, the
 * pending exception that says it goes. */
static bool
was_cancelled(State *st, PyObject *future)
{
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *cancelled =
        PyObject_CallMethodNoArgs(future, st->names[NAME_cancelled]);
    bool was = cancelled == Py_True;

    Py_XDECREF(cancelled);
    if (was) {
        Py_XDECREF(pending);
    }
    else {
        PyErr_SetRaisedException(pending);
    }
    return was;
}

/* 0, or -1 with an exception. */
static int
wake(Border *border, PyObject *context, PyObject *reader, PyObject *waiter)
{
    State *st = border->st;
    PyObject *args[2] = {waiter, Py_None};
    PyObject *result = NULL;

    if (waiter == Py_None) {
        return 0;
    }
    if (PyObject_SetAttr(reader, st->names[NAME_reader_waiter], Py_None) < 0) {
        return -1;
    }
    result =
        enter_method(border, context, st->names[NAME_set_result], args, 2);
    Py_XDECREF(result);
    return result != NULL || was_cancelled(st, waiter) ? 0 : -1;
}

int
reader_feed(Border *border,
            PyObject *context,
            PyObject *protocol,
            const char *data,
            size_t size)
{
    State *st = border->st;
    PyObject *reader = find_reader(st, protocol);
    PyObject *buffer = NULL;
    PyObject *waiter = NULL;
    int fed = 0;

    if (reader == NULL) {
        return 0;
    }
    buffer = find_buffer(st, reader, size);
    waiter = find_waiter(st, reader);
    if (buffer != NULL && waiter != NULL) {
        fed = append(buffer, data, size) < 0 ||
                      wake(border, context, reader, waiter) < 0
                  ? -1
                  : 1;
    }
    Py_XDECREF(waiter);
    Py_XDECREF(buffer);
    Py_DECREF(reader);
    return fed;
}
