/* tcp.h - TCPTransport: a stream over an internet socket. */
#ifndef UVLOOP_CORE_TCP_H
#define UVLOOP_CORE_TCP_H

#include "addr.h"
#include "loop.h"
#include "server.h"
#include "transport.h"

/* A transport for a connection that accept gave, in the listener's style
 * (ListenerKind): new reference, with the fd taken over; or NULL with an
 * exception and the fd still the caller's. It waits for transport_start. */
Transport *tcp_accepted(Loop *loop,
                        int fd,
                        const Addr *peer,
                        PyObject *protocol,
                        Server *server,
                        PyObject *context);

/* Create the type and the function open_tcp; 0 or -1. */
int tcp_register(PyObject *module, State *st);

#endif
