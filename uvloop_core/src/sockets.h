/* sockets.h - the system calls of the sock_* methods. */
#ifndef UVLOOP_CORE_SOCKETS_H
#define UVLOOP_CORE_SOCKETS_H

#include "state.h"

/* Add the functions sock_recv, sock_send and so on; 0 or -1. */
int sockets_register(PyObject *module, State *st);

#endif
