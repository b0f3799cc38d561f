/* dial.h - a TCP socket on its way to a known address, without the Python
 * object: like an accepted one, it gets that only if somebody asks for it.
 */
#ifndef UVLOOP_CORE_DIAL_H
#define UVLOOP_CORE_DIAL_H

#include "state.h"

/* The fd of a Dial that is connected; -1 of anything else. */
int dial_fd(State *st, PyObject *object);

/* A transport has the fd now: close() is a no-op. */
void dial_give_up(PyObject *object);

int dial_register(PyObject *module, State *st);

#endif
