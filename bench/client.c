/* The load client of the echo benchmarks.
 *
 *     client ADDRESS PORT --connections N --size BYTES --seconds S
 *     client ADDRESS PORT --connections N --size BYTES --requests N
 *     client unix PATH ...
 *
 * With --tls it speaks TLS, if it was compiled with -DWITH_TLS=1.
 *
 * On each connection it sends a message, waits for the whole answer, compares
 * every byte of it and sends the next one; no message equals the one before.
 * At the end it half-closes each connection, and the server must close its
 * side without another byte. It prints one line of JSON; or, for the first
 * wrong byte, short answer or silent server, one line on stderr and exit code
 * 1. Only loopback addresses are served, and both count and time are bounded,
 * so that it is of no use against anybody else's machine.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#if WITH_TLS
#include <openssl/ssl.h>
#else
typedef void SSL; /* of which there is none */
#endif

enum {
    MAX_CONNECTIONS = 1024,
    MAX_SIZE = 16 * 1024 * 1024,
    MAX_SECONDS = 300,
    MAX_REQUESTS = 100 * 1000 * 1000,
    MAX_PATIENCE = 120,
    /* A message is `size` bytes of one random text, from one of so many
       offsets: nothing is generated while the clock runs. */
    OFFSETS = 4096,
    STRIDE = 61, /* odd, so that all offsets are used in turn */
    RECEIVE_BYTES = 256 * 1024,
    LOOK_AGAIN_MS = 100,
    /* The histogram: so many steps for each power of two, below 1 %. */
    STEP_BITS = 7,
    STEPS = 1 << STEP_BITS,
    BUCKETS = STEPS * (64 - STEP_BITS + 1),
};

static const uint64_t NS = 1000000000; /* in a second */

typedef struct {
    int fd;
    int number;
    SSL *ssl;            /* owned; NULL without TLS */
    bool busy;           /* the answer is not complete */
    bool waits_to_send;  /* EPOLLOUT is asked for */
    bool half_closed;    /* all is answered, only the end may come */
    const char *message; /* borrowed: in Client.text */
    size_t sent;
    size_t received;
    uint64_t began_ns;
    uint64_t requests;
} Connection;

typedef struct {
    long connection_count;
    size_t size;
    uint64_t seconds;      /* 0: count requests */
    uint64_t max_requests; /* 0: until the time is over */
    uint64_t patience;     /* seconds that an answer may take */
    bool wants_tls;

    int epoll_fd;
    bool stopping;
    long open;
    long busy;
    uint64_t started;
    uint64_t answered;
    uint64_t began_ns;
    uint64_t ended_ns;
    uint64_t max_ns;
    char *text;
    char *received;
    Connection connections[MAX_CONNECTIONS];
    uint64_t histogram[BUCKETS];
} Client;

__attribute__((noreturn, format(printf, 1, 2))) static void
fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("client: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static uint64_t
now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
    return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

/* Latencies: a bucket holds what agrees in the STEP_BITS bits below the
   highest one. */

static unsigned
bucket_shift(uint64_t value)
{
    if (value < 2 * (uint64_t)STEPS) {
        return 0;
    }
    return 63U - (unsigned)__builtin_clzll(value) - STEP_BITS;
}

static void
histogram_add(Client *client, uint64_t value)
{
    unsigned shift = bucket_shift(value);
    client->histogram[(uint64_t)shift * STEPS + (value >> shift)]++;
    if (value > client->max_ns) {
        client->max_ns = value;
    }
}

/* Returns the middle of the bucket that the given share of all is within. */
static double
histogram_quantile(const Client *client, double share)
{
    double wanted = share * (double)client->answered;
    uint64_t seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += client->histogram[i];
        if (seen > 0 && (double)seen >= wanted) {
            unsigned shift = i < 2 * STEPS ? 0 : i / STEPS - 1;
            uint64_t low = (uint64_t)(i - shift * STEPS) << shift;
            uint64_t middle = low + (1ULL << shift) / 2;
            return (double)(middle < client->max_ns ? middle : client->max_ns);
        }
    }
    return 0;
}

/* Bytes: over TLS, where a connection has it. As of send and recv, the result
   is -1 with errno set, or 0 at the end. */

#if WITH_TLS

static void
tls_open(Connection *connection)
{
    static SSL_CTX *context; /* of all connections */
    if (!context) {
        context = SSL_CTX_new(TLS_client_method());
        if (!context) {
            fail("libssl: out of memory");
        }
        (void)SSL_CTX_set_mode(context,
                               SSL_MODE_ENABLE_PARTIAL_WRITE |
                                   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        /* Who closes how is not what is measured. */
        (void)SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
        /* One recv for a record, not two. */
        SSL_CTX_set_read_ahead(context, 1);
        SSL_CTX_set_default_read_buffer_len(context, RECEIVE_BYTES);
    }
    connection->ssl = SSL_new(context);
    if (!connection->ssl || !SSL_set_fd(connection->ssl, connection->fd)) {
        fail("libssl: out of memory");
    }
    if (SSL_connect(connection->ssl) != 1) { /* which blocks */
        fail("connection %d: no TLS handshake", connection->number);
    }
}

static ssize_t
tls_result(SSL *ssl, int succeeded, size_t size)
{
    if (succeeded) {
        return (ssize_t)size;
    }
    switch (SSL_get_error(ssl, 0)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        return -1;
    default:
        errno = EPROTO;
        return -1;
    }
}

static ssize_t
stream_send(const Connection *connection, const char *bytes, size_t size)
{
    if (connection->ssl) {
        int done = SSL_write_ex(connection->ssl, bytes, size, &size);
        return tls_result(connection->ssl, done, size);
    }
    return send(connection->fd, bytes, size, MSG_NOSIGNAL);
}

static ssize_t
stream_receive(const Connection *connection, char *bytes, size_t size)
{
    if (connection->ssl) {
        int done = SSL_read_ex(connection->ssl, bytes, size, &size);
        return tls_result(connection->ssl, done, size);
    }
    return recv(connection->fd, bytes, size, 0);
}

/* Whether there are bytes that epoll does not tell of. */
static bool
stream_has_more(const Connection *connection)
{
    return connection->ssl && SSL_has_pending(connection->ssl);
}

static int
stream_half_close(const Connection *connection)
{
    if (connection->ssl) {
        (void)SSL_shutdown(connection->ssl); /* the FIN says it, too */
    }
    return shutdown(connection->fd, SHUT_WR);
}

static void
stream_close(const Connection *connection)
{
    SSL_free(connection->ssl);
    (void)close(connection->fd); /* nothing was left to lose */
}

#else

__attribute__((noreturn)) static void
tls_open(const Connection *connection)
{
    (void)connection;
    fail("--tls: it was compiled without OpenSSL's headers");
}

static ssize_t
stream_send(const Connection *connection, const char *bytes, size_t size)
{
    return send(connection->fd, bytes, size, MSG_NOSIGNAL);
}

static ssize_t
stream_receive(const Connection *connection, char *bytes, size_t size)
{
    return recv(connection->fd, bytes, size, 0);
}

static bool
stream_has_more(const Connection *connection)
{
    (void)connection;
    return false;
}

static int
stream_half_close(const Connection *connection)
{
    return shutdown(connection->fd, SHUT_WR);
}

static void
stream_close(const Connection *connection)
{
    (void)close(connection->fd); /* nothing was left to lose */
}

#endif

/* Connections */

static void
poll_change(Client *client, Connection *connection, int operation)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (connection->waits_to_send) {
        event.events |= EPOLLOUT;
    }
    if (epoll_ctl(client->epoll_fd, operation, connection->fd, &event)) {
        fail("epoll_ctl: %s", strerror(errno));
    }
}

static void
connection_open(Client *client,
                Connection *connection,
                const struct sockaddr *address,
                socklen_t address_size)
{
    int on = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        fail("socket: %s", strerror(errno));
    }
    if (connect(fd, address, address_size)) {
        fail("connect: %s", strerror(errno));
    }
    if (address->sa_family != AF_UNIX &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))) {
        fail("setsockopt: %s", strerror(errno));
    }
    connection->fd = fd;
    connection->number = (int)(connection - client->connections);
    client->open++;
    if (client->wants_tls) {
        tls_open(connection);
    }
    if (fcntl(fd, F_SETFL, O_NONBLOCK)) {
        fail("fcntl: %s", strerror(errno));
    }
    poll_change(client, connection, EPOLL_CTL_ADD);
}

static void
connection_send(Client *client, Connection *connection)
{
    bool waits = false;
    while (connection->sent < client->size) {
        ssize_t n = stream_send(connection,
                                connection->message + connection->sent,
                                client->size - connection->sent);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            waits = true;
            break;
        }
        if (n < 0) {
            fail("connection %d: send: %s",
                 connection->number,
                 strerror(errno));
        }
        connection->sent += (size_t)n;
    }
    if (waits != connection->waits_to_send) {
        connection->waits_to_send = waits;
        poll_change(client, connection, EPOLL_CTL_MOD);
    }
}

/* Sends the next message, or nothing if it was the last one. */
static void
connection_next(Client *client, Connection *connection, uint64_t now)
{
    if (client->max_requests) {
        client->stopping = client->started >= client->max_requests;
    }
    else {
        client->stopping = now - client->began_ns >= client->seconds * NS;
    }
    if (client->stopping) {
        return;
    }
    client->started++;
    client->busy++;
    connection->busy = true;
    connection->message = client->text + ((uint64_t)connection->number +
                                          connection->requests * STRIDE) %
                                             OFFSETS;
    connection->requests++;
    connection->sent = 0;
    connection->received = 0;
    connection->began_ns = now;
    connection_send(client, connection);
}

__attribute__((noreturn)) static void
fail_at_wrong_byte(const Client *client, const Connection *connection)
{
    const char *wanted = connection->message + connection->received;
    size_t i = 0;
    while (client->received[i] == wanted[i]) {
        i++;
    }
    fail("wrong answer: byte %zu of request %" PRIu64
         " on connection %d is 0x%02x, not 0x%02x",
         connection->received + i,
         connection->requests,
         connection->number,
         (unsigned char)client->received[i],
         (unsigned char)wanted[i]);
}

static void
connection_closed(Client *client, Connection *connection)
{
    if (!connection->half_closed) {
        fail("short answer: connection %d was closed after %zu of %zu bytes "
             "of request %" PRIu64,
             connection->number,
             connection->received,
             client->size,
             connection->requests);
    }
    stream_close(connection);
    connection->fd = -1;
    client->open--;
}

/* Returns whether there may be more. */
static bool
connection_receive(Client *client, Connection *connection)
{
    /* One byte more than is due, to see an answer that is too long. */
    size_t due = client->size - connection->received;
    size_t room = due < RECEIVE_BYTES ? due + 1 : RECEIVE_BYTES;
    ssize_t n = stream_receive(connection, client->received, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (n < 0) {
        fail("connection %d: recv: %s", connection->number, strerror(errno));
    }
    if (n == 0) {
        connection_closed(client, connection);
        return false;
    }
    if (!connection->busy ||
        (size_t)n > connection->sent - connection->received) {
        fail("long answer: connection %d got more bytes than it sent in "
             "request %" PRIu64,
             connection->number,
             connection->requests);
    }
    if (memcmp(client->received,
               connection->message + connection->received,
               (size_t)n) != 0) {
        fail_at_wrong_byte(client, connection);
    }
    connection->received += (size_t)n;
    if (connection->received == client->size) {
        uint64_t now = now_ns();
        histogram_add(client, now - connection->began_ns);
        client->answered++;
        client->busy--;
        client->ended_ns = now;
        connection->busy = false;
        connection_next(client, connection, now);
    }
    return stream_has_more(connection);
}

/* The run */

/* Fails if an answer, or the end of a connection, takes too long. */
static void
look_at_time(const Client *client, uint64_t now)
{
    for (long i = 0; i < client->connection_count; i++) {
        const Connection *connection = &client->connections[i];
        if (connection->busy &&
            now - connection->began_ns > client->patience * NS) {
            fail("short answer: connection %d got %zu of %zu bytes of "
                 "request %" PRIu64 " in %" PRIu64 " s",
                 connection->number,
                 connection->received,
                 client->size,
                 connection->requests,
                 client->patience);
        }
    }
    if (client->stopping && !client->busy &&
        now - client->ended_ns > client->patience * NS) {
        fail("%ld connections were not closed by the server in %" PRIu64
             " s after their end",
             client->open,
             client->patience);
    }
}

static void
half_close_all(Client *client)
{
    for (long i = 0; i < client->connection_count; i++) {
        Connection *connection = &client->connections[i];
        connection->half_closed = true;
        if (stream_half_close(connection)) {
            fail("shutdown: %s", strerror(errno));
        }
    }
}

static void
run(Client *client)
{
    struct epoll_event events[64];
    bool half_closed = false;
    uint64_t looked_ns = now_ns();
    client->began_ns = looked_ns;
    client->ended_ns = looked_ns;
    for (long i = 0; i < client->connection_count; i++) {
        connection_next(client, &client->connections[i], now_ns());
    }
    while (client->open) {
        int count = epoll_wait(client->epoll_fd, events, 64, LOOK_AGAIN_MS);
        if (count < 0 && errno != EINTR) {
            fail("epoll_wait: %s", strerror(errno));
        }
        for (int i = 0; i < count; i++) {
            Connection *connection = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) {
                connection_send(client, connection);
            }
            if (events[i].events & ~(uint32_t)EPOLLOUT) {
                while (connection_receive(client, connection)) {
                }
            }
        }
        uint64_t now = now_ns();
        if (now - looked_ns > LOOK_AGAIN_MS * NS / 1000) {
            looked_ns = now;
            look_at_time(client, now);
        }
        if (client->stopping && !client->busy && !half_closed) {
            half_closed = true;
            half_close_all(client);
        }
    }
}

static void
print_results(const Client *client)
{
    double seconds =
        (double)(client->ended_ns - client->began_ns) / (double)NS;
    (void)printf("{\"requests\": %" PRIu64 ", \"seconds\": %.6f, "
                 "\"requests_per_second\": %.1f, \"p50_us\": %.2f, "
                 "\"p90_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f}\n",
                 client->answered,
                 seconds,
                 seconds > 0 ? (double)client->answered / seconds : 0.0,
                 histogram_quantile(client, 0.50) / 1000,
                 histogram_quantile(client, 0.90) / 1000,
                 histogram_quantile(client, 0.99) / 1000,
                 (double)client->max_ns / 1000);
}

/* The command line */

static uint64_t
parse_number(const char *what, const char *text, uint64_t max)
{
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || number < 1 ||
        number > max) {
        fail("%s must be a number from 1 to %" PRIu64 ", not '%s'",
             what,
             max,
             text);
    }
    return number;
}

static socklen_t
parse_path(const char *path, struct sockaddr_storage *address)
{
    struct sockaddr_un *local = (struct sockaddr_un *)address;
    size_t size = strlen(path) + 1;
    if (size == 1 || size > sizeof(local->sun_path)) {
        fail("the path of a socket has 1 to %zu bytes",
             sizeof(local->sun_path) - 1);
    }
    local->sun_family = AF_UNIX;
    memcpy(local->sun_path, path, size);
    return sizeof(*local);
}

/* Sets the address, which must be a literal one of the loopback interface
   (a name could lead anywhere) or `unix` and a path. Returns its size. */
static socklen_t
parse_address(const char *host,
              const char *port_text,
              struct sockaddr_storage *address)
{
    struct sockaddr_in *in4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;
    memset(address, 0, sizeof(*address));
    if (!strcmp(host, "unix")) {
        return parse_path(port_text, address);
    }
    in_port_t port = htons((uint16_t)parse_number("PORT", port_text, 65535));
    if (inet_pton(AF_INET, host, &in4->sin_addr) == 1 &&
        ntohl(in4->sin_addr.s_addr) >> 24 == 127) {
        in4->sin_family = AF_INET;
        in4->sin_port = port;
        return sizeof(*in4);
    }
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1 &&
        IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr)) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = port;
        return sizeof(*in6);
    }
    fail("refused: %s is not a loopback address (127.0.0.1 or ::1)", host);
}

static void
parse_options(Client *client, char **options)
{
    client->patience = 5;
    for (; options[0]; options += 2) {
        const char *name = options[0];
        const char *value = options[1] ? options[1] : "";
        if (!strcmp(name, "--tls")) {
            client->wants_tls = true;
            options--; /* it has no value */
            continue;
        }
        if (!strcmp(name, "--connections")) {
            client->connection_count =
                (long)parse_number(name, value, MAX_CONNECTIONS);
        }
        else if (!strcmp(name, "--size")) {
            client->size = parse_number(name, value, MAX_SIZE);
        }
        else if (!strcmp(name, "--seconds")) {
            client->seconds = parse_number(name, value, MAX_SECONDS);
        }
        else if (!strcmp(name, "--requests")) {
            client->max_requests = parse_number(name, value, MAX_REQUESTS);
        }
        else if (!strcmp(name, "--patience")) {
            client->patience = parse_number(name, value, MAX_PATIENCE);
        }
        else {
            fail("unknown option '%s'", name);
        }
        if (!options[1]) {
            break;
        }
    }
    if (!client->connection_count || !client->size) {
        fail("--connections and --size are needed");
    }
    if (!client->seconds == !client->max_requests) {
        fail("one of --seconds and --requests is needed");
    }
}

static void
on_alarm(int signal_number)
{
    static const char message[] = "client: the time is over\n";
    (void)signal_number;
    /* Only what is safe in a signal handler. */
    ssize_t ignored = write(STDERR_FILENO, message, sizeof(message) - 1);
    (void)ignored;
    _exit(1);
}

static void
make_text(Client *client)
{
    uint64_t state = 0x9e3779b97f4a7c15ULL;
    size_t size = client->size + OFFSETS;
    client->text = malloc(size);
    client->received = malloc(RECEIVE_BYTES + 1);
    client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!client->text || !client->received || client->epoll_fd < 0) {
        fail("out of memory or files");
    }
    for (size_t i = 0; i < size; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        client->text[i] = (char)(state >> 32);
    }
}

int
main(int argc, char **argv)
{
    static Client client; /* zeroed; too large for the stack */
    struct sockaddr_storage address;
    if (argc < 3) {
        fail("usage: client (ADDRESS PORT | unix PATH) --connections N "
             "--size BYTES (--seconds S | --requests N) [--patience S] "
             "[--tls]");
    }
    socklen_t address_size = parse_address(argv[1], argv[2], &address);
    parse_options(&client, argv + 3);
    make_text(&client);

    /* Whatever happens, it ends: also if connect() blocks. */
    uint64_t limit = client.seconds ? client.seconds : MAX_SECONDS;
    (void)signal(SIGALRM, on_alarm); /* cannot fail for SIGALRM */
    (void)alarm((unsigned)(limit + 3 * client.patience));

    for (long i = 0; i < client.connection_count; i++) {
        connection_open(&client,
                        &client.connections[i],
                        (struct sockaddr *)&address,
                        address_size);
    }
    run(&client);
    print_results(&client);
    return 0;
}
