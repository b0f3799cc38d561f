/* task.h - what loop.create_task() returns. */
#ifndef UVLOOP_CORE_TASK_H
#define UVLOOP_CORE_TASK_H

#include <stdbool.h>

#include "state.h"

/* create_task(coro, **kwargs), by the factory unless it is NULL or None, else
 * an asyncio.Task of this loop. The arguments are those of a vectorcall. New
 * reference, or NULL with an exception. Runs Python code. */
PyObject *task_create(State *st,
                      PyObject *loop,
                      PyObject *factory,
                      PyObject *const *args,
                      Py_ssize_t nargs,
                      PyObject *kwnames);

#endif
