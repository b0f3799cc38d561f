/* Only what is usual is done here: data that is there or comes, up to a number
 * of bytes or a separator. The rest is asyncio's own code: the end, errors,
 * the limit overrun, two readers at once, other arguments. It begins anew,
 * which it may: until then nothing was taken from the buffer.
 */
#include "reading.h"

#include "reader.h"

typedef struct {
    PyObject_HEAD
    State *st;           /* borrowed: the type holds the module */
    PyObject *reader;    /* owned */
    PyObject *separator; /* owned: bytes, to read until it; or NULL */
    Py_ssize_t size;     /* bytes to read; 0: asyncio's code knows */
    Py_ssize_t searched; /* bytes in which no separator begins */
    bool exact;          /* not less than `size` */
    PyObject *future;    /* owned: the iterator of what is awaited, or NULL */
    PyObject *data;      /* owned: in the end bytes, or None; or NULL */
} Reading;

/* What find_end() returns if not a number of bytes. */
#define NEEDS_MORE ((Py_ssize_t) - 1)
#define IS_UNUSUAL ((Py_ssize_t) - 2)

/* ---- the reader's attributes ---- */

/* Whether one of them is that object. */
static bool
has(Reading *reading, PyObject *attributes, NameIndex name, PyObject *value)
{
    PyObject *found = reader_get(reading->st, attributes, name);

    Py_XDECREF(found);
    return found == value;
}

/* The largest size of what ends in a separator; 0 if that is not usual. */
static Py_ssize_t
get_limit(Reading *reading, PyObject *attributes)
{
    PyObject *limit = reader_get(reading->st, attributes, NAME_reader_limit);
    Py_ssize_t size = reader_size(limit);

    Py_XDECREF(limit);
    return size;
}

/* ---- the buffer ---- */

/* The number of bytes before the separator. */
static Py_ssize_t
find_separator(Reading *reading, PyObject *buffer)
{
    const char *separator = PyBytes_AS_STRING(reading->separator);
    Py_ssize_t length = PyBytes_GET_SIZE(reading->separator);
    Py_ssize_t found = NEEDS_MORE;
    Py_ssize_t size = 0;

    Py_BEGIN_CRITICAL_SECTION(buffer);
    size = PyByteArray_GET_SIZE(buffer);
    if (size - reading->searched >= length) {
        const char *data = PyByteArray_AS_STRING(buffer);
        const char *begin = memmem(data + reading->searched,
                                   (size_t)(size - reading->searched),
                                   separator,
                                   (size_t)length);

        if (begin != NULL) {
            found = begin - data;
        }
        else {
            reading->searched = size + 1 - length;
        }
    }
    Py_END_CRITICAL_SECTION();
    return found;
}

/* The number of bytes that end the reading. */
static Py_ssize_t
find_end(Reading *reading, PyObject *attributes, PyObject *buffer, bool woken)
{
    Py_ssize_t size = PyByteArray_GET_SIZE(buffer);

    if (reading->separator != NULL) {
        Py_ssize_t limit = get_limit(reading, attributes);
        Py_ssize_t found = find_separator(reading, buffer);

        if (found > limit || reading->searched > limit || limit == 0) {
            return IS_UNUSUAL;
        }
        return found < 0 ? found : found + reading->size;
    }
    if (size >= reading->size) {
        return reading->size;
    }
    /* Who was woken takes what there is, even if another one took it all. */
    return !reading->exact && (size > 0 || woken) ? size : NEEDS_MORE;
}

/* Take them from the buffer: bytes, or NULL with MemoryError or, if somebody
 * looks at the buffer, BufferError. */
static PyObject *
take(State *st, PyObject *attributes, PyObject *buffer, Py_ssize_t count)
{
    PyObject *data = NULL;
    bool all = false;

    Py_BEGIN_CRITICAL_SECTION(buffer);
    if (count > PyByteArray_GET_SIZE(buffer)) {
        count = PyByteArray_GET_SIZE(buffer); /* another thread took some */
    }
    data = PyBytes_FromStringAndSize(PyByteArray_AS_STRING(buffer), count);
    all = count == PyByteArray_GET_SIZE(buffer);
    Py_END_CRITICAL_SECTION();
    if (data == NULL || (all && reader_renew(st, attributes, buffer))) {
        return data;
    }
    /* Not by PyByteArray_Resize, which has the memory moved. */
    if (PySequence_DelSlice(buffer, 0, count) < 0) {
        Py_CLEAR(data);
    }
    return data;
}

/* ---- the transport ---- */

/* Data was taken: 0, or -1 with what resume_reading() raised. */
static int
resume_if_below(Reading *reading, PyObject *attributes)
{
    PyObject *result = NULL;

    if (has(reading, attributes, NAME_reader_paused, Py_False)) {
        return 0;
    }
    result = PyObject_CallMethodNoArgs(
        reading->reader, reading->st->names[NAME_reader_maybe_resume]);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* More data is needed of a reader that is paused: the same. */
static int
resume(Reading *reading, PyObject *attributes)
{
    State *st = reading->st;
    PyObject *result = NULL;
    PyObject *transport =
        PyObject_GetAttr(reading->reader, st->names[NAME_reader_transport]);
    if (transport != NULL &&
        reader_set(st, attributes, NAME_reader_paused, Py_False) == 0) {
        result = PyObject_CallMethodNoArgs(transport,
                                           st->names[NAME_resume_reading]);
    }
    Py_XDECREF(transport);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* ---- waiting ---- */

/* A future of the reader's loop: 1, 0 with NULL if that is not usual, or -1
 * with an exception. */
static int
make_future(Reading *reading, PyObject *attributes, PyObject **future)
{
    State *st = reading->st;
    PyObject *loop = reader_get(st, attributes, NAME_reader_loop);

    *future = NULL;
    if (loop == NULL) {
        return 0;
    }
    *future = PyObject_CallMethodNoArgs(loop, st->names[NAME_create_future]);
    Py_DECREF(loop);
    if (*future == NULL) {
        return -1;
    }
    if (!Py_IS_TYPE(*future, (PyTypeObject *)st->objects[OBJECT_FUTURE])) {
        Py_CLEAR(*future);
    }
    return *future != NULL;
}

/* Await the future no more. Keeps a pending exception, unless this fails: 0 or
 * -1. */
static int
end_waiting(Reading *reading)
{
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *attributes = PyObject_GenericGetDict(reading->reader, NULL);
    int err = -1;

    Py_CLEAR(reading->future);
    if (attributes != NULL) {
        err = reader_set(reading->st, attributes, NAME_reader_waiter, Py_None);
        Py_DECREF(attributes);
    }
    if (err == 0 && pending != NULL) {
        PyErr_SetRaisedException(pending);
        return 0;
    }
    Py_XDECREF(pending);
    return err;
}

/* Wait for the reader to be fed: the same. */
static int
begin_waiting(Reading *reading, PyObject *attributes)
{
    PyObject *future = NULL;
    int made = 0;

    if (!has(reading, attributes, NAME_reader_waiter, Py_None) ||
        !has(reading, attributes, NAME_reader_eof, Py_False)) {
        return 0;
    }
    if (!has(reading, attributes, NAME_reader_paused, Py_False)) {
        if (!has(reading, attributes, NAME_reader_paused, Py_True)) {
            return 0;
        }
        if (resume(reading, attributes) < 0) {
            return -1;
        }
    }
    made = make_future(reading, attributes, &future);
    if (made > 0) {
        made = -1;
        if (reader_set(reading->st, attributes, NAME_reader_waiter, future) ==
            0) {
            reading->future = Py_TYPE(future)->tp_as_async->am_await(future);
            made = 1;
            if (reading->future == NULL) {
                made = -1;
                (void)end_waiting(reading); /* one exception or another */
            }
        }
        Py_DECREF(future);
    }
    return made;
}

/* ---- reading ---- */

/* Take the data, or begin to wait for it; 0, or -1 with an exception. */
static int
take_or_wait(Reading *reading, PyObject *attributes, bool woken)
{
    PyObject *buffer = reader_get(reading->st, attributes, NAME_reader_buffer);
    Py_ssize_t end = IS_UNUSUAL;
    int waits = 0;

    if (buffer != NULL && PyByteArray_CheckExact(buffer)) {
        end = find_end(reading, attributes, buffer, woken);
    }
    if (end >= 0) {
        reading->data = take(reading->st, attributes, buffer, end);
        if (reading->data == NULL ||
            resume_if_below(reading, attributes) < 0) {
            waits = -1; /* then the data is lost, as in asyncio */
        }
    }
    else if (end == NEEDS_MORE) {
        waits = begin_waiting(reading, attributes);
    }
    if (waits == 0 && reading->data == NULL) {
        reading->data = Py_NewRef(Py_None);
    }
    Py_XDECREF(buffer);
    return waits < 0 ? -1 : 0;
}

/* 0, or -1 with an exception. */
static int
begin(Reading *reading)
{
    PyObject *attributes = reader_open(reading->st, reading->reader);
    int err = 0;

    if (attributes == NULL || reading->size == 0 ||
        !has(reading, attributes, NAME_reader_exception, Py_None)) {
        reading->data = Py_NewRef(Py_None);
    }
    else {
        err = take_or_wait(reading, attributes, false);
    }
    Py_XDECREF(attributes);
    return err;
}

/* The future has its result: the same. */
static int
go_on(Reading *reading)
{
    PyObject *attributes = PyObject_GenericGetDict(reading->reader, NULL);
    int err =
        attributes == NULL ? -1 : take_or_wait(reading, attributes, true);

    Py_XDECREF(attributes);
    return err;
}

/* What is awaited; NULL without an exception at the end, which is None to who
 * awaits this. The data is an attribute: to return it from here, StopIteration
 * would have to be made. */
static PyObject *
reading_tp_iternext(PyObject *self)
{
    Reading *reading = CAST(Reading, self);
    PyObject *result = NULL;

    while (reading->future != NULL) {
        PyObject *future = Py_NewRef(reading->future);
        PySendResult sent = PyIter_Send(future, Py_None, &result);

        Py_DECREF(future);
        if (sent == PYGEN_NEXT) {
            return result;
        }
        Py_CLEAR(result);
        if (end_waiting(reading) < 0 || sent == PYGEN_ERROR ||
            go_on(reading) < 0) {
            break;
        }
    }
    return NULL;
}

PyDoc_STRVAR(send_doc, "send($self, value, /)\n--\n\nThe same as next().");

static PyObject *
send_meth(PyObject *self, PyObject *Py_UNUSED(value))
{
    PyObject *result = reading_tp_iternext(self);

    if (result == NULL && !PyErr_Occurred()) {
        PyErr_SetNone(PyExc_StopIteration);
    }
    return result;
}

PyDoc_STRVAR(throw_doc,
             "throw($self, type, value=None, traceback=None, /)\n--\n\n"
             "Wait no more, and raise that: the coroutine is thrown into.");

static PyObject *
throw_meth(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Reading *reading = CAST(Reading, self);
    PyObject *thrown[4] = {reading->future};
    PyObject *result = NULL;

    if (reading->future == NULL || nargs > 3) {
        PyErr_SetString(PyExc_RuntimeError, "nothing is awaited");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        thrown[i + 1] = args[i];
    }
    Py_INCREF(thrown[0]);
    result = PyObject_VectorcallMethod(
        reading->st->names[NAME_throw], thrown, (size_t)nargs + 1, NULL);
    if (result == NULL) {
        (void)end_waiting(reading); /* one exception or another */
    }
    Py_DECREF(thrown[0]);
    return result;
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\nWait no more.");

static PyObject *
close_meth(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Reading *reading = CAST(Reading, self);

    if (reading->future != NULL && end_waiting(reading) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- slots ---- */

static int
reading_tp_traverse(PyObject *self, visitproc visit, void *arg)
{
    Reading *reading = CAST(Reading, self);

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(reading->reader);
    Py_VISIT(reading->future);
    return 0;
}

/* The reader stays: who holds this may go on. */
static int
reading_tp_clear(PyObject *self)
{
    Py_CLEAR(CAST(Reading, self)->future);
    return 0;
}

static void
reading_tp_dealloc(PyObject *self)
{
    Reading *reading = CAST(Reading, self);
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    (void)reading_tp_clear(self); /* always 0 */
    Py_CLEAR(reading->data);
    Py_CLEAR(reading->separator);
    Py_CLEAR(reading->reader);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"send", send_meth, METH_O, send_doc},
    {"throw", METHOD(throw_meth), METH_FASTCALL, throw_doc},
    {"close", close_meth, METH_NOARGS, close_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"data",
     Py_T_OBJECT_EX,
     offsetof(Reading, data),
     Py_READONLY,
     "What was read, or None: asyncio's coroutine is to read."},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(reading_doc,
             "What a coroutine of StreamReader awaits, until it has `data`.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)reading_doc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, reading_tp_iternext},
    {Py_am_await, PyObject_SelfIter},
    {Py_tp_traverse, reading_tp_traverse},
    {Py_tp_clear, reading_tp_clear},
    {Py_tp_dealloc, reading_tp_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "uvloop_core._core.Reading",
    .basicsize = sizeof(Reading),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

/* ---- the module's functions ---- */

/* New, of the reader that is args[0]; NULL with an exception. */
static Reading *
make(PyObject *module,
     const char *name,
     PyObject *const *args,
     Py_ssize_t nargs)
{
    State *st = PyModule_GetState(module);
    PyTypeObject *type = st->types[TYPE_READING];
    Reading *reading = NULL;

    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "%s() takes two arguments", name);
        return NULL;
    }
    reading = (Reading *)type->tp_alloc(type, 0);
    if (reading != NULL) {
        reading->st = st;
        reading->reader = Py_NewRef(args[0]);
    }
    return reading;
}

/* The Reading after its first step; NULL with an exception. */
static PyObject *
start(Reading *reading /* steals */)
{
    if (begin(reading) < 0) {
        Py_CLEAR(reading);
    }
    return (PyObject *)reading;
}

/* Up to args[1] bytes, or exactly so many: the same. */
static PyObject *
start_bytes(Reading *reading /* steals; or NULL */,
            PyObject *const *args,
            bool exact)
{
    if (reading == NULL) {
        return NULL;
    }
    reading->size = reader_size(args[1]);
    reading->exact = exact;
    return start(reading);
}

PyDoc_STRVAR(stream_read_doc,
             "stream_read($module, reader, n, /)\n--\n\n"
             "Begin reader.read(n): to be awaited, then it has `data`. That "
             "is None if asyncio's coroutine is to do it.");

static PyObject *
stream_read_meth(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    return start_bytes(make(module, "stream_read", args, nargs), args, false);
}

PyDoc_STRVAR(stream_readexactly_doc,
             "stream_readexactly($module, reader, n, /)\n--\n\n"
             "The same of reader.readexactly(n).");

static PyObject *
stream_readexactly_meth(PyObject *module,
                        PyObject *const *args,
                        Py_ssize_t nargs)
{
    return start_bytes(
        make(module, "stream_readexactly", args, nargs), args, true);
}

PyDoc_STRVAR(stream_readuntil_doc,
             "stream_readuntil($module, reader, separator, /)\n--\n\n"
             "The same of reader.readuntil(separator).");

static PyObject *
stream_readuntil_meth(PyObject *module,
                      PyObject *const *args,
                      Py_ssize_t nargs)
{
    Reading *reading = make(module, "stream_readuntil", args, nargs);

    if (reading == NULL) {
        return NULL;
    }
    if (PyBytes_CheckExact(args[1])) {
        reading->separator = Py_NewRef(args[1]);
        reading->size = PyBytes_GET_SIZE(args[1]);
    }
    return start(reading);
}

PyDoc_STRVAR(set_stream_reader_doc,
             "set_stream_reader($module, type, /)\n--\n\n"
             "Set the class that a StreamReader of asyncio's becomes one of.");

static PyObject *
set_stream_reader_meth(PyObject *module, PyObject *arg)
{
    State *st = PyModule_GetState(module);

    if (!PyType_Check(arg)) {
        PyErr_SetString(PyExc_TypeError, "set_stream_reader() takes a class");
        return NULL;
    }
    Py_XSETREF(st->types[TYPE_STREAM_READER], (PyTypeObject *)Py_NewRef(arg));
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"stream_read", METHOD(stream_read_meth), METH_FASTCALL, stream_read_doc},
    {"stream_readexactly",
     METHOD(stream_readexactly_meth),
     METH_FASTCALL,
     stream_readexactly_doc},
    {"stream_readuntil",
     METHOD(stream_readuntil_meth),
     METH_FASTCALL,
     stream_readuntil_doc},
    {"set_stream_reader",
     set_stream_reader_meth,
     METH_O,
     set_stream_reader_doc},
    {NULL, NULL, 0, NULL},
};

int
reading_register(PyObject *module, State *st)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);

    st->types[TYPE_READING] = (PyTypeObject *)type;
    return type == NULL || PyModule_AddObjectRef(module, "Reading", type) < 0
               ? -1
               : PyModule_AddFunctions(module, functions);
}
