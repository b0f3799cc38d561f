/* The ceiling of echo on libuv. `echo_uv ENDPOINT`
 *
 * A message takes one read, into a buffer that all connections share, and one
 * uv_try_write. What is not sent at once is copied, and nothing is read from
 * that connection until libuv has written it.
 */
#include "uv_endpoint.h"

typedef struct {
    UvStream stream; /* first: handles are cast to it */
    uv_write_t request;
    char *unsent; /* owned; NULL when it may read */
} Connection;

static void
on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer);

static void
on_written(uv_write_t *request, int status)
{
    Connection *connection = (Connection *)request->handle;
    free(connection->unsent);
    connection->unsent = NULL;
    if (status < 0 ||
        uv_read_start(&connection->stream.stream, uv_offer_input, on_read)) {
        uv_close_once(&connection->stream, on_closed);
    }
}

/* Returns an error of libuv, or 0. */
static int
connection_send(Connection *connection, char *bytes, size_t size)
{
    uv_stream_t *stream = &connection->stream.stream;
    uv_buf_t all = uv_buf_init(bytes, (unsigned)size);
    int sent = uv_try_write(stream, &all, 1);
    if (sent == UV_EAGAIN) {
        sent = 0;
    }
    if (sent < 0 || (size_t)sent == size) {
        return sent < 0 ? sent : 0;
    }
    size -= (size_t)sent;
    connection->unsent = allocate(size);
    memcpy(connection->unsent, bytes + sent, size);
    uv_buf_t rest = uv_buf_init(connection->unsent, (unsigned)size);
    (void)uv_read_stop(stream); /* always 0 */
    return uv_write(&connection->request, stream, &rest, 1, on_written);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    Connection *connection = (Connection *)stream;
    if (n < 0 ||
        (n > 0 && connection_send(connection, buffer->base, (size_t)n))) {
        uv_close_once(&connection->stream, on_closed);
    }
}

static void
on_connection(uv_stream_t *listener, int status)
{
    uv_check(status, "connection");
    Connection *connection = allocate(sizeof(*connection));
    connection->unsent = NULL;
    uv_accept_stream(listener, &connection->stream);
    uv_check(
        uv_read_start(&connection->stream.stream, uv_offer_input, on_read),
        "read");
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        die("usage", "echo_uv ENDPOINT");
    }
    uv_serve(argv[1], on_connection, "libuv", uv_version_string());
}
