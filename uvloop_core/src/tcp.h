/* tcp.h - TCPTransport: a connection over an internet socket. */
#ifndef UVLOOP_CORE_TCP_H
#define UVLOOP_CORE_TCP_H

#include "addr.h"
#include "loop.h"
#include "server.h"
#include "transport.h"

/* A transport for a connection that accept gave, in the listener's style
 * (ListenerKind); see connection_accepted. */
Transport *tcp_accepted(Loop *loop,
                        int fd,
                        const Addr *peer,
                        PyObject *protocol,
                        Server *server,
                        PyObject *context);

/* Create the type and the function open_tcp; 0 or -1. */
int tcp_register(PyObject *module, State *st);

#endif
