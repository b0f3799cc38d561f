/* connection.h - a stream over a connected socket, with two ends that have
 * names: all of TCPTransport and UnixTransport but what differs.
 */
#ifndef UVLOOP_CORE_CONNECTION_H
#define UVLOOP_CORE_CONNECTION_H

#include "endpoint.h"
#include "stream.h"

typedef struct {
    Stream stream;
    Endpoint endpoint;
} Connection;

/* What differs from kind to kind: a const table, set from above. */
typedef struct {
    TypeIndex type;
    const char *function; /* its open_*, for messages, as the next one */
    const char *families;
    bool (*takes)(int family); /* whether it is for such sockets */
    /* The uv handle's init, and its open with the fd, which does not block
     * from then on: 0, or a negative libuv code. */
    int (*init)(uv_loop_t *uv, Stream *stream);
    int (*open)(Stream *stream, int fd);
} ConnectionKind;

/* A transport for a connection that accept gave: new reference, with the fd
 * taken over; or NULL with an exception and the fd still the caller's. It
 * waits for transport_start. */
Transport *connection_accepted(const ConnectionKind *kind,
                               Loop *loop,
                               int fd,
                               const Addr *peer,
                               PyObject *protocol,
                               Server *server,
                               PyObject *context);

/* The function open_* of the module, of a connected Python socket: new
 * reference, or NULL with an exception and the socket untouched. */
PyObject *connection_open(const ConnectionKind *kind,
                          PyObject *module,
                          PyObject *const *args,
                          Py_ssize_t nargs,
                          PyObject *kwnames);

/* For the slots of the type: a Connection may be all of its object. */
int connection_tp_traverse(PyObject *self, visitproc visit, void *arg);
int connection_tp_clear(PyObject *self);
void connection_tp_dealloc(PyObject *self);
extern PyMemberDef connection_members[];

/* Create the type with the methods of a stream, and add it and the functions
 * to the module; 0 or -1. */
int connection_register(const ConnectionKind *kind,
                        PyObject *module,
                        State *st,
                        PyType_Spec *spec,
                        PyMethodDef *functions);

#endif
