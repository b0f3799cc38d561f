/* listener.h - Listener: accepts connections on a listening socket.
 *
 * The listening fd is a user fd (poll.h), not a libuv handle: its callback
 * accepts until there is nothing left, a bounded number of times. What the
 * Python Server needs besides is in server.h.
 *
 * From Python: Listener(loop, sock, protocol_factory, server, backlog,
 * context), start(), stop(), close(); serving and sock are attributes. It
 * lives as long as it serves, held by the loop.
 */
#ifndef UVLOOP_CORE_LISTENER_H
#define UVLOOP_CORE_LISTENER_H

#include "addr.h"
#include "loop.h"
#include "server.h"
#include "transport.h"

/* How connections of a family become transports: `accepted` gives a new
 * reference, with the fd taken over, that waits for transport_start; or NULL
 * with an exception and the fd still the caller's. */
typedef struct {
    int family;
    Transport *(*accepted)(Loop *loop,
                           int fd,
                           const Addr *peer,
                           PyObject *protocol,
                           Server *server,
                           PyObject *context);
} ListenerKind;

/* Set from above (kinds.h); ends with a NULL `accepted`. */
extern const ListenerKind listener_kinds[];

/* Create the type; 0 or -1. */
int listener_register(PyObject *module, State *st);

#endif
