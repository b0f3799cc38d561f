/* What the servers in C share: where to listen, and how to say so.
 *
 * Each is started as `SERVER ARGUMENTS... ENDPOINT`, where ENDPOINT is `tcp`
 * (127.0.0.1, any free port) or `unix:/path`; it prints one line of JSON once
 * it listens, and serves until it is killed.
 */
#ifndef ENDPOINT_H
#define ENDPOINT_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    ENDPOINT_BACKLOG = 1024,
    /* A whole message of the benchmarks, so that it takes one read. */
    READ_BYTES = 256 * 1024,
};

typedef struct {
    int fd; /* bound and listening, non-blocking */
    bool is_unix;
    int port;         /* 0 for UNIX */
    const char *path; /* borrowed from the argument */
} Endpoint;

/* Ends the program, for what cannot go on. */
__attribute__((noreturn)) static inline void
die(const char *what, const char *why)
{
    (void)fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static inline void *
allocate(size_t size)
{
    void *memory = malloc(size);
    if (!memory) {
        die("malloc", "out of memory");
    }
    return memory;
}

static inline void
endpoint_bind(Endpoint *endpoint,
              const struct sockaddr *address,
              socklen_t size)
{
    endpoint->fd = socket(
        address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (endpoint->fd < 0) {
        die("socket", "cannot make one");
    }
    if (bind(endpoint->fd, address, size)) {
        die("bind", "the address is refused");
    }
    if (listen(endpoint->fd, ENDPOINT_BACKLOG)) {
        die("listen", "refused");
    }
}

/* Listens where the argument says. TCP_NODELAY is handed on by Linux to what
   is accepted. */
static inline Endpoint
endpoint_open(const char *text)
{
    static const char prefix[] = "unix:";
    Endpoint endpoint = {.fd = -1};
    if (!strcmp(text, "tcp")) {
        struct sockaddr_in address = {
            .sin_family = AF_INET,
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        socklen_t size = sizeof(address);
        int on = 1;
        endpoint_bind(&endpoint, (struct sockaddr *)&address, size);
        if (setsockopt(
                endpoint.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
            getsockname(endpoint.fd, (struct sockaddr *)&address, &size)) {
            die("tcp", "cannot set up the socket");
        }
        endpoint.port = ntohs(address.sin_port);
        return endpoint;
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    endpoint.path = text + sizeof(prefix) - 1;
    if (strncmp(text, prefix, sizeof(prefix) - 1) != 0 || !*endpoint.path ||
        strlen(endpoint.path) >= sizeof(address.sun_path)) {
        die(text, "an endpoint is tcp or unix:/path, of 107 bytes at most");
    }
    (void)strcpy(address.sun_path, endpoint.path);
    (void)unlink(endpoint.path); /* of an earlier run, if there is one */
    endpoint.is_unix = true;
    endpoint_bind(&endpoint, (struct sockaddr *)&address, sizeof(address));
    return endpoint;
}

/* Says where it serves: the one line that its parent waits for. */
static inline void
endpoint_tell(const Endpoint *endpoint, const char *loop, const char *version)
{
    if (endpoint->is_unix) {
        (void)printf("{\"path\": \"%s\"", endpoint->path);
    }
    else {
        (void)printf("{\"port\": %d", endpoint->port);
    }
    (void)printf(", \"version\": \"%s\", \"loop\": \"%s\"}\n", version, loop);
    (void)fflush(stdout);
}

#endif
