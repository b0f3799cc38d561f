/* addr.h - socket addresses: the kernel's form and the socket module's. */
#ifndef UVLOOP_CORE_ADDR_H
#define UVLOOP_CORE_ADDR_H

#include "compat.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Room for every family that a transport may have; size 0: not known. */
typedef struct {
    socklen_t size;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } raw;
} Addr;

/* As sock.getsockname() would give it: (host, port), (host, port, flowinfo,
 * scope_id), a path or bytes (AF_UNIX; bytes: abstract), (family, bytes) for
 * any other, None for an unknown one. New reference, or NULL. */
PyObject *addr_to_python(const Addr *addr);

/* The other way, for a numeric host: 1 done, 0 if it is something else (a
 * name to be resolved, another type), -1 with an exception. `family` is
 * AF_INET, AF_INET6, or AF_UNIX with a path. */
int addr_from_python(int family, PyObject *address, Addr *addr);

/* getsockname and getpeername: 0, or a negative errno. */
int addr_get_local(int fd, Addr *addr);
int addr_get_peer(int fd, Addr *addr);

#endif
