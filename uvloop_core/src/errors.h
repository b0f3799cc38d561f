/* errors.h - libuv's error codes as Python exceptions, in one place. */
#ifndef UVLOOP_CORE_ERRORS_H
#define UVLOOP_CORE_ERRORS_H

#include "state.h"

/* A new exception for a negative libuv code: OSError's exact subclass for a
 * system error, CancelledError for UV_ECANCELED. (Names are resolved by the
 * socket module, so UV_EAI_* never comes up.) NULL with an exception set if
 * it can't be made. */
PyObject *error_from_uv(State *st, int err);

/* Raise it. Always -1. */
int raise_uv(State *st, int err);

#endif
