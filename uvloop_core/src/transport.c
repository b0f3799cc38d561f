#include "transport.h"

#include "args.h"
#include "errors.h"

/* asyncio's constants: write() is dropped in silence so often, and the write
 * buffer limits. */
#define LOST_WRITES_BEFORE_WARNING 5
#define DEFAULT_HIGH_WATER ((size_t)64 * 1024)

void
transport_log(State *st,
              NameIndex level,
              const char *format,
              PyObject *object,
              PyObject *exc)
{
    size_t nargs = format[0] == '%' ? 3 : 2;
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *args[4] = {st->objects[OBJECT_LOGGER], NULL, NULL, exc};
    PyObject *kwnames = NULL;
    PyObject *result = NULL;

    args[1] = PyUnicode_FromString(format);
    args[2] = object;
    if (nargs == 2) {
        args[2] = exc;
    }
    kwnames = PyTuple_Pack(1, st->names[NAME_exc_info]);
    if (args[1] != NULL && kwnames != NULL) {
        result = PyObject_VectorcallMethod(
            st->names[level], args, nargs, exc == NULL ? NULL : kwnames);
    }
    if (result == NULL) {
        PyErr_WriteUnraisable(object); /* a log handler's */
    }
    Py_XDECREF(result);
    Py_XDECREF(kwnames);
    Py_XDECREF(args[1]);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

static void
log_transport(Transport *transport,
              NameIndex level,
              const char *format,
              PyObject *exc)
{
    transport_log(
        transport_state(transport), level, format, (PyObject *)transport, exc);
}

void
transport_debug(Transport *transport, const char *text)
{
    if (transport_loop(transport)->border.debug) {
        char format[80];

        PyOS_snprintf(format, sizeof(format), "%%r %s", text);
        log_transport(transport, NAME_debug, format, NULL);
    }
}

/* The pending exception to the loop's exception handler. */
static void
report(Transport *transport, const char *message)
{
    enter_report_inside(&transport_loop(transport)->border,
                        message,
                        (PyObject *)transport,
                        transport->protocol);
}

int
transport_fills_buffers(State *st, PyObject *protocol)
{
    PyObject *method = NULL;
    int found =
        PyObject_IsInstance(protocol, st->objects[OBJECT_BUFFERED_PROTOCOL]);

    if (found != 0) {
        return found;
    }
    found = PyObject_IsInstance(protocol, st->objects[OBJECT_PROTOCOL]);
    if (found != 0) {
        return found < 0 ? -1 : 0;
    }
    found = PyObject_GetOptionalAttr(
        protocol, st->names[NAME_get_buffer], &method);
    Py_XDECREF(method);
    return found;
}

int
transport_export_buffer(PyObject *buffer, Py_buffer *view)
{
    int err = PyObject_GetBuffer(buffer, view, PyBUF_WRITABLE);

    Py_DECREF(buffer); /* the view holds it */
    if (err == 0 && view->len == 0) {
        PyBuffer_Release(view);
        PyErr_SetString(PyExc_RuntimeError,
                        "get_buffer() returned an empty buffer");
        err = -1;
    }
    return err;
}

static int
bind_protocol(Transport *transport, State *st, PyObject *protocol)
{
    int found = transport_fills_buffers(st, protocol);

    if (found < 0) {
        return -1;
    }
    transport->fills_buffers = found == 1;
    Py_XSETREF(transport->protocol, Py_NewRef(protocol));
    return 0;
}

void
transport_flush(Transport *transport)
{
    Loop *loop = transport_loop(transport);

    if (COMPAT_FREE_THREADED && loop->border.thread != 0 &&
        loop->border.thread != PyThread_get_thread_ident()) {
        return; /* a look from another thread sees what it sees */
    }
    cork_flush(&loop->border.cork);
}

int
transport_init(Transport *transport,
               State *st,
               PyObject *protocol,
               PyObject *context,
               PyObject *waiter)
{
    if (bind_protocol(transport, st, protocol) < 0) {
        return -1;
    }
    transport->context = Py_NewRef(context);
    transport->waiter = Py_XNewRef(waiter);
    transport->high = DEFAULT_HIGH_WATER;
    transport->low = DEFAULT_HIGH_WATER / 4;
    return 0;
}

void
transport_settle(Transport *transport, PyObject *future, PyObject *exc)
{
    Border *border = &transport_loop(transport)->border;

    if (enter_settle(border, future, exc) < 0) {
        report(transport, "Exception while waking up who waits");
    }
}

/* Settle the waiter, if there is one and nobody cancelled it. */
static void
wake_waiter(Transport *transport)
{
    PyObject *waiter = transport->waiter;

    if (waiter != NULL) {
        transport->waiter = NULL;
        transport_settle(transport, waiter, NULL);
        Py_DECREF(waiter);
    }
}

void
transport_start(Transport *transport)
{
    Border *border = &transport_loop(transport)->border;
    PyObject *args[2] = {transport->protocol, (PyObject *)transport};
    PyObject *result = NULL;
    int err = 0;

    if (transport->handle.state != HANDLE_OPEN || transport->started) {
        return; /* the loop was closed meanwhile */
    }
    Py_INCREF(transport);
    Py_INCREF(args[0]);
    transport->started = true;
    result = enter_method(
        border, transport->context, NAME_connection_made, args, 2);
    Py_DECREF(args[0]);
    if (result == NULL) {
        /* Reported, not raised where somebody waits for the connection: so
         * do asyncio and uvloop. They leave it open, which serves nobody. */
        report(transport,
               "Fatal error: protocol.connection_made() call failed.");
        transport_close(transport);
    }
    Py_XDECREF(result);
    if (transport_is_reading(transport)) {
        err = transport_ops(transport)->start_reading(transport);
    }
    if (err < 0) {
        transport_fatal_uv(transport, err, "Fatal error on transport");
    }
    wake_waiter(transport);
    Py_DECREF(transport);
}

/* Tell who waits for the server's last connection. */
static void
leave_server(Transport *transport, bool wake)
{
    State *st = transport_state(transport);
    Server *server = server_detach(&transport->link);
    PyObject *result = NULL;

    if (server == NULL) {
        return;
    }
    if (wake) {
        result = PyObject_CallMethodNoArgs((PyObject *)server,
                                           st->names[NAME_wakeup]);
        if (result == NULL) {
            report(transport, "Exception in Server._wakeup()");
        }
        Py_XDECREF(result);
    }
    Py_DECREF(server);
}

static void
release(Transport *transport, bool wake)
{
    transport->released = true;
    transport->closing = true;
    transport_ops(transport)->release(transport);
    leave_server(transport, wake);
    Py_CLEAR(transport->waiter);
    Py_CLEAR(transport->protocol);
}

static PyObject *
call_connection_lost(PyObject *self, PyObject *exc)
{
    Transport *transport = CAST(Transport, self);
    Border *border = &transport_loop(transport)->border;
    PyObject *args[2] = {transport->protocol, exc};
    PyObject *result = NULL;
    PyObject *pending = NULL;

    if (transport->handle.state != HANDLE_OPEN) {
        Py_RETURN_NONE; /* the loop was closed meanwhile */
    }
    Py_INCREF(args[0]);
    result = enter_method(
        border, transport->context, NAME_connection_lost, args, 2);
    Py_DECREF(args[0]);
    pending = result == NULL ? PyErr_GetRaisedException() : NULL;
    Py_XDECREF(result);
    release(transport, true);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
call_start(PyObject *self, PyObject *unused)
{
    (void)unused;
    transport_start(CAST(Transport, self));
    Py_RETURN_NONE;
}

/* What the ready ring calls; not to be found on the type. */
static PyMethodDef start_def = {
    "_start", call_start, METH_NOARGS, "connection_made, then reading."};
static PyMethodDef connection_lost_def = {"_call_connection_lost",
                                          call_connection_lost,
                                          METH_O,
                                          "connection_lost, then the end."};

static int
schedule(Transport *transport, PyMethodDef *def, PyObject *arg)
{
    PyObject *callable = PyCFunction_New(def, (PyObject *)transport);
    int err = 0;

    if (callable == NULL) {
        return -1;
    }
    err = loop_call_soon(transport_loop(transport),
                         callable,
                         transport->context,
                         &arg,
                         arg == NULL ? 0 : 1);
    Py_DECREF(callable);
    return err;
}

int
transport_schedule_start(Transport *transport)
{
    return schedule(transport, &start_def, NULL);
}

static void
schedule_connection_lost(Transport *transport, PyObject *exc)
{
    transport->lost = 1;
    if (schedule(transport, &connection_lost_def, exc) < 0) {
        /* No memory: the protocol cannot be told, the socket still goes. */
        report(transport, "connection_lost could not be called");
        release(transport, true);
    }
}

void
transport_close(Transport *transport)
{
    if (transport->closing) {
        return;
    }
    transport->closing = true;
    transport_ops(transport)->stop_reading(transport);
    if (transport_ops(transport)->buffered(transport) == 0) {
        schedule_connection_lost(transport, Py_None);
    }
}

void
transport_force_close(Transport *transport, PyObject *exc)
{
    if (transport->lost > 0) {
        return;
    }
    if (!transport->closing) {
        transport->closing = true;
        transport_ops(transport)->stop_reading(transport);
    }
    schedule_connection_lost(transport, exc);
}

void
transport_drained(Transport *transport)
{
    if (transport->closing && transport->lost == 0) {
        schedule_connection_lost(transport, Py_None);
    }
}

void
transport_fatal(Transport *transport, PyObject *exc, const char *message)
{
    transport_flush(transport); /* it was written before this */
    if (PyErr_GivenExceptionMatches(exc, PyExc_OSError)) {
        if (transport_loop(transport)->border.debug) {
            char format[120];

            PyOS_snprintf(format, sizeof(format), "%%r: %s", message);
            log_transport(transport, NAME_debug, format, exc);
        }
    }
    else {
        bool ends_run =
            PyErr_GivenExceptionMatches(exc, PyExc_KeyboardInterrupt) ||
            PyErr_GivenExceptionMatches(exc, PyExc_SystemExit);

        PyErr_SetRaisedException(Py_NewRef(exc));
        report(transport, message);
        if (ends_run) {
            return; /* as in asyncio: the connection lives on */
        }
    }
    transport_force_close(transport, exc);
}

void
transport_fatal_pending(Transport *transport, const char *message)
{
    PyObject *exc = PyErr_GetRaisedException();

    transport_fatal(transport, exc, message);
    Py_DECREF(exc);
}

void
transport_fatal_uv(Transport *transport, int err, const char *message)
{
    (void)raise_uv(transport_state(transport), err); /* always -1 */
    transport_fatal_pending(transport, message);
}

int
transport_maybe_pause(Transport *transport)
{
    PyObject *result = NULL;
    PyObject *protocol = transport->protocol;

    if (transport->write_paused || protocol == NULL ||
        transport_ops(transport)->buffered(transport) <= transport->high) {
        return 0;
    }
    transport->write_paused = true;
    Py_INCREF(protocol);
    result = enter_method_nested(&transport_loop(transport)->border,
                                 transport->context,
                                 NAME_pause_writing,
                                 &protocol,
                                 1);
    Py_DECREF(protocol);
    if (result == NULL) {
        if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
            PyErr_ExceptionMatches(PyExc_SystemExit)) {
            return -1;
        }
        report(transport, "protocol.pause_writing() failed");
    }
    Py_XDECREF(result);
    return 0;
}

void
transport_maybe_resume(Transport *transport)
{
    PyObject *result = NULL;
    PyObject *protocol = transport->protocol;

    if (!transport->write_paused || protocol == NULL ||
        transport_ops(transport)->buffered(transport) > transport->low) {
        return;
    }
    transport->write_paused = false;
    Py_INCREF(protocol);
    result = enter_method(&transport_loop(transport)->border,
                          transport->context,
                          NAME_resume_writing,
                          &protocol,
                          1);
    Py_DECREF(protocol);
    if (result == NULL) {
        report(transport, "protocol.resume_writing() failed");
    }
    Py_XDECREF(result);
}

bool
transport_drops_write(Transport *transport)
{
    if (transport->lost == 0) {
        return false;
    }
    if (transport->lost >= LOST_WRITES_BEFORE_WARNING) {
        const char *text = transport_ops(transport)->lost_warning;

        if (text == NULL) {
            text = "socket.send() raised exception.";
        }
        log_transport(transport, NAME_warning, text, NULL);
    }
    transport->lost++;
    return true;
}

static int
check_type(PyObject *object, PyTypeObject *type, const char *what)
{
    if (!PyObject_TypeCheck(object, type)) {
        PyErr_Format(PyExc_TypeError,
                     "%s must be a %s, not %R",
                     what,
                     type->tp_name,
                     object);
        return -1;
    }
    return 0;
}

int
transport_open_args(State *st,
                    PyObject *loop,
                    PyObject *waiter,
                    PyObject *context,
                    OpenArgs *open)
{
    open->waiter = waiter == Py_None ? NULL : waiter;
    if (context == Py_None) {
        context = NULL;
    }
    if (check_type(loop, st->types[TYPE_LOOP], "loop") < 0 ||
        (context != NULL &&
         check_type(context, &PyContext_Type, "context") < 0) ||
        loop_check_closed(CAST(Loop, loop)) < 0) {
        return -1;
    }
    open->loop = CAST(Loop, loop);
    open->context =
        context == NULL ? PyContext_CopyCurrent() : Py_NewRef(context);
    if (open->context == NULL) {
        return -1;
    }
    open->entered = loop_enter(open->loop);
    if (open->entered < 0) {
        Py_DECREF(open->context);
        return -1;
    }
    return 0;
}

void
transport_open_done(OpenArgs *open)
{
    loop_leave(open->loop, open->entered);
    Py_DECREF(open->context);
}

int
transport_check_fd(Loop *loop, int fd)
{
    Handle *owner = loop_owner(loop, fd);

    if (owner != NULL && owner->state == HANDLE_OPEN) {
        PyErr_Format(PyExc_RuntimeError,
                     "File descriptor %d is used by transport %R",
                     fd,
                     (PyObject *)owner);
        return -1;
    }
    return 0;
}

void
transport_shut(Handle *handle)
{
    Transport *transport = (Transport *)handle;
    PyObject *pending = PyErr_GetRaisedException();

    if (PyErr_ResourceWarning((PyObject *)transport,
                              1,
                              "unclosed transport %R",
                              (PyObject *)transport) < 0) {
        PyErr_WriteUnraisable((PyObject *)transport); /* -W error */
    }
    if (!transport->released) {
        transport_ops(transport)->stop_reading(transport);
        transport->lost++;
        release(transport, false);
    }
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

void
transport_failed(Handle *handle, int err)
{
    Py_INCREF(handle);
    transport_fatal_uv((Transport *)handle, err, "Fatal error on transport");
    Py_DECREF(handle);
}

int
transport_traverse(Transport *transport, visitproc visit, void *arg)
{
    Py_VISIT(transport->protocol);
    Py_VISIT(transport->context);
    Py_VISIT(transport->waiter);
    Py_VISIT(transport->link.server);
    return handle_traverse(&transport->handle, visit, arg);
}

void
transport_clear(Transport *transport)
{
    Py_CLEAR(transport->protocol);
    Py_CLEAR(transport->context);
    Py_CLEAR(transport->waiter);
    handle_clear(&transport->handle);
}

void
transport_dealloc(Transport *transport)
{
    PyTypeObject *type = Py_TYPE(transport);

    assert(transport->link.server == NULL);
    assert(transport->handle.state == HANDLE_NEW ||
           transport->handle.state == HANDLE_CLOSED);
    transport_clear(transport);
    Py_CLEAR(transport->handle.loop);
    type->tp_free(transport);
    Py_DECREF(type);
}

static PyObject *
close_meth(PyObject *self, PyObject *unused)
{
    Transport *transport = CAST(Transport, self);
    int entered = transport_enter(transport);

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    transport_flush(transport);
    transport_close(transport);
    transport_leave(transport, entered);
    Py_RETURN_NONE;
}

static PyObject *
abort_meth(PyObject *self, PyObject *unused)
{
    Transport *transport = CAST(Transport, self);
    int entered = transport_enter(transport);

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    transport_flush(transport);
    transport_force_close(transport, Py_None);
    transport_leave(transport, entered);
    Py_RETURN_NONE;
}

static PyObject *
force_close_meth(PyObject *self, PyObject *exc)
{
    Transport *transport = CAST(Transport, self);
    int entered = transport_enter(transport);

    if (entered < 0) {
        return NULL;
    }
    transport_flush(transport);
    transport_force_close(transport, exc);
    transport_leave(transport, entered);
    Py_RETURN_NONE;
}

static PyObject *
is_closing_meth(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(CAST(Transport, self)->closing);
}

static PyObject *
get_protocol_meth(PyObject *self, PyObject *unused)
{
    Transport *transport = CAST(Transport, self);
    PyObject *protocol = NULL;
    int entered = transport_enter_unchecked(transport);

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    protocol = transport->protocol;
    protocol = Py_NewRef(protocol == NULL ? Py_None : protocol);
    transport_leave(transport, entered);
    return protocol;
}

static PyObject *
set_protocol_meth(PyObject *self, PyObject *protocol)
{
    Transport *transport = CAST(Transport, self);
    int entered = transport_enter(transport);
    int err = 0;

    if (entered < 0) {
        return NULL;
    }
    transport_flush(transport); /* start_tls comes here */
    err = bind_protocol(transport, transport_state(transport), protocol);
    transport_leave(transport, entered);
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
is_reading_meth(PyObject *self, PyObject *unused)
{
    Transport *transport = CAST(Transport, self);

    (void)unused;
    return PyBool_FromLong(!transport->closing && !transport->paused);
}

static PyObject *
pause_reading_meth(PyObject *self, PyObject *unused)
{
    Transport *transport = CAST(Transport, self);
    int entered = transport_enter(transport);

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    if (!transport->closing && !transport->paused) {
        transport->paused = true;
        transport_ops(transport)->stop_reading(transport);
        transport_debug(transport, "pauses reading");
    }
    transport_leave(transport, entered);
    Py_RETURN_NONE;
}

static PyObject *
resume_reading_meth(PyObject *self, PyObject *unused)
{
    Transport *transport = CAST(Transport, self);
    int entered = transport_enter(transport);
    int err = 0;

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    if (!transport->closing && transport->paused) {
        transport->paused = false;
        if (transport_is_reading(transport)) {
            err = transport_ops(transport)->start_reading(transport);
        }
        if (err < 0) {
            transport_fatal_uv(transport, err, "Fatal error on transport");
        }
        transport_debug(transport, "resumes reading");
    }
    transport_leave(transport, entered);
    Py_RETURN_NONE;
}

static PyObject *
get_write_buffer_size_meth(PyObject *self, PyObject *unused)
{
    Transport *transport = CAST(Transport, self);
    size_t size = 0;
    int entered = transport_enter_unchecked(transport);

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    transport_flush(transport);
    size = transport_ops(transport)->buffered(transport);
    transport_leave(transport, entered);
    return PyLong_FromSize_t(size);
}

static PyObject *
get_write_buffer_limits_meth(PyObject *self, PyObject *unused)
{
    Transport *transport = CAST(Transport, self);
    size_t low = 0;
    size_t high = 0;
    int entered = transport_enter_unchecked(transport);

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    low = transport->low;
    high = transport->high;
    transport_leave(transport, entered);
    return Py_BuildValue("nn", (Py_ssize_t)low, (Py_ssize_t)high);
}

/* A limit: *given is false for None. 0 or -1. */
static int
read_limit(PyObject *object, Py_ssize_t *limit, bool *given)
{
    *given = object != NULL && object != Py_None;
    if (*given) {
        /* Huge ones are cut to what fits: as good as no limit. */
        *limit = PyNumber_AsSsize_t(object, NULL);
        if (*limit == -1 && PyErr_Occurred()) {
            return -1;
        }
    }
    return 0;
}

int
transport_parse_limits(State *st,
                       const LimitArgs *given,
                       PyObject *const *args,
                       Py_ssize_t nargs,
                       PyObject *kwnames,
                       Limits *limits)
{
    static const short names[] = {NAME_high, NAME_low};
    const ArgSpec spec = {given->function, 0, 2, 2, names};
    PyObject *out[2];
    Py_ssize_t high = (Py_ssize_t)given->high;
    Py_ssize_t low = 0;
    bool has_high = false;
    bool has_low = false;

    if (args_spread(&spec, st->names, args, nargs, kwnames, out) < 0 ||
        read_limit(out[0], &high, &has_high) < 0 ||
        read_limit(out[1], &low, &has_low) < 0) {
        return -1;
    }
    if (!has_high && has_low) {
        high = low > PY_SSIZE_T_MAX / 4 ? PY_SSIZE_T_MAX : 4 * low;
    }
    if (!has_low) {
        low = high / 4;
    }
    if (high < low || low < 0) {
        PyErr_Format(PyExc_ValueError,
                     "high (%zd) must be >= low (%zd) must be >= 0",
                     high,
                     low);
        return -1;
    }
    limits->high = (size_t)high;
    limits->low = (size_t)low;
    return 0;
}

static PyObject *
set_write_buffer_limits_meth(PyObject *self,
                             PyObject *const *args,
                             Py_ssize_t nargs,
                             PyObject *kwnames)
{
    static const LimitArgs given = {"set_write_buffer_limits",
                                    DEFAULT_HIGH_WATER};
    Transport *transport = CAST(Transport, self);
    Limits limits = {0, 0};
    int entered = 0;
    int err = 0;

    if (transport_parse_limits(transport_state(transport),
                               &given,
                               args,
                               nargs,
                               kwnames,
                               &limits) < 0) {
        return NULL;
    }
    entered = transport_enter(transport);
    if (entered < 0) {
        return NULL;
    }
    transport_flush(transport);
    transport->high = limits.high;
    transport->low = limits.low;
    err = transport_maybe_pause(transport);
    transport_leave(transport, entered);
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* A key of the dict that asyncio's base class keeps, if somebody made one: 1
 * and a new reference, 0, or -1. */
static int
find_in_dict(Transport *transport, PyObject *name, PyObject **value)
{
    *value = NULL;
    if (transport->handle.extra == NULL ||
        !PyDict_Check(transport->handle.extra)) {
        return 0;
    }
    return PyDict_GetItemRef(transport->handle.extra, name, value);
}

/* True for what can be written to without us. */
static bool
names_file(State *st, PyObject *name)
{
    return PyUnicode_Check(name) &&
           (PyUnicode_Compare(name, st->names[NAME_socket]) == 0 ||
            PyUnicode_Compare(name, st->names[NAME_pipe]) == 0);
}

static PyObject *
get_extra_info_meth(PyObject *self,
                    PyObject *const *args,
                    Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const short names[] = {NAME_name, NAME_default};
    static const ArgSpec spec = {"get_extra_info", 1, 2, 2, names};
    Transport *transport = CAST(Transport, self);
    PyObject *out[2];
    PyObject *value = NULL;
    int entered = 0;
    int found = 0;

    if (args_spread(&spec,
                    transport_state(transport)->names,
                    args,
                    nargs,
                    kwnames,
                    out) < 0) {
        return NULL;
    }
    entered = transport_enter_unchecked(transport);
    if (entered < 0) {
        return NULL;
    }
    if (transport_loop(transport)->border.cork.depth > 0 &&
        names_file(transport_state(transport), out[0])) {
        transport_flush(transport);
    }
    found = find_in_dict(transport, out[0], &value);
    if (found == 0) {
        found = transport_ops(transport)->extra(transport, out[0], &value);
    }
    transport_leave(transport, entered);
    if (found == 0) {
        return Py_NewRef(out[1] == NULL ? Py_None : out[1]);
    }
    return found < 0 ? NULL : value;
}

static PyObject *
repr_meth(PyObject *self, PyObject *unused)
{
    Transport *transport = CAST(Transport, self);
    PyObject *name = PyType_GetName(Py_TYPE(self));
    PyObject *text = NULL;

    (void)unused;
    if (name != NULL) {
        text = PyUnicode_FromFormat("<%U closed=%s reading=%s %p>",
                                    name,
                                    transport->released ? "True" : "False",
                                    transport_is_reading(transport) ? "True"
                                                                    : "False",
                                    self);
        Py_DECREF(name);
    }
    return text;
}

static PyObject *
loop_get(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(CAST(Transport, self)->handle.loop);
}

static PyObject *
protocol_get(PyObject *self, void *unused)
{
    (void)unused;
    return get_protocol_meth(self, NULL);
}

static PyObject *
server_get(PyObject *self, void *unused)
{
    Transport *transport = CAST(Transport, self);
    PyObject *server = NULL;
    int entered = transport_enter_unchecked(transport);

    (void)unused;
    if (entered < 0) {
        return NULL;
    }
    server = (PyObject *)transport->link.server;
    server = Py_NewRef(server == NULL ? Py_None : server);
    transport_leave(transport, entered);
    return server;
}

PyDoc_STRVAR(close_doc,
             "close($self, /)\n--\n\n"
             "Close the transport once what was written has been sent.");
PyDoc_STRVAR(abort_doc,
             "abort($self, /)\n--\n\n"
             "Close the transport at once; what is buffered is lost.");
PyDoc_STRVAR(force_close_doc,
             "_force_close($self, exc, /)\n--\n\n"
             "The same, with exc for connection_lost.");
PyDoc_STRVAR(is_closing_doc,
             "is_closing($self, /)\n--\n\n"
             "True if the transport is closing or closed.");
PyDoc_STRVAR(get_protocol_doc,
             "get_protocol($self, /)\n--\n\n"
             "The protocol; None once the connection is lost.");
PyDoc_STRVAR(set_protocol_doc,
             "set_protocol($self, protocol, /)\n--\n\n"
             "Use another protocol from now on.");
PyDoc_STRVAR(is_reading_doc,
             "is_reading($self, /)\n--\n\n"
             "True if the transport receives.");
PyDoc_STRVAR(pause_reading_doc,
             "pause_reading($self, /)\n--\n\n"
             "Receive nothing until resume_reading().");
PyDoc_STRVAR(resume_reading_doc,
             "resume_reading($self, /)\n--\n\n"
             "Receive again.");
PyDoc_STRVAR(get_write_buffer_size_doc,
             "get_write_buffer_size($self, /)\n--\n\n"
             "How many bytes were written and not sent yet.");
PyDoc_STRVAR(get_write_buffer_limits_doc,
             "get_write_buffer_limits($self, /)\n--\n\n"
             "The low and the high water marks, as a tuple.");
PyDoc_STRVAR(
    set_write_buffer_limits_doc,
    "set_write_buffer_limits($self, /, high=None, low=None)\n--\n\n"
    "Set the sizes at which the protocol is told to pause and to resume.");
PyDoc_STRVAR(get_extra_info_doc,
             "get_extra_info($self, /, name, default=None)\n--\n\n"
             "socket, sockname and peername, or pipe; they stay known after "
             "close.");

static PyMethodDef methods[] = {
    {"close", close_meth, METH_NOARGS, close_doc},
    {"_force_close", force_close_meth, METH_O, force_close_doc},
    {"is_closing", is_closing_meth, METH_NOARGS, is_closing_doc},
    {"get_protocol", get_protocol_meth, METH_NOARGS, get_protocol_doc},
    {"set_protocol", set_protocol_meth, METH_O, set_protocol_doc},
    {"get_extra_info",
     METHOD(get_extra_info_meth),
     METH_FASTCALL | METH_KEYWORDS,
     get_extra_info_doc},
    {"__repr__", repr_meth, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef reading_methods[] = {
    {"is_reading", is_reading_meth, METH_NOARGS, is_reading_doc},
    {"pause_reading", pause_reading_meth, METH_NOARGS, pause_reading_doc},
    {"resume_reading", resume_reading_meth, METH_NOARGS, resume_reading_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef writing_methods[] = {
    {"abort", abort_meth, METH_NOARGS, abort_doc},
    {"get_write_buffer_size",
     get_write_buffer_size_meth,
     METH_NOARGS,
     get_write_buffer_size_doc},
    {"get_write_buffer_limits",
     get_write_buffer_limits_meth,
     METH_NOARGS,
     get_write_buffer_limits_doc},
    {"set_write_buffer_limits",
     METHOD(set_write_buffer_limits_meth),
     METH_FASTCALL | METH_KEYWORDS,
     set_write_buffer_limits_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
    {"_loop", loop_get, NULL, NULL, NULL},
    {"_protocol", protocol_get, NULL, NULL, NULL},
    {"_server", server_get, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
    {"_closing", Py_T_BOOL, offsetof(Transport, closing), Py_READONLY, NULL},
    {"_paused", Py_T_BOOL, offsetof(Transport, paused), Py_READONLY, NULL},
    {"_protocol_paused",
     Py_T_BOOL,
     offsetof(Transport, write_paused),
     Py_READONLY,
     NULL},
    {"_conn_lost", Py_T_INT, offsetof(Transport, lost), Py_READONLY, NULL},
};

int
transport_add_table(PyTypeObject *type, PyMethodDef *table)
{
    for (PyMethodDef *def = table; def->ml_name != NULL; def++) {
        if (state_add_descriptor(
                type, def->ml_name, PyDescr_NewMethod(type, def)) < 0) {
            return -1;
        }
    }
    return 0;
}

int
transport_add_reading(PyTypeObject *type)
{
    return transport_add_table(type, reading_methods);
}

int
transport_add_writing(PyTypeObject *type)
{
    return transport_add_table(type, writing_methods);
}

int
transport_add_methods(PyTypeObject *type)
{
    if (transport_add_table(type, methods) < 0) {
        return -1;
    }
    for (size_t i = 0; i < ARRAY_LEN(getset); i++) {
        if (state_add_descriptor(type,
                                 getset[i].name,
                                 PyDescr_NewGetSet(type, &getset[i])) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        if (state_add_descriptor(type,
                                 members[i].name,
                                 PyDescr_NewMember(type, &members[i])) < 0) {
            return -1;
        }
    }
    return 0;
}
