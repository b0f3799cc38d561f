#include "enter.h"

bool
border_take(Border *border)
{
    unsigned long nobody = 0;

    return atomic_compare_exchange_strong(
        &border->thread, &nobody, PyThread_get_thread_ident());
}

void
border_drop(Border *border)
{
    atomic_store_explicit(&border->thread, 0, memory_order_release);
}

/* Leave the entered context; no exception is pending. */
static void
leave(Border *border)
{
    PyObject *context = border->context;

    border->context = NULL;
    if (PyContext_Exit(context) < 0) {
        /* user code left another context entered: its bug, told once */
        PyErr_WriteUnraisable(context);
    }
    Py_DECREF(context);
}

void
enter_leave(Border *border)
{
    PyObject *pending = NULL;

    if (border->context == NULL) {
        return;
    }
    if (PyErr_Occurred()) {
        pending = PyErr_GetRaisedException();
    }
    leave(border);
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

int
enter_another(Border *border, PyObject *context)
{
    if (border->context != NULL) {
        leave(border);
    }
    if (PyContext_Enter(context) < 0) {
        return -1;
    }
    border->context = Py_NewRef(context);
    return 0;
}

PyObject *
enter_call_corked(Border *border,
                  PyObject *context,
                  PyObject *callable,
                  PyObject *const *args,
                  size_t nargsf)
{
    PyObject *result = NULL;

    cork_enter(&border->cork);
    if (enter_context(border, context) == 0) {
        result = PyObject_Vectorcall(callable, args, nargsf, NULL);
    }
    cork_leave(&border->cork);
    return result;
}

PyObject *
enter_method_corked(Border *border,
                    PyObject *context,
                    NameIndex name,
                    PyObject *const *args,
                    size_t nargsf)
{
    PyObject *result = NULL;

    cork_enter(&border->cork);
    if (enter_context(border, context) == 0) {
        result = PyObject_VectorcallMethod(
            border->st->names[name], args, nargsf, NULL);
    }
    cork_leave(&border->cork);
    return result;
}

PyObject *
enter_method_nested(Border *border,
                    PyObject *context,
                    NameIndex name,
                    PyObject *const *args,
                    size_t nargsf)
{
    PyObject *copy = PyContext_Copy(context);
    PyObject *result = NULL;

    cork_flush(&border->cork);
    if (copy == NULL || PyContext_Enter(copy) < 0) {
        goto done;
    }
    result =
        PyObject_VectorcallMethod(border->st->names[name], args, nargsf, NULL);
    if (PyContext_Exit(copy) < 0) {
        Py_CLEAR(result);
    }
done:
    Py_XDECREF(copy);
    return result;
}

void
enter_fatal(Border *border)
{
    PyObject *exc = PyErr_GetRaisedException();

    enter_leave(border);
    if (border->fatal == NULL) {
        border->fatal = exc;
    }
    else {
        Py_XDECREF(exc); /* the first one is on its way out already */
    }
}

void
enter_fatal_inside(Border *border)
{
    PyObject *entered = border->context;

    border->context = NULL;
    enter_fatal(border);
    border->context = entered;
}

/* dict[key] = value where value is not NULL; 0 or -1. */
static int
put(State *st, PyObject *dict, NameIndex key, PyObject *value)
{
    return value == NULL ? 0 : PyDict_SetItem(dict, st->names[key], value);
}

void
enter_report_object(Border *border,
                    PyObject *message,
                    NameIndex key,
                    PyObject *value,
                    NameIndex key2,
                    PyObject *value2)
{
    State *st = border->st;
    PyObject *exc = NULL;
    PyObject *dict = NULL;
    PyObject *result = NULL;
    PyObject *args[2] = {border->loop, NULL};

    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
        PyErr_ExceptionMatches(PyExc_SystemExit)) {
        enter_fatal(border);
        return;
    }
    exc = PyErr_GetRaisedException();
    enter_leave(border);
    dict = PyDict_New();
    if (dict == NULL || put(st, dict, NAME_message, message) < 0 ||
        put(st, dict, NAME_exception, exc) < 0 ||
        put(st, dict, key, value) < 0 || put(st, dict, key2, value2) < 0) {
        goto done;
    }
    args[1] = dict;
    result = PyObject_VectorcallMethod(
        st->names[NAME_call_exception_handler], args, 2, NULL);
done:
    if (result == NULL) {
        enter_fatal(border);
    }
    Py_XDECREF(result);
    Py_XDECREF(dict);
    Py_XDECREF(exc);
}

void
enter_report_inside(Border *border,
                    const char *message,
                    PyObject *transport,
                    PyObject *protocol)
{
    PyObject *entered = border->context;
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *text = PyUnicode_FromString(message);

    if (text == NULL) {
        PyErr_Clear(); /* what happened matters more than its text */
    }
    PyErr_SetRaisedException(exc);
    border->context = NULL;
    enter_report_object(
        border, text, NAME_transport, transport, NAME_protocol, protocol);
    border->context = entered;
    Py_XDECREF(text);
}

int
enter_settle(Border *border, PyObject *future, PyObject *exc)
{
    State *st = border->st;
    NameIndex method = exc == NULL ? NAME_set_result : NAME_set_exception;
    PyObject *result = PyObject_CallMethodNoArgs(future, st->names[NAME_done]);
    int is_done = result == NULL ? -1 : PyObject_IsTrue(result);

    Py_XDECREF(result);
    if (is_done != 0) {
        return is_done < 0 ? -1 : 0;
    }
    result = PyObject_CallMethodOneArg(
        future, st->names[method], exc == NULL ? Py_None : exc);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

void
enter_report(Border *border,
             const char *message,
             NameIndex key,
             PyObject *value)
{
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *text = PyUnicode_FromString(message);

    if (text == NULL) {
        PyErr_Clear(); /* the user's exception matters more than its text */
    }
    PyErr_SetRaisedException(exc);
    enter_report_object(border, text, key, value, NAME_EMPTY, NULL);
    Py_XDECREF(text);
}
