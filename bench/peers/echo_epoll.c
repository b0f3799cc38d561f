/* The ceiling of echo: nothing but epoll. `echo_epoll ENDPOINT`
 *
 * A message takes one read and one send, a batch of ready connections one
 * epoll_wait. What the kernel does not take at once stays in the buffer that
 * it was read into: the connection keeps that buffer, no byte is copied, and
 * nothing is read from it until all is sent.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "endpoint.h"

enum {
    EVENTS = 512,
};

typedef struct Buffer {
    struct Buffer *next; /* of the free ones */
    char bytes[READ_BYTES];
} Buffer;

typedef struct {
    int fd;
    Buffer *unsent; /* owned; NULL when it may read */
    size_t begin;
    size_t end;
} Connection;

typedef struct {
    int epoll_fd;
    int listener;
    Buffer *free;
} Server;

static Buffer *
buffer_take(Server *server)
{
    Buffer *buffer = server->free;
    if (!buffer) {
        return allocate(sizeof(*buffer));
    }
    server->free = buffer->next;
    return buffer;
}

static void
buffer_give(Server *server, Buffer *buffer)
{
    buffer->next = server->free;
    server->free = buffer;
}

static void
connection_close(Server *server, Connection *connection)
{
    if (connection->unsent) {
        buffer_give(server, connection->unsent);
    }
    (void)close(connection->fd); /* epoll forgets it, too */
    free(connection);
}

static void
connection_poll(const Server *server, Connection *connection, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event)) {
        die("epoll_ctl", strerror(errno));
    }
}

/* Sends from the buffer, returns what is left of it, or -1 if the connection
   is broken. */
static ssize_t
send_some(const Connection *connection, const char *bytes, size_t size)
{
    ssize_t n = send(connection->fd, bytes, size, MSG_NOSIGNAL);
    if (n < 0) {
        return errno == EAGAIN ? (ssize_t)size : -1;
    }
    return (ssize_t)size - n;
}

static void
on_readable(Server *server, Connection *connection)
{
    Buffer *buffer = buffer_take(server);
    ssize_t n = read(connection->fd, buffer->bytes, READ_BYTES);
    ssize_t left = n > 0 ? send_some(connection, buffer->bytes, (size_t)n) : 0;
    if (left > 0) {
        connection->unsent = buffer;
        connection->begin = (size_t)(n - left);
        connection->end = (size_t)n;
        connection_poll(server, connection, EPOLLOUT);
        return;
    }
    buffer_give(server, buffer);
    if (n == 0 || left < 0 || (n < 0 && errno != EAGAIN)) {
        connection_close(server, connection);
    }
}

static void
on_writable(Server *server, Connection *connection)
{
    size_t size = connection->end - connection->begin;
    ssize_t left = send_some(
        connection, connection->unsent->bytes + connection->begin, size);
    if (left < 0) {
        connection_close(server, connection);
        return;
    }
    connection->begin = connection->end - (size_t)left;
    if (left == 0) {
        buffer_give(server, connection->unsent);
        connection->unsent = NULL;
        connection_poll(server, connection, EPOLLIN);
    }
}

static void
accept_all(const Server *server)
{
    int fd;
    while ((fd = accept4(server->listener,
                         NULL,
                         NULL,
                         SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        Connection *connection = allocate(sizeof(*connection));
        *connection = (Connection){.fd = fd};
        struct epoll_event event = {
            .events = EPOLLIN,
            .data.ptr = connection,
        };
        if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
            die("epoll_ctl", strerror(errno));
        }
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
    if (argc != 2) {
        die("usage", "echo_epoll ENDPOINT");
    }
    Endpoint endpoint = endpoint_open(argv[1]);
    Server server = {
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
        .listener = endpoint.fd,
    };
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(server.epoll_fd, EPOLL_CTL_ADD, endpoint.fd, &event)) {
        die("epoll_ctl", strerror(errno));
    }
    endpoint_tell(&endpoint, "epoll", "-");
    serve(&server);
}
