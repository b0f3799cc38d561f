/* The ceiling of HTTP: libuv and llhttp. `http_uv ENDPOINT`
 *
 * GET /bytes/N answers N bytes. The answers to all requests of one read (they
 * may be pipelined) go out in one write, the bodies from a block that all
 * share: no byte of a body is copied.
 */
#include <llhttp.h>

#include "uv_endpoint.h"

enum {
    MAX_BODY = 16 * 1024 * 1024,
    MAX_TARGET = 256,
    MAX_HEAD = 128,
    ANSWERS = 64, /* that one write takes */
};

/* Answers that are not sent yet: for each a head and a body. */
typedef struct {
    unsigned count;
    char heads[ANSWERS][MAX_HEAD];
    uv_buf_t buffers[ANSWERS][2];
} Answers;

typedef struct {
    UvStream stream; /* first: handles are cast to it */
    llhttp_t parser;
    unsigned unsent; /* writes that libuv has not ended */
    bool is_last;    /* it is closed when all is written */
    size_t target_size;
    char target[MAX_TARGET];
} Connection;

typedef struct {
    uv_write_t request;
    uv_buf_t buffers[2 * ANSWERS];
    char heads[ANSWERS][MAX_HEAD]; /* that its buffers point to */
} Write;

/* A head, up to its number. */
typedef struct {
    const char *text;
    size_t size;
} Status;

static const char ok_text[] = "HTTP/1.1 200 OK\r\n"
                              "Content-Type: application/octet-stream\r\n"
                              "Content-Length: ";
static const char not_found_text[] = "HTTP/1.1 404 Not Found\r\n"
                                     "Content-Length: ";
static const char bad_text[] = "HTTP/1.1 400 Bad Request\r\n"
                               "Content-Length: ";
static const Status ok = {ok_text, sizeof(ok_text) - 1};
static const Status not_found = {not_found_text, sizeof(not_found_text) - 1};
static const Status bad = {bad_text, sizeof(bad_text) - 1};

static char block[MAX_BODY]; /* all bytes in turn */
static Answers answers;      /* of the read that is being parsed */

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
    free(request->data);
    connection->unsent--;
    if (status < 0 || (connection->is_last && !connection->unsent)) {
        uv_close_once(&connection->stream, on_closed);
    }
    else if (!connection->unsent && !connection->is_last) {
        uv_check(
            uv_read_start(&connection->stream.stream, uv_offer_input, on_read),
            "read");
    }
}

/* Hands to libuv what is left when so many bytes are sent. Heads are copied,
   since the next read uses `answers` again. */
static int
write_rest(Connection *connection, size_t sent)
{
    Write *write = allocate(sizeof(*write));
    unsigned count = 0;
    write->request.data = write;
    for (unsigned i = 0; i < answers.count; i++) {
        memcpy(write->heads[i], answers.heads[i], MAX_HEAD);
        answers.buffers[i][0].base = write->heads[i];
        for (unsigned j = 0; j < 2; j++) {
            uv_buf_t rest = answers.buffers[i][j];
            size_t skipped = sent < rest.len ? sent : rest.len;
            sent -= skipped;
            rest.base += skipped;
            rest.len -= skipped;
            if (rest.len) {
                write->buffers[count++] = rest;
            }
        }
    }
    connection->unsent++;
    (void)uv_read_stop(&connection->stream.stream); /* always 0 */
    return uv_write(&write->request,
                    &connection->stream.stream,
                    write->buffers,
                    count,
                    on_written);
}

/* Sends all answers; returns an error of libuv, or 0. */
static int
send_answers(Connection *connection)
{
    size_t size = 0;
    int sent = 0;
    for (unsigned i = 0; i < answers.count; i++) {
        size += answers.buffers[i][0].len + answers.buffers[i][1].len;
    }
    if (size && !connection->unsent) { /* not before what waits */
        sent = uv_try_write(
            &connection->stream.stream, answers.buffers[0], 2 * answers.count);
        if (sent == UV_EAGAIN) {
            sent = 0;
        }
    }
    if (sent >= 0) {
        bool is_complete = (size_t)sent == size;
        sent = is_complete ? 0 : write_rest(connection, (size_t)sent);
    }
    answers.count = 0;
    return sent;
}

/* Returns N of /bytes/N?anything, or -1. */
static long
body_size(const char *target, size_t size)
{
    static const char prefix[] = "/bytes/";
    size_t i = sizeof(prefix) - 1;
    long number = 0;
    if (size <= i || memcmp(target, prefix, i) != 0) {
        return -1;
    }
    for (; i < size && target[i] >= '0' && target[i] <= '9'; i++) {
        number = number * 10 + (target[i] - '0');
        if (number > MAX_BODY) {
            return -1;
        }
    }
    return i == size || target[i] == '?' ? number : -1;
}

/* Writes the number's digits, returns where they end. */
static char *
put_number(char *end, unsigned long number)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    while (count) {
        *end++ = digits[--count];
    }
    return end;
}

static void
add_answer(const Status *status, long size)
{
    static const char ending[] = "\r\n\r\n";
    char *head = answers.heads[answers.count];
    memcpy(head, status->text, status->size);
    char *end = put_number(head + status->size, (unsigned long)size);
    memcpy(end, ending, sizeof(ending) - 1);
    end += sizeof(ending) - 1;
    uv_buf_t *buffers = answers.buffers[answers.count++];
    buffers[0] = uv_buf_init(head, (unsigned)(end - head));
    buffers[1] = uv_buf_init(block, (unsigned)size);
}

static int
on_message_begin(llhttp_t *parser)
{
    Connection *connection = parser->data;
    connection->target_size = 0;
    return 0;
}

/* The target may come in pieces; one that is too long is not found. */
static int
on_url(llhttp_t *parser, const char *at, size_t length)
{
    Connection *connection = parser->data;
    size_t room = MAX_TARGET - connection->target_size;
    size_t size = length < room ? length : room;
    memcpy(connection->target + connection->target_size, at, size);
    connection->target_size += size;
    return 0;
}

static int
on_message_complete(llhttp_t *parser)
{
    Connection *connection = parser->data;
    long size = parser->method == HTTP_GET
                    ? body_size(connection->target, connection->target_size)
                    : -1;
    if (size < 0) {
        add_answer(&not_found, 0);
    }
    else {
        add_answer(&ok, size);
    }
    if (!llhttp_should_keep_alive(parser)) {
        connection->is_last = true;
    }
    /* Broken connections are found when the rest is sent. */
    if (answers.count == ANSWERS && send_answers(connection)) {
        connection->is_last = true;
    }
    return connection->is_last ? HPE_PAUSED : 0;
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    Connection *connection = (Connection *)stream;
    if (n < 0) {
        uv_close_once(&connection->stream, on_closed);
        return;
    }
    llhttp_errno_t error =
        llhttp_execute(&connection->parser, buffer->base, (size_t)n);
    if (error != HPE_OK && error != HPE_PAUSED) {
        add_answer(&bad, 0);
        connection->is_last = true;
    }
    if (send_answers(connection) ||
        (connection->is_last && !connection->unsent)) {
        uv_close_once(&connection->stream, on_closed);
    }
}

static void
on_connection(uv_stream_t *listener, int status)
{
    static const llhttp_settings_t settings = {
        .on_message_begin = on_message_begin,
        .on_url = on_url,
        .on_message_complete = on_message_complete,
    };
    uv_check(status, "connection");
    Connection *connection = allocate(sizeof(*connection));
    llhttp_init(&connection->parser, HTTP_REQUEST, &settings);
    connection->parser.data = connection;
    connection->unsent = 0;
    connection->is_last = false;
    connection->target_size = 0;
    uv_accept_stream(listener, &connection->stream);
    uv_check(
        uv_read_start(&connection->stream.stream, uv_offer_input, on_read),
        "read");
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        die("usage", "http_uv ENDPOINT");
    }
    for (size_t i = 0; i < sizeof(block); i++) {
        block[i] = (char)i;
    }
    uv_serve(argv[1], on_connection, "libuv, llhttp", uv_version_string());
}
