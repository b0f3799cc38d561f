/* server.h - what the Python Server needs in C: which connections it has.
 *
 * Server is the base of the Python class. It counts the transports that were
 * made for it, from their birth to after connection_lost, and knows them by
 * a list that runs through them: no weak references, no set.
 */
#ifndef UVLOOP_CORE_SERVER_H
#define UVLOOP_CORE_SERVER_H

#include <stdbool.h>

#include "state.h"

typedef struct ServerLink ServerLink;

typedef struct {
    PyObject_HEAD
    ServerLink *first; /* borrowed: the transports; each takes itself off */
    Py_ssize_t active; /* how many they are */
    char closing;      /* set by the Python class: tell it when active is 0 */
} Server;

/* Embedded in every transport. */
struct ServerLink {
    Server *server;      /* owned, or NULL: made for no server */
    PyObject *transport; /* borrowed: it embeds this struct */
    ServerLink *prev;    /* borrowed: the server's list */
    ServerLink *next;
};

/* Put a zeroed link on the server's list; takes a reference on the server. */
void server_attach(Server *server, ServerLink *link, PyObject *transport);

/* Take it off; a no-op if it is on none. If that leaves a closing server
 * without connections: a new reference to it, whose _wakeup the caller must
 * call; else NULL, without an exception. May run Python code (the server's
 * last reference). */
Server *server_detach(ServerLink *link);

/* Create the type; 0 or -1. */
int server_register(PyObject *module, State *st);

#endif
