/* compat.h - CPython 3.11 to 3.15 behind one set of names.
 *
 * One block a symbol, each with the issue or document that brought it and
 * the oldest release that makes it unnecessary. This file and the module.c
 * files are the only ones that may test PY_VERSION_HEX.
 */
#ifndef HTTPTOOLS_UV_COMPAT_H
#define HTTPTOOLS_UV_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <string.h>

/* PyMemberDef's Py_T_* names; gh-47146, delete when 3.12 is the floor. */
#if PY_VERSION_HEX < 0x030C00A0
#include <structmember.h>
#define Py_T_PYSSIZET T_PYSSIZET
#define Py_T_OBJECT_EX T_OBJECT_EX
#define Py_T_BOOL T_BOOL
#define Py_T_DOUBLE T_DOUBLE
#define Py_T_INT T_INT
#define Py_READONLY READONLY
#endif

/* PyErr_GetRaisedException, PyErr_SetRaisedException; gh-101578, 3.12. */
#if PY_VERSION_HEX < 0x030C00A6
static inline PyObject *
PyErr_GetRaisedException(void)
{
    PyObject *type = NULL;
    PyObject *value = NULL;
    PyObject *traceback = NULL;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value != NULL && traceback != NULL) {
        (void)PyException_SetTraceback(value, traceback); /* checked type */
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

static inline void
PyErr_SetRaisedException(PyObject *exc /* steals */)
{
    PyObject *type = Py_NewRef((PyObject *)Py_TYPE(exc));

    PyErr_Restore(type, exc, PyException_GetTraceback(exc));
}
#endif

/* PyObject_GetOptionalAttr; gh-106521, 3.13. 1 found, 0 absent, -1 error.
 * _PyObject_LookupAttr is the same function before it was made public; to
 * raise an AttributeError and clear it costs ten times as much. */
#if PY_VERSION_HEX < 0x030D00A1
static inline int
PyObject_GetOptionalAttr(PyObject *obj, PyObject *name, PyObject **result)
{
    return _PyObject_LookupAttr(obj, name, result);
}
#endif

/* PyDict_GetItemRef; gh-106004, 3.13. 1 found, 0 absent, -1 error. */
#if PY_VERSION_HEX < 0x030D00A1
static inline int
PyDict_GetItemRef(PyObject *dict, PyObject *key, PyObject **result)
{
    PyObject *item = PyDict_GetItemWithError(dict, key);

    *result = Py_XNewRef(item);
    if (item != NULL) {
        return 1;
    }
    return PyErr_Occurred() ? -1 : 0;
}
#endif

/* PyList_GetItemRef; gh-114329, 3.13. */
#if PY_VERSION_HEX < 0x030D00A4
static inline PyObject *
PyList_GetItemRef(PyObject *list, Py_ssize_t index)
{
    return Py_XNewRef(PyList_GetItem(list, index));
}
#endif

/* PyWeakref_GetRef; gh-105927, 3.13. 1 alive, 0 dead, -1 error. */
#if PY_VERSION_HEX < 0x030D00A1
static inline int
PyWeakref_GetRef(PyObject *ref, PyObject **result)
{
    PyObject *obj = PyWeakref_GetObject(ref);

    *result = NULL;
    if (obj == NULL) {
        return -1;
    }
    if (obj == Py_None) {
        return 0;
    }
    *result = Py_NewRef(obj);
    return 1;
}
#endif

/* PyLong_AsInt; gh-108014, 3.13. -1 with an exception on failure. */
#if PY_VERSION_HEX < 0x030D00A1
static inline int
PyLong_AsInt(PyObject *obj)
{
    long value = PyLong_AsLong(obj);

    if (value > INT_MAX || value < INT_MIN) {
        PyErr_SetString(PyExc_OverflowError,
                        "Python int too large to convert to C int");
        return -1;
    }
    return (int)value;
}
#endif

/* PyModule_Add, which always steals; gh-86493, 3.13. */
#if PY_VERSION_HEX < 0x030D00A1
static inline int
PyModule_Add(PyObject *module, const char *name, PyObject *value /* steals */)
{
    int err = PyModule_AddObjectRef(module, name, value);

    Py_XDECREF(value);
    return err;
}
#endif

/* What asyncio counts for each queued datagram besides its bytes, and whether
 * it sends empty ones: gh-115199, 3.13. */
#if PY_VERSION_HEX >= 0x030D00A5
#define COMPAT_DATAGRAM_HEADER 8
#define COMPAT_SENDS_EMPTY_DATAGRAMS 1
#else
#define COMPAT_DATAGRAM_HEADER 0
#define COMPAT_SENDS_EMPTY_DATAGRAMS 0
#endif

/* Whether another thread's cancel() and cancelled() of what
 * call_soon_threadsafe returned wait for a call that has begun, and the class
 * in asyncio.events that it is: gh-128340, 3.14. */
#if PY_VERSION_HEX >= 0x030E00A4
#define COMPAT_HANDLES_WAIT 1
#define COMPAT_THREADSAFE_HANDLE "_ThreadSafeHandle"
#else
#define COMPAT_HANDLES_WAIT 0
#define COMPAT_THREADSAFE_HANDLE "Handle"
#endif

/* Whether create_task() gives a task factory all that it was given, and the
 * signature that says so: gh-128307, 3.14. */
#if PY_VERSION_HEX >= 0x030E0000
#define COMPAT_FACTORIES_TAKE_ALL 1
#define COMPAT_CREATE_TASK "create_task($self, coro, **kwargs)"
#else
#define COMPAT_FACTORIES_TAKE_ALL 0
#define COMPAT_CREATE_TASK                                                    \
    "create_task($self, coro, *, name=None, context=None, **kwargs)"
#endif

/* Whether threads run Python code at the same time: PEP 703, 3.13. */
#ifdef Py_GIL_DISABLED
#define COMPAT_FREE_THREADED 1
#else
#define COMPAT_FREE_THREADED 0
#endif

/* Py_BEGIN_CRITICAL_SECTION: an object's own lock, where there is no GIL;
 * gh-111903, 3.13. */
#ifndef Py_BEGIN_CRITICAL_SECTION
#define Py_BEGIN_CRITICAL_SECTION(object) {
#define Py_END_CRITICAL_SECTION() }
#endif

/* bytes_shrink: cut a bytes object that nobody else has seen down to size.
 * On failure *bytes is NULL and MemoryError is set. _PyBytes_Resize is the
 * only way to it until PyBytesWriter (PEP 782) in 3.15; delete when that is
 * the floor. */
static inline int
bytes_shrink(PyObject **bytes, Py_ssize_t size)
{
    return _PyBytes_Resize(bytes, size);
}

/* object_is_ours: whether no one but the caller holds the object, so that it
 * may be used again for something else. Where the count alone cannot tell
 * (free-threaded before gh-133140 in 3.14), the answer is no. */
static inline int
object_is_ours(PyObject *object)
{
#if !defined(Py_GIL_DISABLED)
    return Py_REFCNT(object) == 1;
#elif PY_VERSION_HEX >= 0x030E00A8
    return PyUnstable_Object_IsUniquelyReferenced(object);
#else
    (void)object;
    return 0;
#endif
}

/* object_is_held: whether so many references are all that there are, so that
 * an equal object may stand in for it. The same, but for free-threading: there
 * it is never known. */
static inline int
object_is_held(PyObject *object, Py_ssize_t references)
{
#if !defined(Py_GIL_DISABLED)
    return Py_REFCNT(object) == references;
#else
    (void)object;
    (void)references;
    return 0;
#endif
}

static inline int
bytes_is_ours(PyObject *bytes)
{
    return object_is_ours(bytes);
}

/* function_call: PyObject_Vectorcall, without the way from a Python function
 * to its vectorcall and a look at what that returns, which is always right. */
static inline PyObject *
function_call(PyObject *function, PyObject *const *args, size_t nargsf)
{
    if (PyFunction_Check(function)) {
        return ((PyFunctionObject *)function)
            ->vectorcall(function, args, nargsf, NULL);
    }
    return PyObject_Vectorcall(function, args, nargsf, NULL);
}

/* bytes_recycle: make a bytes object that is ours (see above) a fresh one of
 * `size` bytes, at most its allocated size; the content is the caller's to
 * fill. The hash must go (a callback may have hashed the old content), and
 * the object ends in a NUL. ob_shash is deprecated since 3.11 for readers;
 * nothing public resets it: PyBytesWriter, 3.15. */
static inline void
bytes_recycle(PyObject *bytes, Py_ssize_t size)
{
    _Py_COMP_DIAG_PUSH _Py_COMP_DIAG_IGNORE_DEPR_DECLS((PyBytesObject *)bytes)
        ->ob_shash = -1;
    _Py_COMP_DIAG_POP Py_SET_SIZE((PyVarObject *)bytes, size);
    PyBytes_AS_STRING(bytes)[size] = '\0';
}

/* bytearray_cut: make a bytearray that nobody looks at shorter where it is, as
 * PyByteArray_Resize does, unless it thinks that the memory is worth moving:
 * which may fail. Nothing public does no more than that. */
static inline void
bytearray_cut(PyObject *array, Py_ssize_t size)
{
    Py_SET_SIZE((PyVarObject *)array, size);
    PyByteArray_AS_STRING(array)[size] = '\0';
}

/* type_version: another number after each change of a class or its bases; 0
 * until an attribute is looked up. There is no public name for it: a watcher
 * (gh-91051, 3.12) would have to be told of each change by a call. */
static inline unsigned int
type_version(PyTypeObject *type)
{
    return type->tp_version_tag;
}

/* tuple_recycle: the same for a tuple whose content has changed: since 3.14
 * it has a hash, gh-131525, which nothing public resets. */
static inline void
tuple_recycle(PyObject *tuple)
{
#if PY_VERSION_HEX >= 0x030E00A7
    ((PyTupleObject *)tuple)->ob_hash = -1;
#else
    (void)tuple;
#endif
}

/* Claim: held by at most one thread at a time, and not twice by that one.
 * Atomic where threads run in parallel; with the GIL (which switches threads
 * in none of the functions) a test and a store. Free-threading (PEP 703)
 * made it, its absence would have to go for it to go. */
#include <stdatomic.h>
#include <stdbool.h>

typedef struct {
#ifdef Py_GIL_DISABLED
    atomic_ulong holder; /* ident of the thread; 0: none */
#else
    bool taken;
#endif
} Claim;

static inline bool
claim_take(Claim *claim)
{
#ifdef Py_GIL_DISABLED
    unsigned long nobody = 0;

    return atomic_compare_exchange_strong(
        &claim->holder, &nobody, PyThread_get_thread_ident());
#else
    if (claim->taken) {
        return false;
    }
    claim->taken = true;
    return true;
#endif
}

static inline void
claim_drop(Claim *claim)
{
#ifdef Py_GIL_DISABLED
    atomic_store_explicit(&claim->holder, 0, memory_order_release);
#else
    claim->taken = false;
#endif
}

/* Whether a thread that runs beside this one holds it. With a GIL none does:
 * then what the claim guards is whole whenever one may look. */
static inline bool
claim_is_foreign(Claim *claim)
{
#ifdef Py_GIL_DISABLED
    unsigned long holder =
        atomic_load_explicit(&claim->holder, memory_order_acquire);

    return holder != 0 && holder != PyThread_get_thread_ident();
#else
    (void)claim;
    return false;
#endif
}

/* CAST: a downcast that the debug profile checks is not NULL. */
#define CAST(Type, op) ((Type *)(op))

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* METHOD: the one legal function-pointer cast, PyMethodDef's own (the flags
 * beside it say how the function is really called). */
#define METHOD(function) ((PyCFunction)(void (*)(void))(function))

#endif
