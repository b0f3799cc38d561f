#include "state.h"

static const char *const name_texts[NAME_COUNT] = {
    [NAME_EMPTY] = "",
    [NAME_abort] = "abort",
    [NAME_acquire] = "acquire",
    [NAME_addr] = "addr",
    [NAME_address] = "address",
    [NAME_buffer_updated] = "buffer_updated",
    [NAME_call_exception_handler] = "call_exception_handler",
    [NAME_callback] = "callback",
    [NAME_cancelled] = "cancelled",
    [NAME_check_fd] = "_check_fd",
    [NAME_check_socket] = "_check_socket",
    [NAME_cipher] = "cipher",
    [NAME_class] = "__class__",
    [NAME_close] = "close",
    [NAME_closed] = "_closed",
    [NAME_compression] = "compression",
    [NAME_connected] = "connected",
    [NAME_connection_lost] = "connection_lost",
    [NAME_connection_made] = "connection_made",
    [NAME_context] = "context",
    [NAME_coro] = "coro",
    [NAME_create_by_factory] = "_create_by_factory",
    [NAME_create_future] = "create_future",
    [NAME_data] = "data",
    [NAME_data_received] = "data_received",
    [NAME_datagram_received] = "datagram_received",
    [NAME_debug] = "debug",
    [NAME_default] = "default",
    [NAME_delay] = "delay",
    [NAME_detach] = "detach",
    [NAME_do_handshake] = "do_handshake",
    [NAME_done] = "done",
    [NAME_eof_received] = "eof_received",
    [NAME_error_received] = "error_received",
    [NAME_exc_info] = "exc_info",
    [NAME_exception] = "exception",
    [NAME_feed_data] = "feed_data",
    [NAME_fileno] = "fileno",
    [NAME_force_close] = "_force_close",
    [NAME_get_buffer] = "get_buffer",
    [NAME_get_extra_info] = "get_extra_info",
    [NAME_getpeercert] = "getpeercert",
    [NAME_handle] = "handle",
    [NAME_handshake_timeout] = "handshake_timeout",
    [NAME_high] = "high",
    [NAME_incoming] = "incoming",
    [NAME_io_refs] = "_io_refs",
    [NAME_is_closing] = "is_closing",
    [NAME_loop] = "loop",
    [NAME_low] = "low",
    [NAME_message] = "message",
    [NAME_msg] = "msg",
    [NAME_name] = "name",
    [NAME_outgoing] = "outgoing",
    [NAME_pause_reading] = "pause_reading",
    [NAME_pause_writing] = "pause_writing",
    [NAME_paused] = "paused",
    [NAME_peercert] = "peercert",
    [NAME_peername] = "peername",
    [NAME_pending] = "pending",
    [NAME_pipe] = "pipe",
    [NAME_protocol] = "protocol",
    [NAME_protocol_paused] = "_protocol_paused",
    [NAME_read] = "read",
    [NAME_reader_buffer] = "_buffer",
    [NAME_reader_eof] = "_eof",
    [NAME_reader_exception] = "_exception",
    [NAME_reader_limit] = "_limit",
    [NAME_reader_loop] = "_loop",
    [NAME_reader_maybe_resume] = "_maybe_resume_transport",
    [NAME_reader_paused] = "_paused",
    [NAME_reader_transport] = "_transport",
    [NAME_reader_wait_for_data] = "_wait_for_data",
    [NAME_reader_waiter] = "_waiter",
    [NAME_reader_wakeup] = "_wakeup_waiter",
    [NAME_readexactly] = "readexactly",
    [NAME_readline] = "readline",
    [NAME_readuntil] = "readuntil",
    [NAME_recv] = "recv",
    [NAME_release] = "release",
    [NAME_resume_reading] = "resume_reading",
    [NAME_resume_writing] = "resume_writing",
    [NAME_server] = "server",
    [NAME_set_exception] = "set_exception",
    [NAME_set_result] = "set_result",
    [NAME_shutdown_timeout] = "shutdown_timeout",
    [NAME_slow_callback] = "_slow_callback",
    [NAME_sock] = "sock",
    [NAME_socket] = "socket",
    [NAME_sockname] = "sockname",
    [NAME_source_traceback] = "source_traceback",
    [NAME_ssl_object] = "ssl_object",
    [NAME_sslcontext] = "sslcontext",
    [NAME_sslobj] = "_sslobj",
    [NAME_sslobject] = "sslobject",
    [NAME_stream_reader_wr] = "_stream_reader_wr",
    [NAME_throw] = "throw",
    [NAME_transport] = "transport",
    [NAME_unwrap] = "unwrap",
    [NAME_waiter] = "waiter",
    [NAME_wakeup] = "_wakeup",
    [NAME_warning] = "warning",
    [NAME_when] = "when",
    [NAME_write] = "write",
};

typedef struct {
    const char *module;
    const char *name;
    const char *method; /* of that class; NULL: the object itself */
} Import;

static const Import imports[OBJECT_COUNT] = {
    [OBJECT_AF_INET] = {"socket", "AF_INET"},
    [OBJECT_AF_INET6] = {"socket", "AF_INET6"},
    [OBJECT_ASYNCIO_DATAGRAM_TRANSPORT] = {"asyncio.transports",
                                           "DatagramTransport"},
    [OBJECT_ASYNCIO_HANDLE] = {"asyncio.events", "Handle"},
    [OBJECT_ASYNCIO_THREADSAFE_HANDLE] = {"asyncio.events",
                                          COMPAT_THREADSAFE_HANDLE},
    [OBJECT_ASYNCIO_TIMER_HANDLE] = {"asyncio.events", "TimerHandle"},
    [OBJECT_ASYNCIO_READ_TRANSPORT] = {"asyncio.transports", "ReadTransport"},
    [OBJECT_ASYNCIO_TRANSPORT] = {"asyncio.transports", "Transport"},
    [OBJECT_BUFFERED_PROTOCOL] = {"asyncio.protocols", "BufferedProtocol"},
    [OBJECT_CANCELLED_ERROR] = {"asyncio.exceptions", "CancelledError"},
    [OBJECT_EXTRACT_STACK] = {"asyncio.format_helpers", "extract_stack"},
    [OBJECT_FORMAT_CALLBACK] = {"asyncio.format_helpers",
                                "_format_callback_source"},
    [OBJECT_FUTURE] = {"asyncio.futures", "Future"},
    [OBJECT_GET_RUNNING_LOOP] = {"asyncio.events", "_get_running_loop"},
    [OBJECT_INVALID_STATE] = {"asyncio.exceptions", "InvalidStateError"},
    [OBJECT_ISCOROUTINE] = {"asyncio.coroutines", "iscoroutine"},
    [OBJECT_ISCOROUTINEFUNCTION] = {"inspect", "iscoroutinefunction"},
    [OBJECT_LOCK] = {"_thread", "allocate_lock"},
    [OBJECT_LOGGER] = {"asyncio.log", "logger"},
    [OBJECT_PROTOCOL] = {"asyncio.protocols", "Protocol"},
    [OBJECT_SOCKET] = {"socket", "socket"},
    [OBJECT_SOCK_DGRAM] = {"socket", "SOCK_DGRAM"},
    [OBJECT_SOCK_RAW] = {"socket", "SOCK_RAW"},
    [OBJECT_SOCK_STREAM] = {"socket", "SOCK_STREAM"},
    [OBJECT_SSL_CERTIFICATE_ERROR] = {"ssl", "CertificateError"},
    [OBJECT_SSL_ERROR] = {"ssl", "SSLError"},
    [OBJECT_SSL_OBJECT] = {"ssl", "SSLObject"},
    [OBJECT_SSL_SYSCALL] = {"ssl", "SSLSyscallError"},
    [OBJECT_SSL_WANT_READ] = {"ssl", "SSLWantReadError"},
    [OBJECT_SSL_ZERO_RETURN] = {"ssl", "SSLZeroReturnError"},
    [OBJECT_STREAMS_NAMES] = {"asyncio.streams", "__dict__"},
    [OBJECT_STREAM_DATA_RECEIVED] = {"asyncio.streams",
                                     "StreamReaderProtocol",
                                     "data_received"},
    [OBJECT_STREAM_READER] = {"asyncio.streams", "StreamReader"},
    [OBJECT_STREAM_READER_PROTOCOL] = {"asyncio.streams",
                                       "StreamReaderProtocol"},
    [OBJECT_TASK] = {"asyncio.tasks", "Task"},
    [OBJECT_TRANSPORT_SOCKET] = {"asyncio.trsock", "TransportSocket"},
};

static PyObject *
import_object(const Import *import)
{
    PyObject *module = PyImport_ImportModule(import->module);
    PyObject *object = NULL;

    if (module != NULL) {
        object = PyObject_GetAttrString(module, import->name);
        Py_DECREF(module);
    }
    if (object != NULL && import->method != NULL) {
        Py_SETREF(object, PyObject_GetAttrString(object, import->method));
    }
    return object;
}

int
state_init(State *st)
{
    for (int i = 0; i < NAME_COUNT; i++) {
        if (name_texts[i] == NULL) {
            PyErr_Format(PyExc_SystemError, "name %d has no text", i);
            return -1;
        }
        st->names[i] = PyUnicode_InternFromString(name_texts[i]);
        if (st->names[i] == NULL) {
            return -1;
        }
    }
    for (int i = 0; i < OBJECT_COUNT; i++) {
        if (imports[i].module == NULL) {
            PyErr_Format(PyExc_SystemError, "object %d has no import", i);
            return -1;
        }
        st->objects[i] = import_object(&imports[i]);
        if (st->objects[i] == NULL) {
            return -1;
        }
    }
    return 0;
}

int
state_traverse(State *st, visitproc visit, void *arg)
{
    for (int i = 0; i < TYPE_COUNT; i++) {
        Py_VISIT(st->types[i]);
    }
    for (int i = 0; i < OBJECT_COUNT; i++) {
        Py_VISIT(st->objects[i]);
    }
    return 0;
}

void
state_clear(State *st)
{
    for (int i = 0; i < TYPE_COUNT; i++) {
        Py_CLEAR(st->types[i]);
    }
    for (int i = 0; i < OBJECT_COUNT; i++) {
        Py_CLEAR(st->objects[i]);
    }
    for (int i = 0; i < NAME_COUNT; i++) {
        Py_CLEAR(st->names[i]);
    }
    while (st->buffer_count > 0) {
        Py_DECREF(st->buffers[--st->buffer_count]);
    }
}

int
state_add_descriptor(PyTypeObject *type,
                     const char *name,
                     PyObject *descriptor)
{
    int err = -1;

    if (descriptor != NULL) {
        err = PyObject_SetAttrString((PyObject *)type, name, descriptor);
        Py_DECREF(descriptor);
    }
    return err;
}

State *
state_of_type(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &state_module_def);

    return module == NULL ? NULL : PyModule_GetState(module);
}
