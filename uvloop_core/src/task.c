#include "task.h"

#include "args.h"

/* The keywords as a dict, after `loop` if that is not NULL; new reference. */
static PyObject *
collect_keywords(State *st,
                 PyObject *loop,
                 PyObject *const *values,
                 PyObject *kwnames)
{
    PyObject *keywords = PyDict_New();
    Py_ssize_t count = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);

    if (keywords != NULL && loop != NULL &&
        PyDict_SetItem(keywords, st->names[NAME_loop], loop) < 0) {
        Py_CLEAR(keywords);
    }
    for (Py_ssize_t i = 0; keywords != NULL && i < count; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        int known = PyDict_Contains(keywords, name);

        if (known > 0) {
            PyErr_Format(PyExc_TypeError,
                         "create_task() got an unexpected keyword argument "
                         "'%U'",
                         name);
        }
        if (known != 0 || PyDict_SetItem(keywords, name, values[i]) < 0) {
            Py_CLEAR(keywords);
        }
    }
    return keywords;
}

/* The coroutine: the one argument, or taken out of the keywords. New
 * reference, or NULL with an exception. */
static PyObject *
take_coroutine(State *st,
               PyObject *const *args,
               Py_ssize_t nargs,
               PyObject *keywords)
{
    PyObject *name = st->names[NAME_coro];
    PyObject *coro = NULL;
    int found = 0;

    if (nargs == 1) {
        return Py_NewRef(args[0]);
    }
    if (nargs == 0) {
        found = PyDict_GetItemRef(keywords, name, &coro);
    }
    if (found > 0 && PyDict_DelItem(keywords, name) < 0) {
        Py_CLEAR(coro);
    }
    if (found == 0) {
        PyErr_Format(PyExc_TypeError,
                     "create_task() takes 1 positional argument (%zd given)",
                     nargs);
    }
    return coro;
}

/* Whether asyncio.Task, called with these keywords, takes this loop if it is
 * not told to: the one that runs in this thread; 1, 0 or -1. Where it takes
 * eager_start, it has to be told the loop (3.12 and 3.13). */
static int
is_found(State *st, PyObject *loop, PyObject *kwnames)
{
    Py_ssize_t count = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    PyObject *running = NULL;
    int found = 0;

    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);

        if (!args_same_name(name, st->names[NAME_name]) &&
            !args_same_name(name, st->names[NAME_context])) {
            return 0;
        }
    }
    running = PyObject_CallNoArgs(st->objects[OBJECT_GET_RUNNING_LOOP]);
    found = running == NULL ? -1 : running == loop;
    Py_XDECREF(running);
    return found;
}

/* The task, by whatever way it is made; `factory` may be NULL. */
static PyObject *
create_by_keywords(State *st,
                   PyObject *loop,
                   PyObject *factory,
                   PyObject *const *args,
                   Py_ssize_t nargs,
                   PyObject *kwnames)
{
    PyObject *coro = NULL;
    PyObject *positional = NULL;
    PyObject *task = NULL;
    PyObject *keywords = collect_keywords(
        st, factory == NULL ? loop : NULL, args + nargs, kwnames);

    if (keywords != NULL) {
        coro = take_coroutine(st, args, nargs, keywords);
    }
    if (coro != NULL) {
        positional = factory == NULL ? PyTuple_Pack(1, coro)
                                     : PyTuple_Pack(2, loop, coro);
    }
    if (positional != NULL) {
        task =
            PyObject_Call(factory == NULL ? st->objects[OBJECT_TASK] : factory,
                          positional,
                          keywords);
    }
    Py_XDECREF(positional);
    Py_XDECREF(coro);
    Py_XDECREF(keywords);
    return task;
}

/* The task, by a factory that is not told the name: that is set after. */
static PyObject *
create_by_method(State *st,
                 PyObject *loop,
                 PyObject *const *args,
                 Py_ssize_t nargs,
                 PyObject *kwnames)
{
    PyObject *method =
        PyObject_GetAttr(loop, st->names[NAME_create_by_factory]);
    PyObject *task = NULL;

    if (method != NULL) {
        task = PyObject_Vectorcall(method, args, (size_t)nargs, kwnames);
        Py_DECREF(method);
    }
    return task;
}

PyObject *
task_create(State *st,
            PyObject *loop,
            PyObject *factory,
            PyObject *const *args,
            Py_ssize_t nargs,
            PyObject *kwnames)
{
    int found = 0;

    if (factory == Py_None) {
        factory = NULL;
    }
    if (factory != NULL && !COMPAT_FACTORIES_TAKE_ALL) {
        return create_by_method(st, loop, args, nargs, kwnames);
    }
    if (factory == NULL && nargs == 1) {
        found = is_found(st, loop, kwnames);
    }
    if (found < 0) {
        return NULL;
    }
    if (found) {
        return PyObject_Vectorcall(
            st->objects[OBJECT_TASK], args, (size_t)nargs, kwnames);
    }
    return create_by_keywords(st, loop, factory, args, nargs, kwnames);
}
