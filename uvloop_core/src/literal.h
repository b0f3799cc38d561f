/* literal.h - addresses as the resolver gives them, without the resolver. */
#ifndef UVLOOP_CORE_LITERAL_H
#define UVLOOP_CORE_LITERAL_H

#include <stdbool.h>

#include "addr.h"
#include "state.h"

/* The address that getaddrinfo(*args), which are host, port, family, type and
 * proto, finds by itself; false if it has to ask. */
bool literal_read(PyObject *const args[5], Addr *addr);

/* Add the function resolve_literal; 0 or -1. */
int literal_register(PyObject *module, State *st);

#endif
