/* endpoint.h - the socket of a transport: its fd, the Python object that
 * stands for it, and the names of both ends.
 *
 * Of an accepted connection all that is there is the fd and the peer's raw
 * address: the Python objects are made when somebody asks. So it is with one
 * that dial.c made.
 */
#ifndef UVLOOP_CORE_ENDPOINT_H
#define UVLOOP_CORE_ENDPOINT_H

#include "addr.h"
#include "state.h"

typedef struct {
    int fd;             /* -1 once released */
    int proto;          /* of the socket that is still to be made */
    PyObject *sock;     /* owned: socket.socket, or NULL: not made yet */
    PyObject *wrapper;  /* owned: the TransportSocket around it, or NULL */
    PyObject *sockname; /* owned: NULL until asked for; kept after close */
    PyObject *peername;
    Addr local; /* size 0: not asked yet */
    Addr peer;
} Endpoint;

/* file.fileno(), or -1 with an exception (OSError if it is closed). Runs
 * Python code. */
int endpoint_fileno(State *st, PyObject *file);

/* sock._io_refs += change, without Python code: 1, or 0 if it has none (only
 * socket.socket has), or -1. While there are users close() is put off. */
int endpoint_count_user(State *st, PyObject *sock, long change);

/* Take over the connected Python socket: 0, or -1 with OSError (closed, no
 * socket at all). Counts itself among its users (_io_refs), so that the
 * caller's sock.close() leaves the fd alone while the transport has it. */
int endpoint_adopt(Endpoint *endpoint, State *st, PyObject *sock);

/* Undo that: the socket is the caller's again. Keeps a pending exception. */
void endpoint_disown(Endpoint *endpoint, State *st);

/* Take over an fd that accept gave. */
void endpoint_accept(Endpoint *endpoint, int fd, const Addr *peer);

/* Take over an fd of our own that has connected, by `proto`. */
void endpoint_connected(Endpoint *endpoint, int fd, int proto);

/* What get_extra_info gives for socket, sockname and peername: a new
 * reference (of names None if they are not known), or NULL. May run Python
 * code. */
PyObject *endpoint_socket(Endpoint *endpoint, State *st);
PyObject *endpoint_sockname(Endpoint *endpoint);
PyObject *endpoint_peername(Endpoint *endpoint);

/* TransportOps.extra: one of these three. */
int endpoint_extra(Endpoint *endpoint,
                   State *st,
                   PyObject *name,
                   PyObject **value);

/* The connection ends: take the fd from the Python socket, which stays as a
 * closed one. The fd, now the caller's to close; or -1 if somebody else took
 * it from the Python socket before. May run Python code. */
int endpoint_release(Endpoint *endpoint, State *st);

int endpoint_traverse(Endpoint *endpoint, visitproc visit, void *arg);
void endpoint_clear(Endpoint *endpoint);

#endif
