/* reading.h - what a coroutine of uvloop_core.streams.StreamReader awaits: the
 * data, or None if asyncio's own coroutine is to read it.
 */
#ifndef UVLOOP_CORE_READING_H
#define UVLOOP_CORE_READING_H

#include "state.h"

/* Add the type and the functions stream_read and so on; 0 or -1. */
int reading_register(PyObject *module, State *st);

#endif
