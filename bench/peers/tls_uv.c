/* The ceiling of echo over TLS: libuv and libssl.
 * `tls_uv CERTIFICATE KEY ENDPOINT`
 *
 * libssl reads what libuv has read, and writes into one buffer, which goes
 * out in one write for all records of a read: no BIO of memory stands between
 * them, and each byte is copied by the cipher alone.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "uv_endpoint.h"

enum {
    RECORD_BYTES = 16 * 1024, /* the most that a record holds */
};

typedef struct {
    char *bytes; /* owned; NULL until something is written */
    size_t size;
    size_t capacity;
} Output;

typedef struct {
    UvStream stream; /* first: handles are cast to it */
    uv_write_t request;
    SSL *ssl;     /* owned */
    char *unsent; /* owned; NULL when it may read */
    bool is_last; /* it is closed when all is written */
} Connection;

/* Of the connection that is being served: what libssl has not read yet, and
   what it has written. */
static const char *input;
static size_t input_size;
static Output output;

static SSL_CTX *context;
static BIO_METHOD *method;

/* The BIO between libssl and libuv */

static int
bio_read(BIO *bio, char *bytes, size_t size, size_t *read_size)
{
    BIO_clear_retry_flags(bio);
    if (!input_size) {
        BIO_set_retry_read(bio);
        return 0;
    }
    size = size < input_size ? size : input_size;
    memcpy(bytes, input, size);
    input += size;
    input_size -= size;
    *read_size = size;
    return 1;
}

static int
bio_write(BIO *bio, const char *bytes, size_t size, size_t *written)
{
    BIO_clear_retry_flags(bio);
    if (output.capacity - output.size < size) {
        size_t capacity = output.size + size + READ_BYTES;
        char *larger = realloc(output.bytes, capacity);
        if (!larger) {
            die("realloc", "out of memory");
        }
        output.bytes = larger;
        output.capacity = capacity;
    }
    memcpy(output.bytes + output.size, bytes, size);
    output.size += size;
    *written = size;
    return 1;
}

static long
bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

/* Connections */

static void
on_closed(uv_handle_t *handle)
{
    Connection *connection = (Connection *)handle;
    SSL_free(connection->ssl); /* and its BIO */
    free(connection);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer);

static void
on_written(uv_write_t *request, int status)
{
    Connection *connection = (Connection *)request->handle;
    free(connection->unsent);
    connection->unsent = NULL;
    if (status < 0 || connection->is_last ||
        uv_read_start(&connection->stream.stream, uv_offer_input, on_read)) {
        uv_close_once(&connection->stream, on_closed);
    }
}

/* Sends the output; what is not sent at once takes the buffer with it.
   Returns an error of libuv, or 0. */
static int
send_output(Connection *connection)
{
    uv_stream_t *stream = &connection->stream.stream;
    uv_buf_t all = uv_buf_init(output.bytes, (unsigned)output.size);
    if (!output.size) {
        return 0;
    }
    int sent = uv_try_write(stream, &all, 1);
    output.size = 0;
    if (sent == UV_EAGAIN) {
        sent = 0;
    }
    if (sent < 0 || (size_t)sent == all.len) {
        return sent < 0 ? sent : 0;
    }
    uv_buf_t rest =
        uv_buf_init(all.base + sent, (unsigned)all.len - (unsigned)sent);
    connection->unsent = output.bytes;
    output = (Output){.bytes = NULL};
    (void)uv_read_stop(stream); /* always 0 */
    return uv_write(&connection->request, stream, &rest, 1, on_written);
}

/* Decrypts the input and encrypts it again; also shakes hands. Returns false
   when the connection has ended, by its peer or by an error. */
static bool
echo_records(SSL *ssl)
{
    static char plain[RECORD_BYTES];
    size_t size;
    ERR_clear_error();
    while (SSL_read_ex(ssl, plain, sizeof(plain), &size)) {
        if (!SSL_write_ex(ssl, plain, size, &size)) {
            return false;
        }
    }
    int error = SSL_get_error(ssl, 0);
    if (error == SSL_ERROR_ZERO_RETURN) {
        (void)SSL_shutdown(ssl); /* answers close_notify, if it can */
    }
    return error == SSL_ERROR_WANT_READ;
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    Connection *connection = (Connection *)stream;
    if (n < 0) {
        uv_close_once(&connection->stream, on_closed);
        return;
    }
    input = buffer->base;
    input_size = (size_t)n;
    connection->is_last = !echo_records(connection->ssl);
    if (send_output(connection) ||
        (connection->is_last && !connection->unsent)) {
        uv_close_once(&connection->stream, on_closed);
    }
}

static void
on_connection(uv_stream_t *listener, int status)
{
    uv_check(status, "connection");
    Connection *connection = allocate(sizeof(*connection));
    connection->unsent = NULL;
    connection->is_last = false;
    connection->ssl = SSL_new(context);
    BIO *bio = BIO_new(method);
    if (!connection->ssl || !bio) {
        die("SSL_new", "out of memory");
    }
    BIO_set_init(bio, 1);
    SSL_set_bio(connection->ssl, bio, bio);
    SSL_set_accept_state(connection->ssl);
    uv_accept_stream(listener, &connection->stream);
    uv_check(
        uv_read_start(&connection->stream.stream, uv_offer_input, on_read),
        "read");
}

int
main(int argc, char **argv)
{
    if (argc != 4) {
        die("usage", "tls_uv CERTIFICATE KEY ENDPOINT");
    }
    context = SSL_CTX_new(TLS_server_method());
    method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "libuv");
    if (!context || !method || !BIO_meth_set_read_ex(method, bio_read) ||
        !BIO_meth_set_write_ex(method, bio_write) ||
        !BIO_meth_set_ctrl(method, bio_control)) {
        die("libssl", "out of memory");
    }
    if (SSL_CTX_use_certificate_chain_file(context, argv[1]) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, argv[2], SSL_FILETYPE_PEM) != 1) {
        die("libssl", "the certificate or its key cannot be read");
    }
    uv_serve(argv[3],
             on_connection,
             "libuv, libssl",
             OpenSSL_version(OPENSSL_VERSION_STRING));
}
