/* state.h - the module's state: types, imported objects, interned names.
 *
 * Three arrays indexed by an enum, so that visiting and clearing are loops
 * and a forgotten entry fails at import instead of leaking.
 */
#ifndef UVLOOP_CORE_STATE_H
#define UVLOOP_CORE_STATE_H

#include "compat.h"

typedef enum {
    TYPE_HANDLE,
    TYPE_TIMER_HANDLE,
    TYPE_LOOP,
    TYPE_TCP_TRANSPORT,
    TYPE_UNIX_TRANSPORT,
    TYPE_READ_PIPE,
    TYPE_WRITE_PIPE,
    TYPE_LISTENER,
    TYPE_SERVER,
    TYPE_UDP_TRANSPORT,
    TYPE_FS_EVENT,
    TYPE_WAITER,
    TYPE_READING,
    TYPE_STREAM_READER,
    TYPE_DIAL,
    TYPE_SSL_PROTOCOL,
    TYPE_SSL_TRANSPORT,
    TYPE_COUNT,
} TypeIndex;

/* What is imported once: classes and functions of the standard library. */
typedef enum {
    OBJECT_AF_INET,
    OBJECT_AF_INET6,
    OBJECT_ASYNCIO_DATAGRAM_TRANSPORT,
    OBJECT_ASYNCIO_HANDLE,
    OBJECT_ASYNCIO_THREADSAFE_HANDLE,
    OBJECT_ASYNCIO_TIMER_HANDLE,
    OBJECT_ASYNCIO_READ_TRANSPORT,
    OBJECT_ASYNCIO_TRANSPORT,
    OBJECT_BUFFERED_PROTOCOL,
    OBJECT_CANCELLED_ERROR,
    OBJECT_EXTRACT_STACK,
    OBJECT_FORMAT_CALLBACK,
    OBJECT_FUTURE,
    OBJECT_GET_RUNNING_LOOP,
    OBJECT_INVALID_STATE,
    OBJECT_ISCOROUTINE,
    OBJECT_ISCOROUTINEFUNCTION,
    OBJECT_LOCK,
    OBJECT_LOGGER,
    OBJECT_PROTOCOL,
    OBJECT_SOCKET,
    OBJECT_SOCK_DGRAM,
    OBJECT_SOCK_RAW,
    OBJECT_SOCK_STREAM,
    OBJECT_SSL_CERTIFICATE_ERROR,
    OBJECT_SSL_ERROR,
    OBJECT_SSL_OBJECT,
    OBJECT_SSL_SYSCALL,
    OBJECT_SSL_WANT_READ,
    OBJECT_SSL_ZERO_RETURN,
    OBJECT_STREAMS_NAMES,
    OBJECT_STREAM_DATA_RECEIVED,
    OBJECT_STREAM_READER,
    OBJECT_STREAM_READER_PROTOCOL,
    OBJECT_TASK,
    OBJECT_TRANSPORT_SOCKET,
    OBJECT_COUNT,
} ObjectIndex;

typedef enum {
    NAME_EMPTY,
    NAME_abort,
    NAME_acquire,
    NAME_addr,
    NAME_address,
    NAME_buffer_updated,
    NAME_call_exception_handler,
    NAME_callback,
    NAME_cancelled,
    NAME_check_fd,
    NAME_check_socket,
    NAME_cipher,
    NAME_class,
    NAME_close,
    NAME_closed,
    NAME_compression,
    NAME_connected,
    NAME_connection_lost,
    NAME_connection_made,
    NAME_context,
    NAME_coro,
    NAME_create_by_factory,
    NAME_create_future,
    NAME_data,
    NAME_data_received,
    NAME_datagram_received,
    NAME_debug,
    NAME_default,
    NAME_delay,
    NAME_detach,
    NAME_do_handshake,
    NAME_done,
    NAME_eof_received,
    NAME_error_received,
    NAME_exc_info,
    NAME_exception,
    NAME_feed_data,
    NAME_fileno,
    NAME_force_close,
    NAME_get_buffer,
    NAME_get_extra_info,
    NAME_getpeercert,
    NAME_handle,
    NAME_handshake_timeout,
    NAME_high,
    NAME_incoming,
    NAME_io_refs,
    NAME_is_closing,
    NAME_loop,
    NAME_low,
    NAME_message,
    NAME_msg,
    NAME_name,
    NAME_outgoing,
    NAME_pause_reading,
    NAME_pause_writing,
    NAME_paused,
    NAME_peercert,
    NAME_peername,
    NAME_pending,
    NAME_pipe,
    NAME_protocol,
    NAME_protocol_paused,
    NAME_read,
    NAME_reader_buffer,
    NAME_reader_eof,
    NAME_reader_exception,
    NAME_reader_limit,
    NAME_reader_loop,
    NAME_reader_maybe_resume,
    NAME_reader_paused,
    NAME_reader_transport,
    NAME_reader_wait_for_data,
    NAME_reader_waiter,
    NAME_reader_wakeup,
    NAME_readexactly,
    NAME_readline,
    NAME_readuntil,
    NAME_recv,
    NAME_release,
    NAME_resume_reading,
    NAME_resume_writing,
    NAME_server,
    NAME_set_exception,
    NAME_set_result,
    NAME_shutdown_timeout,
    NAME_slow_callback,
    NAME_sock,
    NAME_socket,
    NAME_sockname,
    NAME_source_traceback,
    NAME_ssl_object,
    NAME_sslcontext,
    NAME_sslobj,
    NAME_sslobject,
    NAME_stream_reader_wr,
    NAME_throw,
    NAME_transport,
    NAME_unwrap,
    NAME_waiter,
    NAME_wakeup,
    NAME_warning,
    NAME_when,
    NAME_write,
    NAME_COUNT,
} NameIndex;

/* Buffers that were a reader's, for the next one. */
#define STATE_MAX_BUFFERS 8

typedef struct State {
    PyTypeObject *types[TYPE_COUNT]; /* owned */
    PyObject *objects[OBJECT_COUNT]; /* owned */
    PyObject *names[NAME_COUNT];     /* owned, interned */
    /* Of the class of readers when it was last found as it should be. */
    atomic_uint reader_version;
    PyObject *buffers[STATE_MAX_BUFFERS]; /* owned: empty bytearrays */
    int buffer_count;
} State;

/* The definition that finds the state from a type or a module; module.c. */
extern struct PyModuleDef state_module_def;

/* Intern the names and import the objects into zeroed memory; 0, or -1 with
 * an exception. May run Python code. */
int state_init(State *st);

/* The module's m_traverse and m_clear. */
int state_traverse(State *st, visitproc visit, void *arg);
void state_clear(State *st);

/* Put a descriptor on a type; 0 or -1. */
int state_add_descriptor(PyTypeObject *type,
                         const char *name,
                         PyObject *descriptor /* steals */);

/* Borrowed. `type` is one of ours or a subclass; NULL with TypeError. */
State *state_of_type(PyTypeObject *type);

#endif
