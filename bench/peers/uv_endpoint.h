/* What the servers on libuv share: a listener, and connections whose bytes
 * are read into one buffer of the program and sent at once.
 */
#ifndef UV_ENDPOINT_H
#define UV_ENDPOINT_H

#include <uv.h>

#include "endpoint.h"

/* The first field of each server's own connection. */
typedef union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
} UvStream;

static inline void
uv_check(int result, const char *what)
{
    if (result < 0) {
        die(what, uv_strerror(result));
    }
}

static inline void
uv_stream_init(uv_loop_t *loop, UvStream *stream, bool is_unix)
{
    int result = is_unix ? uv_pipe_init(loop, &stream->pipe, 0)
                         : uv_tcp_init(loop, &stream->tcp);
    uv_check(result, "init");
}

/* Nothing that was read is needed after the read callback: one buffer is
 * enough for all connections. */
static inline void
uv_offer_input(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    static char input[READ_BYTES];
    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init(input, sizeof(input));
}

static inline void
uv_close_once(UvStream *stream, uv_close_cb on_closed)
{
    if (!uv_is_closing(&stream->handle)) {
        uv_close(&stream->handle, on_closed);
    }
}

/* Serves for ever: on_connection is called for each client. */
__attribute__((noreturn)) static inline void
uv_serve(const char *argument,
         uv_connection_cb on_connection,
         const char *name,
         const char *version)
{
    uv_loop_t *loop = uv_default_loop();
    Endpoint endpoint = endpoint_open(argument);
    UvStream listener;
    uv_stream_init(loop, &listener, endpoint.is_unix);
    uv_check(endpoint.is_unix ? uv_pipe_open(&listener.pipe, endpoint.fd)
                              : uv_tcp_open(&listener.tcp, endpoint.fd),
             "open");
    uv_check(uv_listen(&listener.stream, ENDPOINT_BACKLOG, on_connection),
             "listen");
    endpoint_tell(&endpoint, name, version);
    uv_check(uv_run(loop, UV_RUN_DEFAULT), "run");
    exit(0);
}

/* Accepts into the connection's stream. */
static inline void
uv_accept_stream(uv_stream_t *listener, UvStream *stream)
{
    bool is_unix = listener->type == UV_NAMED_PIPE;
    uv_stream_init(listener->loop, stream, is_unix);
    uv_check(uv_accept(listener, &stream->stream), "accept");
    if (!is_unix) {
        uv_check(uv_tcp_nodelay(&stream->tcp, 1), "nodelay");
    }
}

#endif
