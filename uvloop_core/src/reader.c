/* A reader is as Python code left it: nothing about it is remembered from one
 * read to the next. Whatever is not as usual is left to asyncio's code: the
 * reader has ended or is collected, the pause above its limit, a subclass, and
 * methods that somebody has replaced.
 *
 * CPython gives an object whose class is changed an ordinary dict, and is slow
 * with its attributes from then on. So they are looked up in that dict here.
 *
 * What is read may go straight into the buffer, as no Python code runs until
 * it is there. And where nobody else holds a buffer, another object that is
 * equal may stand in for it: so much memory goes from reader to reader, where
 * malloc would give it back to the kernel and get it anew, page by page.
 */
#include "reader.h"

#include <errno.h>
#include <unistd.h>

/* What __init__ gives a reader, unless the loop is in debug mode. */
#define USUAL_ATTRIBUTES 8

/* The methods that are stood in for, and those that they call. */
static const NameIndex methods[] = {
    NAME_feed_data,
    NAME_reader_maybe_resume,
    NAME_reader_wait_for_data,
    NAME_reader_wakeup,
    NAME_read,
    NAME_readexactly,
    NAME_readline,
    NAME_readuntil,
};

/* As many of them our class inherits. */
#define INHERITED 4

/* A buffer that held so many bytes is worth keeping, and not too big. */
#define MIN_KEPT ((Py_ssize_t)8 * 1024)
#define MAX_KEPT ((Py_ssize_t)256 * 1024)

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

PyObject *
reader_get(State *st, PyObject *attributes, NameIndex name)
{
    PyObject *value = NULL;

    if (PyDict_GetItemRef(attributes, st->names[name], &value) < 0) {
        PyErr_Clear(); /* asyncio's code meets it, too */
    }
    return value;
}

/* Whether a function is one of asyncio.streams, not another one's. */
static bool
is_of_streams(State *st, PyObject *function)
{
    return PyFunction_Check(function) && PyFunction_GET_GLOBALS(function) ==
                                             st->objects[OBJECT_STREAMS_NAMES];
}

/* Whether the protocol's data_received is its own and what it was when that
 * was imported: replaced neither since then nor before. */
static bool
receives_itself(State *st, PyObject *protocol)
{
    PyObject *method = get(st, protocol, NAME_data_received);
    bool own = false;

    if (method != NULL && PyMethod_Check(method)) {
        PyObject *found = PyMethod_GET_FUNCTION(method);

        own = PyMethod_GET_SELF(method) == protocol &&
              found == st->objects[OBJECT_STREAM_DATA_RECEIVED] &&
              is_of_streams(st, found);
    }
    Py_XDECREF(method);
    return own;
}

/* Whether so many of the methods that a class has are asyncio's own. */
static bool
has_own_methods(State *st, PyTypeObject *type, size_t count)
{
    bool own = true;

    for (size_t i = 0; own && i < count; i++) {
        PyObject *function = get(st, (PyObject *)type, methods[i]);

        own = function != NULL && is_of_streams(st, function);
        Py_XDECREF(function);
    }
    return own;
}

/* Whether no method is replaced, in asyncio's class or in ours. */
static bool
is_class_usual(State *st)
{
    PyTypeObject *ours = st->types[TYPE_STREAM_READER];
    PyTypeObject *base = (PyTypeObject *)st->objects[OBJECT_STREAM_READER];
    unsigned int version = type_version(ours);

    if (version != 0 && version == st->reader_version) {
        return true;
    }
    if (!has_own_methods(st, base, ARRAY_LEN(methods)) ||
        !has_own_methods(st, ours, INHERITED)) {
        return false;
    }
    /* What another thread changed meanwhile was not looked at. */
    if (version == type_version(ours)) {
        st->reader_version = version;
    }
    return true;
}

/* Whether no attribute of a reader hides a method. */
static bool
is_usual(State *st, PyObject *attributes)
{
    bool usual = true;

    if (PyDict_GET_SIZE(attributes) == USUAL_ATTRIBUTES) {
        return true;
    }
    for (size_t i = 0; usual && i < ARRAY_LEN(methods); i++) {
        PyObject *hiding = reader_get(st, attributes, methods[i]);

        usual = hiding == NULL;
        Py_XDECREF(hiding);
    }
    return usual;
}

PyObject *
reader_open(State *st, PyObject *reader)
{
    PyObject *attributes = NULL;

    if (!Py_IS_TYPE(reader, st->types[TYPE_STREAM_READER]) ||
        !is_class_usual(st)) {
        return NULL;
    }
    attributes = PyObject_GenericGetDict(reader, NULL);
    if (attributes == NULL) {
        PyErr_Clear(); /* no memory: asyncio's code will say so */
    }
    else if (!is_usual(st, attributes)) {
        Py_CLEAR(attributes);
    }
    return attributes;
}

/* Make a reader of asyncio's own class one of ours. */
static void
adopt(State *st, PyObject *reader)
{
    PyObject *ours = (PyObject *)st->types[TYPE_STREAM_READER];

    if (Py_IS_TYPE(reader,
                   (PyTypeObject *)st->objects[OBJECT_STREAM_READER]) &&
        is_class_usual(st) &&
        PyObject_SetAttr(reader, st->names[NAME_class], ours) < 0) {
        PyErr_Clear(); /* it stays as it is */
    }
}

/* The reader of a protocol: new reference, or NULL without an exception. */
static PyObject *
find_reader(State *st, PyObject *protocol)
{
    PyObject *ref = NULL;
    PyObject *reader = NULL;

    if (!receives_itself(st, protocol)) {
        return NULL;
    }
    ref = get(st, protocol, NAME_stream_reader_wr);
    if (ref != NULL && PyWeakref_CheckRefExact(ref)) {
        (void)PyWeakref_GetRef(ref, &reader); /* no error: it is one */
    }
    Py_XDECREF(ref);
    return reader;
}

Py_ssize_t
reader_size(PyObject *number)
{
    Py_ssize_t size = 0;

    if (number == NULL || !PyLong_CheckExact(number)) {
        return 0;
    }
    size = PyLong_AsSsize_t(number);
    if (size == -1 && PyErr_Occurred()) {
        PyErr_Clear(); /* it is huge */
    }
    return size < 0 ? 0 : size;
}

/* Whether a reader with so many bytes pauses its transport, or may. */
static bool
is_over(PyObject *limit, Py_ssize_t size)
{
    Py_ssize_t half = reader_size(limit);

    return size - half > half;
}

/* The buffer of a reader that has not ended, if the data does not make it
 * pause: new reference, or NULL without an exception. */
static PyObject *
find_buffer(State *st, PyObject *attributes, size_t size)
{
    PyObject *eof = reader_get(st, attributes, NAME_reader_eof);
    PyObject *limit = reader_get(st, attributes, NAME_reader_limit);
    PyObject *buffer = reader_get(st, attributes, NAME_reader_buffer);

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
find_waiter(State *st, PyObject *attributes)
{
    PyObject *waiter = reader_get(st, attributes, NAME_reader_waiter);

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

/* Make it shorter. If there is no memory to move it to, it stays where it is.
 */
static void
shorten(PyObject *buffer, Py_ssize_t size)
{
    if (PyByteArray_Resize(buffer, size) < 0) {
        PyErr_Clear(); /* it only takes more than it needs */
        bytearray_cut(buffer, size);
    }
}

/* Read at most so much to its end: true, with what read() returned, or a
 * negative errno, in *count; or false with nothing done, without memory. */
static bool
read_at_end(PyObject *buffer, int fd, size_t size, ssize_t *count)
{
    Py_ssize_t end = PyByteArray_GET_SIZE(buffer);

    if (PyByteArray_Resize(buffer, end + (Py_ssize_t)size) < 0) {
        PyErr_Clear(); /* reader_feed() needs less of it */
        return false;
    }
    *count = read(fd, PyByteArray_AS_STRING(buffer) + end, size);
    if (*count < 0) {
        *count = -errno;
    }
    shorten(buffer, end + (*count > 0 ? *count : 0));
    return true;
}

/* ---- buffers in the place of others ---- */

/* Keep a buffer of much memory, that nobody needs, for another reader. */
static void
keep(State *st, PyObject *buffer)
{
    Py_ssize_t size = PyByteArray_GET_SIZE(buffer);

    if (size >= MIN_KEPT && size <= MAX_KEPT &&
        st->buffer_count < STATE_MAX_BUFFERS) {
        bytearray_cut(buffer, 0);
        st->buffers[st->buffer_count++] = Py_NewRef(buffer);
    }
}

bool
reader_renew(State *st, PyObject *attributes, PyObject *buffer)
{
    PyObject *empty = NULL;
    int err = -1;

    if (!object_is_held(buffer, 2)) {
        return false;
    }
    empty = PyByteArray_FromStringAndSize(NULL, 0);
    if (empty != NULL) {
        err = reader_set(st, attributes, NAME_reader_buffer, empty);
        Py_DECREF(empty);
    }
    if (err < 0) {
        PyErr_Clear(); /* the old one will do */
        return false;
    }
    keep(st, buffer);
    return true;
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
wake(Border *border, PyObject *context, PyObject *attributes, PyObject *waiter)
{
    State *st = border->st;
    PyObject *args[2] = {waiter, Py_None};
    PyObject *result = NULL;

    if (waiter == Py_None) {
        return 0;
    }
    if (reader_set(st, attributes, NAME_reader_waiter, Py_None) < 0) {
        return -1;
    }
    result = enter_method(border, context, NAME_set_result, args, 2);
    Py_XDECREF(result);
    return result != NULL || was_cancelled(st, waiter) ? 0 : -1;
}

/* ---- feeding ---- */

/* What is found of a reader that is fed. All of it is owned, or NULL. */
typedef struct {
    PyObject *attributes;
    PyObject *buffer;
    PyObject *waiter;
} Feeding;

static void
end_feeding(Feeding *feeding)
{
    Py_CLEAR(feeding->waiter);
    Py_CLEAR(feeding->buffer);
    Py_CLEAR(feeding->attributes);
}

/* True if the protocol's reader takes so many bytes, and all is as usual. */
static bool
begin_feeding(State *st, PyObject *protocol, size_t size, Feeding *feeding)
{
    PyObject *reader = find_reader(st, protocol);

    if (reader == NULL) {
        return false;
    }
    adopt(st, reader);
    feeding->attributes = reader_open(st, reader);
    Py_DECREF(reader);
    if (feeding->attributes != NULL) {
        feeding->buffer = find_buffer(st, feeding->attributes, size);
        feeding->waiter = find_waiter(st, feeding->attributes);
        if (feeding->buffer != NULL && feeding->waiter != NULL) {
            return true;
        }
    }
    end_feeding(feeding);
    return false;
}

int
reader_feed(Border *border,
            PyObject *context,
            PyObject *protocol,
            const char *data,
            size_t size)
{
    Feeding feeding = {NULL};
    int err = 0;

    if (!begin_feeding(border->st, protocol, size, &feeding)) {
        return 0;
    }
    err = append(feeding.buffer, data, size);
    if (err == 0) {
        err = wake(border, context, feeding.attributes, feeding.waiter);
    }
    end_feeding(&feeding);
    return err < 0 ? -1 : 1;
}

/* An empty buffer gives way to one that has memory. */
static void
use_kept(State *st, Feeding *feeding)
{
    PyObject *kept = NULL;

    if (PyByteArray_GET_SIZE(feeding->buffer) > 0 || st->buffer_count == 0) {
        return;
    }
    kept = st->buffers[--st->buffer_count];
    if (reader_set(st, feeding->attributes, NAME_reader_buffer, kept) < 0) {
        PyErr_Clear(); /* the other one will do */
        Py_DECREF(kept);
        return;
    }
    Py_SETREF(feeding->buffer, kept);
}

int
reader_read(Border *border,
            PyObject *context,
            PyObject *protocol,
            int fd,
            size_t size,
            ssize_t *count)
{
    State *st = border->st;
    Feeding feeding = {NULL};
    int fed = 0;

    if (!begin_feeding(st, protocol, size, &feeding)) {
        return 0;
    }
    if (object_is_held(feeding.buffer, 2)) {
        use_kept(st, &feeding);
        fed = read_at_end(feeding.buffer, fd, size, count);
    }
    if (fed && *count > 0 &&
        wake(border, context, feeding.attributes, feeding.waiter) < 0) {
        fed = -1;
    }
    end_feeding(&feeding);
    return fed;
}
