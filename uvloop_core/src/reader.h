/* reader.h - asyncio's StreamReader, fed without Python code: what
 * StreamReaderProtocol.data_received and StreamReader.feed_data do, where
 * both are asyncio's own and all is as usual.
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

#endif
