/* The calls that TLS makes, to the protocol above it and to what it works
 * with, and what becomes of an exception. */
#include "tls.h"

/* The context is entered already if the lower transport calls us, or the
 * loop. Else the call is made from inside Python code, of whatever context:
 * in a copy. */
PyObject *
tls_call_protocol(Tls *tls, NameIndex name, PyObject *arg)
{
    Border *border = &tls->loop->border;
    PyObject *args[2] = {Py_NewRef(tls->protocol), arg};
    size_t count = arg == NULL ? 1 : 2;
    PyObject *result = NULL;

    if (tls->context == NULL) {
        result =
            PyObject_VectorcallMethod(tls_name(tls, name), args, count, NULL);
    }
    else if (tls->nested == 0 && border->context == tls->context) {
        result = enter_method(border, tls->context, name, args, count);
    }
    else {
        result = enter_method_nested(border, tls->context, name, args, count);
    }
    Py_DECREF(args[0]);
    return result;
}

PyObject *
tls_call(Tls *tls, PyObject *object, NameIndex name, PyObject *arg)
{
    PyObject *args[2] = {Py_NewRef(object), arg};
    PyObject *result = PyObject_VectorcallMethod(
        tls_name(tls, name), args, arg == NULL ? 1 : 2, NULL);

    Py_DECREF(args[0]);
    return result;
}

int
tls_do(Tls *tls, PyObject *object, NameIndex name, PyObject *arg)
{
    PyObject *result = tls_call(tls, object, name, arg);

    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
tls_call_soon(Tls *tls, PyMethodDef *def)
{
    PyObject *callable = PyCFunction_New(def, (PyObject *)tls);
    int err = 0;

    if (callable == NULL) {
        return -1;
    }
    err = loop_call_soon(tls->loop, callable, tls->context, NULL, 0);
    Py_DECREF(callable);
    return err;
}

void
tls_debug(Tls *tls, const char *text, PyObject *exc)
{
    if (tls->loop->border.debug) {
        char format[120];

        PyOS_snprintf(format, sizeof(format), "%%r%s", text);
        transport_log(
            tls_state(tls), NAME_debug, format, (PyObject *)tls, exc);
    }
}

/* The pending exception to the exception handler. */
static void
report(Tls *tls, const char *message)
{
    PyObject *lower = Py_XNewRef(tls->lower);

    enter_report_inside(&tls->loop->border, message, lower, (PyObject *)tls);
    Py_XDECREF(lower);
}

int
tls_fail(Tls *tls, const char *message)
{
    PyObject *exc = NULL;

    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    exc = PyErr_GetRaisedException();
    tls_abort(tls, exc);
    if (PyErr_GivenExceptionMatches(exc, PyExc_OSError)) {
        char text[100];

        PyOS_snprintf(text, sizeof(text), ": %s", message);
        tls_debug(tls, text, exc);
    }
    else {
        PyErr_SetRaisedException(Py_NewRef(exc));
        report(tls, message);
    }
    Py_DECREF(exc);
    return 0;
}

int
tls_fail_with(Tls *tls, PyObject *type, const char *text)
{
    PyErr_SetString(type, text);
    return tls_fail(tls, "Fatal error on transport");
}

int
tls_report(Tls *tls, const char *message)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    report(tls, message);
    return 0;
}

void
tls_wake(Tls *tls, PyObject *exc)
{
    PyObject *waiter = tls->waiter;

    if (waiter != NULL) {
        tls->waiter = NULL;
        if (enter_settle(&tls->loop->border, waiter, exc) < 0) {
            report(tls, "Exception while waking up who waits");
        }
        Py_DECREF(waiter);
    }
}
