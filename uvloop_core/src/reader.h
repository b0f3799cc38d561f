/* reader.h - asyncio's StreamReader without Python code. A reader that gets
 * its first data becomes one of uvloop_core.streams.StreamReader: that has
 * asyncio's attributes and methods, but its coroutines read by reading.c, and
 * it is fed here: what StreamReaderProtocol.data_received and feed_data do,
 * where both are asyncio's own and all is as usual.
 */
#ifndef UVLOOP_CORE_READER_H
#define UVLOOP_CORE_READER_H

#include "enter.h"

/* Whether it is worth a try: exactly asyncio's protocol, no subclass. */
static inline bool
reader_may_take(State *st, PyObject *protocol)
{
    return Py_IS_TYPE(
        protocol, (PyTypeObject *)st->objects[OBJECT_STREAM_READER_PROTOCOL]);
}

/* Give what was read, which is not empty, to the reader of such a protocol,
 * and wake who waits for it, in the context. 1; or -1 with what data_received
 * would have raised; or 0 with nothing done: then data_received is to be
 * called, for it is not asyncio's own, or would do more than this. May run
 * Python code. */
int reader_feed(Border *border,
                PyObject *context,
                PyObject *protocol,
                const char *data,
                size_t size);

/* The same of what is read from the fd, at most so many bytes, which go
 * straight into the reader's buffer. *count is what read() returned, or a
 * negative errno; if it is not positive, nothing was fed. 0 also if somebody
 * else holds the buffer, or without memory: nothing was read. */
int reader_read(Border *border,
                PyObject *context,
                PyObject *protocol,
                int fd,
                size_t size,
                ssize_t *count);

/* The attributes of a reader of that class: a new reference to its dict. NULL
 * without an exception if it is none, or if a method is replaced, of a class
 * or of this one: then asyncio's code is to run. */
PyObject *reader_open(State *st, PyObject *reader);

/* New reference; NULL without an exception. */
PyObject *reader_get(State *st, PyObject *attributes, NameIndex name);

/* All in the buffer was taken, which the attributes and the caller hold: give
 * the reader an empty one. False with nothing done if anybody else holds it,
 * or without memory. */
bool reader_renew(State *st, PyObject *attributes, PyObject *buffer);

/* A number of bytes: 0 if it is none that is usual, or NULL. */
Py_ssize_t reader_size(PyObject *number);

/* 0 or -1. */
static inline int
reader_set(State *st, PyObject *attributes, NameIndex name, PyObject *value)
{
    return PyDict_SetItem(attributes, st->names[name], value);
}

#endif
