/* unix.h - UnixTransport: a connection over a UNIX socket. */
#ifndef UVLOOP_CORE_UNIX_H
#define UVLOOP_CORE_UNIX_H

#include "addr.h"
#include "loop.h"
#include "server.h"
#include "transport.h"

/* A transport for a connection that accept gave, in the listener's style
 * (ListenerKind); see connection_accepted. */
Transport *unix_accepted(Loop *loop,
                         int fd,
                         const Addr *peer,
                         PyObject *protocol,
                         Server *server,
                         PyObject *context);

/* Create the type and the function open_unix; 0 or -1. */
int unix_register(PyObject *module, State *st);

#endif
