/* tls.h - TLS between a transport and a protocol.
 *
 *   application protocol <- SSLTransport -> SSLProtocol <- lower transport
 *
 * SSLProtocol is the lower transport's protocol and all of the state: it
 * works the ssl module's object and its two memory BIOs, in C, without a
 * Python frame per record. SSLTransport is what the application has. The
 * lower one may be any transport, another SSLTransport too: it is reached by
 * its methods, and reads into its loop's buffers, so that an idle connection
 * has none of its own.
 *
 *   NEW -> HANDSHAKE -> OPEN -> FLUSHING -> SHUTDOWN -> ENDED -> LOST
 *
 * FLUSHING: closing, what was written goes out first. SHUTDOWN: close_notify
 * is sent, the peer's is waited for; what else comes is thrown away, up to a
 * limit. ENDED: the lower transport is closing. LOST: it is gone. What fails
 * goes to ENDED at once.
 *
 *   tls.c            the type SSLProtocol; what the lower transport calls
 *   tls_phases.c     handshake, shutdown, the end
 *   tls_read.c       from the BIO to the protocol
 *   tls_write.c      from write() to the lower transport; flow control
 *   tls_calls.c      the calls to the protocol, and what they raise
 *   tls_transport.c  the type SSLTransport
 *
 * Unless said otherwise functions run Python code, and return 0, or -1 with
 * what is nobody's but the caller's to see to: KeyboardInterrupt and the like,
 * which end the run and not the connection. All else ends the connection.
 */
#ifndef UVLOOP_CORE_TLS_H
#define UVLOOP_CORE_TLS_H

#include "loop.h"
#include "transport.h"

/* asyncio's constants. */
#define TLS_WRITE_HIGH_WATER ((size_t)512 * 1024)
#define TLS_READ_HIGH_WATER ((size_t)256 * 1024)

typedef enum {
    TLS_NEW,
    TLS_HANDSHAKE,
    TLS_OPEN,
    TLS_FLUSHING,
    TLS_SHUTDOWN,
    TLS_ENDED,
    TLS_LOST,
} TlsPhase;

/* What the application's protocol has been told. */
typedef enum {
    TLS_TOLD_NOTHING,
    TLS_TOLD_MADE,
    TLS_TOLD_EOF,
    TLS_TOLD_LOST,
} TlsTold;

/* What was written and is not encrypted yet. */
typedef struct {
    PyObject *items; /* owned: a list of bytes objects, or NULL */
    size_t size;     /* bytes of all of them that are left */
    size_t skip;     /* bytes of the first one that are not */
} TlsBacklog;

typedef struct {
    PyObject_HEAD
    Loop *loop;          /* owned */
    PyObject *protocol;  /* owned: the application's; NULL once lost */
    PyObject *transport; /* owned: the SSLTransport; NULL once lost */
    PyObject *lower;     /* owned: NULL before connection_made */
    PyObject *context;   /* owned: where the protocol is called, the lower
                            transport's; NULL: wherever we are called */
    PyObject *waiter;    /* owned: a future, or NULL */
    PyObject *ssl;       /* owned: ssl.SSLObject */
    PyObject *raw;       /* owned: what of it reads and writes */
    PyObject *incoming;  /* owned: its ssl.MemoryBIO, as the next one */
    PyObject *outgoing;
    PyObject *sslcontext; /* owned: as it was given */
    PyObject *peercert;   /* owned: for get_extra_info, as the next two; NULL
                             before the end of the handshake */
    PyObject *cipher;
    PyObject *compression;
    PyObject *handshake_timeout; /* owned: a number, as the next one */
    PyObject *shutdown_timeout;
    TimerCallback *timer; /* owned: of the handshake, then of the end; NULL */
    TlsBacklog backlog;
    Limits write_limits;
    Limits read_limits; /* of what is not decrypted */
    size_t discarded;   /* bytes thrown away in SHUTDOWN */
    int64_t began;      /* nanoseconds: the handshake */
    int drops;          /* writes since the end */
    unsigned nested;    /* calls from inside Python code that run now */
    TlsPhase phase;
    TlsTold told;
    bool is_raw;        /* raw is the C object: it keeps no reference to what
                           it reads into or writes from */
    bool fills_buffers; /* the protocol is a BufferedProtocol */
    bool closing;       /* close(), abort() or the end */
    bool waits;         /* the first data waits for who waits for us */
    bool paused;        /* pause_reading() */
    bool reads_soon;    /* tls_read is in the ready ring */
    bool leftover;      /* raw has decrypted more than it was asked for */
    bool lower_paused;  /* we have paused the lower transport's reading */
    bool write_paused;  /* pause_writing() was called */
    bool lower_full;    /* the lower transport takes no more */
    bool notified;      /* close_notify has come */
    bool eof;           /* the lower transport's end has come */
} Tls;

/* What the application has. */
typedef struct {
    PyObject_HEAD
    PyObject *extra; /* owned: asyncio's slot `_extra`, or NULL */
    Tls *tls;        /* owned */
    PyObject *weakrefs;
} SslTransport;

static inline State *
tls_state(const Tls *tls)
{
    return tls->loop->st;
}

static inline PyObject *
tls_name(const Tls *tls, NameIndex name)
{
    return tls->loop->st->names[name];
}

/* ---- tls_calls.c ---- */

/* A call to the application's protocol, in its context: new reference, or
 * NULL with what it raised. `arg` may be NULL. */
PyObject *tls_call_protocol(Tls *tls, NameIndex name, PyObject *arg);

/* A method of anything, without an argument or with one (NULL: without). */
PyObject *tls_call(Tls *tls, PyObject *object, NameIndex name, PyObject *arg);

/* The same where the result does not matter: 0, or -1 with what it raised. */
int tls_do(Tls *tls, PyObject *object, NameIndex name, PyObject *arg);

/* Have the function of `def` called in a later turn; 0 or -1. */
int tls_call_soon(Tls *tls, PyMethodDef *def);

/* The pending exception is the connection's end, with this message; unless
 * it is for the caller: then -1. */
int tls_fail(Tls *tls, const char *message);

/* The same with an exception of ours; `text` is its text. */
int tls_fail_with(Tls *tls, PyObject *type, const char *text);

/* An Exception of the protocol's in a call after which the connection lives
 * on goes to the exception handler; else -1. */
int tls_report(Tls *tls, const char *message);

/* asyncio's debug log, in debug mode: "%r<text>" of this. Keeps a pending
 * exception. */
void tls_debug(Tls *tls, const char *text, PyObject *exc);

/* The handshake's waiter gets None, or the exception. Reports what goes
 * wrong. */
void tls_wake(Tls *tls, PyObject *exc);

/* ---- tls_phases.c ---- */

/* The lower transport is there: the handshake begins. */
int tls_connect(Tls *tls, PyObject *lower);

/* More of the handshake has come, or of the shutdown. */
int tls_shake_hands(Tls *tls);
int tls_continue_shutdown(Tls *tls);

/* close(), or the peer's end: FLUSHING. */
int tls_start_shutdown(Tls *tls);

/* ENDED: what is buffered is lost. `exc` is for connection_lost, borrowed, or
 * None. Consumes nothing; reports what goes wrong. */
void tls_abort(Tls *tls, PyObject *exc);

/* LOST: the lower transport's connection_lost. Reports what goes wrong. */
void tls_lose(Tls *tls, PyObject *exc);

/* Runs Python code by dropping a reference. */
void tls_stop_timer(Tls *tls);

/* eof_received, if it was not called before. */
int tls_tell_eof(Tls *tls);

/* ---- tls_read.c ---- */

/* Ciphertext that has come. */
int tls_receive(Tls *tls, PyObject *data);

/* Decrypt what there is and give it to the protocol, unless it is paused;
 * then what the peer's end has to do with it. */
int tls_read(Tls *tls);

/* Have that called in a later turn. */
int tls_read_soon(Tls *tls);

/* The lower transport's end, with nothing more to come. */
int tls_receive_eof(Tls *tls);

/* Throw away what there is, and note a close_notify: 0; or -1 with any
 * exception. */
int tls_discard(Tls *tls);

/* Bytes that are not decrypted yet; -1 with any exception. */
Py_ssize_t tls_unread(Tls *tls);

/* Pause or resume the lower transport by how much is not decrypted. */
int tls_control_reading(Tls *tls);

/* ---- tls_write.c ---- */

/* write(): object is a bytes-like object of which data and size are the
 * memory. */
int tls_write(Tls *tls, PyObject *object, const char *data, size_t size);

/* Queue it; 0, or -1 with MemoryError. */
int tls_queue(Tls *tls, PyObject *object, const char *data, size_t size);

/* Encrypt what is queued, if the lower transport takes more, and give it to
 * it: 0; or -1 with any exception. */
int tls_flush(Tls *tls);

/* The same, and tell the protocol if that has made room, or if there is too
 * much. */
int tls_send(Tls *tls);

/* What was written and is not with the lower transport; -1 with any
 * exception. */
Py_ssize_t tls_unsent(Tls *tls);

/* pause_writing() or resume_writing() of the protocol, if it is due. */
int tls_control_writing(Tls *tls);

void tls_drop_backlog(Tls *tls);

/* ---- tls_transport.c ---- */

/* New reference, or NULL. Runs no Python code. */
PyObject *tls_make_transport(Tls *tls);

int tls_register_transport(PyObject *module, State *st);

/* ---- tls.c ---- */

/* Create the types and the function make_tls; 0 or -1. */
int tls_register(PyObject *module, State *st);

#endif
