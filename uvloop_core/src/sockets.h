/* sockets.h - the system calls of sock_recv and sock_sendall. */
#ifndef UVLOOP_CORE_SOCKETS_H
#define UVLOOP_CORE_SOCKETS_H

#include "state.h"

/* Add the functions receive and send; 0 or -1. */
int sockets_register(PyObject *module, State *st);

#endif
