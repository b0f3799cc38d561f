/* udp.h - UDPTransport: datagrams over an internet or UNIX socket.
 *
 * The fd is a user fd (poll.h), so that we do the system calls: one recvmmsg
 * takes what there is, one sendmmsg what was queued. The uv_udp_t is there
 * for its lifetime (handle.h) and closes the fd; libuv never polls it.
 */
#ifndef UVLOOP_CORE_UDP_H
#define UVLOOP_CORE_UDP_H

#include "loop.h"
#include "transport.h"

/* Create the type and the function open_udp; 0 or -1. */
int udp_register(PyObject *module, State *st);

#endif
