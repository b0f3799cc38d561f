/* The ceiling of echo: nothing but epoll. `echo_epoll ENDPOINT`
 *
 * A message takes one read and one send, a batch of ready connections one
 * epoll_wait; all read into one buffer. What the kernel does not take at once
 * is copied, and nothing is read from that connection until it is sent.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "endpoint.h"

enum {
    EVENTS = 512,
    CONNECTIONS = 16 * 1024, /* a file number is one's index */
};

typedef struct {
    int fd;
    char *unsent; /* owned; NULL when it may read */
    size_t sent;
    size_t size;
} Connection;

typedef struct {
    int epoll_fd;
    int listener;
    char input[READ_BYTES];
    Connection connections[CONNECTIONS];
} Server;

static void
connection_close(Connection *connection)
{
    free(connection->unsent);
    (void)close(connection->fd); /* epoll forgets it, too */
}

static void
connection_poll(const Server *server,
                Connection *connection,
                int operation,
                uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(server->epoll_fd, operation, connection->fd, &event)) {
        die("epoll_ctl", strerror(errno));
    }
}

/* Returns how much was sent, 0 also when nothing can be, or -1 if the
   connection is broken. */
static ssize_t
send_some(const Connection *connection, const char *bytes, size_t size)
{
    ssize_t n = send(connection->fd, bytes, size, MSG_NOSIGNAL);
    return n < 0 && errno == EAGAIN ? 0 : n;
}

static void
keep_unsent(const Server *server,
            Connection *connection,
            const char *bytes,
            size_t size)
{
    connection->unsent = allocate(size);
    connection->sent = 0;
    connection->size = size;
    memcpy(connection->unsent, bytes, size);
    connection_poll(server, connection, EPOLL_CTL_MOD, EPOLLOUT);
}

static void
on_readable(Server *server, Connection *connection)
{
    ssize_t n = read(connection->fd, server->input, READ_BYTES);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            connection_close(connection);
        }
        return;
    }
    ssize_t sent = send_some(connection, server->input, (size_t)n);
    if (sent < 0) {
        connection_close(connection);
    }
    else if (sent < n) {
        keep_unsent(
            server, connection, server->input + sent, (size_t)(n - sent));
    }
}

static void
on_writable(const Server *server, Connection *connection)
{
    ssize_t n = send_some(connection,
                          connection->unsent + connection->sent,
                          connection->size - connection->sent);
    if (n < 0) {
        connection_close(connection);
        return;
    }
    connection->sent += (size_t)n;
    if (connection->sent == connection->size) {
        free(connection->unsent);
        connection->unsent = NULL;
        connection_poll(server, connection, EPOLL_CTL_MOD, EPOLLIN);
    }
}

static void
accept_all(Server *server)
{
    int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = accept4(server->listener, NULL, NULL, flags);
    while (fd >= 0) {
        if (fd >= CONNECTIONS) {
            die("accept", "too many connections");
        }
        Connection *connection = &server->connections[fd];
        *connection = (Connection){.fd = fd};
        connection_poll(server, connection, EPOLL_CTL_ADD, EPOLLIN);
        fd = accept4(server->listener, NULL, NULL, flags);
    }
}

static void
serve(Server *server)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        int count = epoll_wait(server->epoll_fd, events, EVENTS, -1);
        if (count < 0 && errno != EINTR) {
            die("epoll_wait", strerror(errno));
        }
        for (int i = 0; i < count; i++) {
            Connection *connection = events[i].data.ptr;
            if (!connection) {
                accept_all(server);
            }
            else if (connection->unsent) {
                on_writable(server, connection);
            }
            else {
                on_readable(server, connection);
            }
        }
    }
}

int
main(int argc, char **argv)
{
    static Server server; /* too large for the stack */
    if (argc != 2) {
        die("usage", "echo_epoll ENDPOINT");
    }
    Endpoint endpoint = endpoint_open(argv[1]);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    server.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server.listener = endpoint.fd;
    if (epoll_ctl(server.epoll_fd, EPOLL_CTL_ADD, endpoint.fd, &event)) {
        die("epoll_ctl", strerror(errno));
    }
    endpoint_tell(&endpoint, "epoll", "-");
    serve(&server);
}
