/* From the handshake to the end. */
#include "tls.h"

#include "errors.h"

/* What a peer may send after our close_notify: a little may be on its way, but
 * nobody wants to download the rest of a file first (uvloop's #471). */
#define DISCARD_MAX ((size_t)256 * 1024)

/* ---- timers ---- */

void
tls_stop_timer(Tls *tls)
{
    TimerCallback *timer = tls->timer;

    if (timer != NULL) {
        tls->timer = NULL;
        callback_cancel(&timer->base);
        Py_DECREF(timer);
    }
}

/* Have the function of `def` called later, in the place of any other: 0, or -1
 * with any exception. */
static int
start_timer(Tls *tls, PyMethodDef *def, double seconds)
{
    PyObject *callable = PyCFunction_New(def, (PyObject *)tls);

    tls_stop_timer(tls);
    if (callable != NULL) {
        tls->timer =
            loop_call_later(tls->loop, seconds, callable, tls->context);
        Py_DECREF(callable);
    }
    return tls->timer == NULL ? -1 : 0;
}

/* It runs: forget it. */
static void
drop_timer(Tls *tls)
{
    Py_CLEAR(tls->timer);
}

static PyObject *
none_or_null(int err)
{
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
call_handshake_timeout(PyObject *self, PyObject *unused)
{
    Tls *tls = CAST(Tls, self);

    (void)unused;
    drop_timer(tls);
    if (tls->phase != TLS_HANDSHAKE) {
        Py_RETURN_NONE;
    }
    PyErr_Format(PyExc_ConnectionAbortedError,
                 "SSL handshake is taking longer than %S seconds: aborting "
                 "the connection",
                 tls->handshake_timeout);
    return none_or_null(tls_fail(tls, "Fatal error on transport"));
}

static PyObject *
call_shutdown_timeout(PyObject *self, PyObject *unused)
{
    Tls *tls = CAST(Tls, self);
    PyObject *exc = NULL;

    (void)unused;
    drop_timer(tls);
    exc = PyObject_CallFunction(
        PyExc_TimeoutError, "s", "SSL shutdown timed out");
    if (exc == NULL) {
        return NULL;
    }
    tls_abort(tls, exc);
    Py_DECREF(exc);
    Py_RETURN_NONE;
}

/* What the timers call; not to be found on the type. */
static PyMethodDef handshake_timeout_def = {
    "_check_handshake_timeout",
    call_handshake_timeout,
    METH_NOARGS,
    "The end of a handshake that takes too long."};
static PyMethodDef shutdown_timeout_def = {
    "_check_shutdown_timeout",
    call_shutdown_timeout,
    METH_NOARGS,
    "The end of a shutdown that takes too long."};

static int
start_shutdown_timer(Tls *tls)
{
    double seconds = PyFloat_AsDouble(tls->shutdown_timeout);

    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    return start_timer(tls, &shutdown_timeout_def, seconds);
}

/* ---- the end ---- */

/* Who waits for the handshake gets the exception. If there is none, or None,
 * one of ours: asyncio tells them that all is well. */
static void
wake_with(Tls *tls, PyObject *exc, const char *text)
{
    if (tls->waiter == NULL) {
        return;
    }
    if (exc != NULL && exc != Py_None) {
        tls_wake(tls, exc);
        return;
    }
    exc = PyObject_CallFunction(PyExc_ConnectionAbortedError, "s", text);
    if (exc == NULL) {
        PyErr_Clear(); /* no memory: they are told that it is over */
    }
    tls_wake(tls, exc);
    Py_XDECREF(exc);
}

#define CLOSED_DURING "the connection was closed during the SSL handshake"
#define CLOSED_BEFORE "the connection was closed before the SSL handshake"

void
tls_abort(Tls *tls, PyObject *exc)
{
    PyObject *lower = tls->lower;
    int err = 0;

    if (tls->phase == TLS_LOST) {
        return;
    }
    tls->phase = TLS_ENDED;
    tls->closing = true;
    tls_stop_timer(tls);
    tls_drop_backlog(tls);
    if (lower == NULL) {
        return; /* connection_made will see it */
    }
    if (exc == Py_None) {
        err = tls_do(tls, lower, NAME_abort, NULL);
    }
    else {
        err = tls_do(tls, lower, NAME_force_close, exc);
    }
    if (err < 0 && tls_report(tls, "abort() of the transport failed") < 0) {
        enter_fatal(&tls->loop->border);
    }
    /* A lower transport that was lost before does not tell us. */
    wake_with(tls, exc, CLOSED_DURING);
}

/* All is said: the lower transport sends what it has, and is closed; the timer
 * is for a peer that does not take it. 0, or -1 with any exception. */
static int
finish(Tls *tls)
{
    if (tls->timer == NULL && start_shutdown_timer(tls) < 0) {
        return -1;
    }
    tls->phase = TLS_ENDED;
    return tls_do(tls, tls->lower, NAME_close, NULL);
}

void
tls_lose(Tls *tls, PyObject *exc)
{
    PyObject *protocol = tls->protocol;
    PyObject *method = NULL;
    int err = 0;

    if (tls->phase == TLS_LOST) {
        return;
    }
    tls->phase = TLS_LOST;
    tls->closing = true;
    tls_stop_timer(tls);
    tls_drop_backlog(tls);
    if (tls->told == TLS_TOLD_MADE || tls->told == TLS_TOLD_EOF) {
        tls->told = TLS_TOLD_LOST;
        method =
            PyObject_GetAttr(protocol, tls_name(tls, NAME_connection_lost));
        err = method == NULL
                  ? -1
                  : loop_call_soon(tls->loop, method, tls->context, &exc, 1);
        Py_XDECREF(method);
        if (err < 0 &&
            tls_report(tls, "connection_lost could not be called") < 0) {
            enter_fatal(&tls->loop->border);
        }
    }
    wake_with(tls, exc, CLOSED_DURING);
    Py_CLEAR(tls->transport);
    Py_CLEAR(tls->protocol);
}

/* ---- handshake ---- */

/* With the pending exception. */
static int
fail_handshake(Tls *tls)
{
    State *st = tls_state(tls);
    const char *message = "SSL handshake failed";
    PyObject *exc = NULL;

    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    if (PyErr_ExceptionMatches(st->objects[OBJECT_SSL_CERTIFICATE_ERROR])) {
        message = "SSL handshake failed on verifying the certificate";
    }
    exc = PyErr_GetRaisedException();
    if (tls_flush(tls) < 0) { /* the alert that says why */
        PyErr_Clear();        /* what is lost anyway cannot be sent */
    }
    PyErr_SetRaisedException(Py_NewRef(exc));
    (void)tls_fail(tls, message); /* an Exception: always 0 */
    tls_wake(tls, exc);
    Py_DECREF(exc);
    return 0;
}

/* What get_extra_info shall know for as long as there is somebody to ask; the
 * SSLObject forgets it with an error. 0, or -1 with any exception. */
static int
note_extra(Tls *tls)
{
    tls->peercert = tls_call(tls, tls->ssl, NAME_getpeercert, NULL);
    if (tls->peercert != NULL) {
        tls->cipher = tls_call(tls, tls->ssl, NAME_cipher, NULL);
    }
    if (tls->cipher != NULL) {
        tls->compression = tls_call(tls, tls->ssl, NAME_compression, NULL);
    }
    return tls->compression == NULL ? -1 : 0;
}

static int
finish_handshake(Tls *tls)
{
    PyObject *result = NULL;

    tls_stop_timer(tls);
    if (note_extra(tls) < 0) {
        return fail_handshake(tls);
    }
    tls->phase = TLS_OPEN;
    if (tls->loop->border.debug) {
        char text[80];

        PyOS_snprintf(text,
                      sizeof(text),
                      ": SSL handshake took %.1f ms",
                      (double)(loop_now() - tls->began) / 1e6);
        tls_debug(tls, text, NULL);
    }
    if (tls->told == TLS_TOLD_NOTHING) {
        tls->told = TLS_TOLD_MADE;
        result = tls_call_protocol(tls, NAME_connection_made, tls->transport);
        Py_XDECREF(result);
        if (result == NULL) {
            return tls_fail(
                tls, "Fatal error: protocol.connection_made() call failed.");
        }
    }
    tls_wake(tls, NULL);
    if (tls->phase != TLS_OPEN) {
        return 0;
    }
    /* Who has waited gets to run before the first data, and what it writes
     * goes out together with the end of our handshake. */
    tls->waits = true;
    if (tls_read_soon(tls) < 0) {
        return tls_fail(tls, "Fatal error on SSL protocol");
    }
    return 0;
}

int
tls_shake_hands(Tls *tls)
{
    State *st = tls_state(tls);

    if (tls_do(tls, tls->ssl, NAME_do_handshake, NULL) == 0) {
        /* It may have run Python code, to choose a certificate. */
        return tls->phase == TLS_HANDSHAKE ? finish_handshake(tls) : 0;
    }
    if (tls->phase == TLS_HANDSHAKE &&
        (PyErr_ExceptionMatches(st->objects[OBJECT_SSL_WANT_READ]) ||
         PyErr_ExceptionMatches(st->objects[OBJECT_SSL_SYSCALL]))) {
        PyErr_Clear(); /* it is the peer's turn */
        return tls_send(tls);
    }
    return fail_handshake(tls);
}

/* The context that a transport calls its protocol in; borrowed, NULL if it is
 * none of ours. */
static PyObject *
find_context(Tls *tls, PyObject *lower)
{
    State *st = tls_state(tls);

    if (Py_IS_TYPE(lower, st->types[TYPE_SSL_TRANSPORT])) {
        return CAST(SslTransport, lower)->tls->context;
    }
    if (Py_IS_TYPE(lower, st->types[TYPE_TCP_TRANSPORT]) ||
        Py_IS_TYPE(lower, st->types[TYPE_UNIX_TRANSPORT])) {
        return CAST(Transport, lower)->context;
    }
    return NULL;
}

/* Whether the lower transport is at its end already: it may have told whoever
 * was its protocol then. 1, 0, or -1 with any exception. */
static int
is_closing(Tls *tls)
{
    PyObject *result = tls_call(tls, tls->lower, NAME_is_closing, NULL);
    int closing = result == NULL ? -1 : PyObject_IsTrue(result);

    Py_XDECREF(result);
    return closing;
}

/* Whether the lower transport takes nothing for now (start_tls on one that is
 * full already): 0, or -1 with any exception. */
static int
look_if_full(Tls *tls)
{
    PyObject *paused = NULL;
    int found = PyObject_GetOptionalAttr(
        tls->lower, tls_name(tls, NAME_protocol_paused), &paused);

    if (found > 0) {
        found = PyObject_IsTrue(paused);
        Py_DECREF(paused);
    }
    tls->lower_full = found > 0;
    return found < 0 ? -1 : 0;
}

int
tls_connect(Tls *tls, PyObject *lower)
{
    double seconds = 0;
    int closing = 0;

    if (tls->lower != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the connection was made already");
        return -1;
    }
    if (tls->phase == TLS_LOST) {
        return 0; /* start_tls has called this later, which was too late */
    }
    tls->lower = Py_NewRef(lower);
    if (tls->phase != TLS_NEW) { /* it was aborted before */
        tls_abort(tls, Py_None);
        return 0;
    }
    closing = is_closing(tls);
    if (closing < 0) {
        return fail_handshake(tls);
    }
    if (closing > 0) {
        tls->phase = TLS_ENDED;
        tls->closing = true;
        wake_with(tls, NULL, CLOSED_BEFORE);
        return 0;
    }
    tls->context = Py_XNewRef(find_context(tls, lower));
    tls_debug(tls, " starts SSL handshake", NULL);
    tls->began = loop_now();
    tls->phase = TLS_HANDSHAKE;
    seconds = PyFloat_AsDouble(tls->handshake_timeout);
    if ((seconds == -1.0 && PyErr_Occurred()) || look_if_full(tls) < 0 ||
        start_timer(tls, &handshake_timeout_def, seconds) < 0) {
        return fail_handshake(tls);
    }
    return tls_shake_hands(tls);
}

/* ---- shutdown ---- */

int
tls_tell_eof(Tls *tls)
{
    PyObject *result = NULL;
    int keep_open = -1;

    if (tls->told != TLS_TOLD_MADE) {
        return 0;
    }
    tls->told = TLS_TOLD_EOF;
    result = tls_call_protocol(tls, NAME_eof_received, NULL);
    if (result != NULL) {
        keep_open = PyObject_IsTrue(result);
        Py_DECREF(result);
    }
    if (keep_open < 0) {
        return tls_fail(tls, "Error calling eof_received()");
    }
    if (keep_open > 0) {
        transport_log(tls_state(tls),
                      NAME_warning,
                      "returning true from eof_received() has no effect when "
                      "using ssl",
                      (PyObject *)tls,
                      NULL);
    }
    return 0;
}

/* close_notify, and the peer's: 0, or -1 with any exception. */
static int
shut_down(Tls *tls)
{
    State *st = tls_state(tls);
    bool done = tls_do(tls, tls->ssl, NAME_unwrap, NULL) == 0;

    if (!done && !PyErr_ExceptionMatches(st->objects[OBJECT_SSL_WANT_READ]) &&
        !PyErr_ExceptionMatches(st->objects[OBJECT_SSL_SYSCALL])) {
        return -1;
    }
    PyErr_Clear(); /* it is the peer's turn */
    if (tls_flush(tls) < 0) {
        return -1;
    }
    if (done) {
        Py_ssize_t unsent = 0;

        if (tls_tell_eof(tls) < 0) {
            return -1;
        }
        unsent = tls_unsent(tls);
        if (unsent != 0) {
            return unsent < 0 ? -1 : 0;
        }
    }
    if (tls->phase == TLS_SHUTDOWN && (done || tls->discarded > DISCARD_MAX)) {
        return finish(tls);
    }
    return 0;
}

/* 0, or -1 with any exception. */
static int
take_step(Tls *tls)
{
    if (tls_discard(tls) < 0 ||
        ((tls->notified || tls->eof) && tls_tell_eof(tls) < 0)) {
        return -1;
    }
    if (tls->phase == TLS_FLUSHING) {
        Py_ssize_t unsent = 0;

        if (tls_send(tls) < 0 || tls_control_reading(tls) < 0) {
            return -1;
        }
        if (tls->phase == TLS_FLUSHING) {
            unsent = tls_unsent(tls);
        }
        if (unsent != 0) {
            return unsent < 0 ? -1 : 0;
        }
    }
    if (tls->phase != TLS_FLUSHING && tls->phase != TLS_SHUTDOWN) {
        return 0; /* somebody has aborted it */
    }
    tls->phase = TLS_SHUTDOWN;
    return tls->eof ? finish(tls) : shut_down(tls);
}

int
tls_continue_shutdown(Tls *tls)
{
    if (take_step(tls) < 0) {
        return tls_fail(tls, "Error occurred during shutdown");
    }
    return 0;
}

int
tls_start_shutdown(Tls *tls)
{
    if (tls->phase >= TLS_FLUSHING) {
        return 0;
    }
    tls->closing = true;
    if (tls->phase < TLS_OPEN || tls->loop->closed) {
        tls_abort(tls, Py_None);
        return 0;
    }
    tls->phase = TLS_FLUSHING;
    if (start_shutdown_timer(tls) < 0) {
        return tls_fail(tls, "Fatal error on transport");
    }
    return tls_continue_shutdown(tls);
}

int
tls_receive_eof(Tls *tls)
{
    tls_debug(tls, " received EOF", NULL);
    tls->eof = true;
    switch (tls->phase) {
    case TLS_HANDSHAKE:
        PyErr_SetNone(PyExc_ConnectionResetError);
        return fail_handshake(tls);
    case TLS_OPEN:
        return tls_read(tls);
    case TLS_FLUSHING:
    case TLS_SHUTDOWN:
        return tls_continue_shutdown(tls);
    default:
        return 0;
    }
}
