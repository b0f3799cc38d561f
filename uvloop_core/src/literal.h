/* literal.h - addresses as the resolver gives them, without the resolver. */
#ifndef UVLOOP_CORE_LITERAL_H
#define UVLOOP_CORE_LITERAL_H

#include "state.h"

/* Add the function resolve_literal; 0 or -1. */
int literal_register(PyObject *module, State *st);

#endif
