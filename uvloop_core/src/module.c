/* module.c - uvloop_core._core: multi-phase initialisation, nothing else. */
#include "dial.h"
#include "forks.h"
#include "fs_event.h"
#include "kinds.h"
#include "literal.h"
#include "loop.h"
#include "reading.h"
#include "sockets.h"
#include "waiter.h"
#include "tls.h"
#include "udp.h"
#include "pipe.h"

/* Each type registers itself. */
typedef int (*Register)(PyObject *module, State *st);

static const Register registers[] = {
    callback_register,
    literal_register,
    loop_register,
    waiter_register,
    reading_register,
    sockets_register,
    dial_register,
    server_register,
    listener_register,
    tcp_register,
    udp_register,
    fs_event_register,
    unix_register,
    pipe_register,
    tls_register,
};

PyDoc_STRVAR(libuv_version_doc,
             "libuv_version($module, /)\n--\n\n"
             "Return the version of the libuv that is compiled in, as "
             "'1.52.1'.");

static PyObject *
libuv_version_meth(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyUnicode_FromString(uv_version_string());
}

PyDoc_STRVAR(libuv_get_version_doc,
             "libuv_get_version($module, /)\n--\n\n"
             "Return that version as a number, 0x013401.");

static PyObject *
libuv_get_version_meth(PyObject *Py_UNUSED(module),
                       PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLong(uv_version());
}

static int
module_exec(PyObject *module)
{
    State *st = PyModule_GetState(module);

#ifdef PORTABLE
    PyObject *portable = Py_True;
#else
    PyObject *portable = Py_False;
#endif

    if (state_init(st) < 0 || forks_watch() < 0 ||
        PyModule_AddObjectRef(module, "portable", portable) < 0) {
        return -1;
    }
    for (size_t i = 0; i < ARRAY_LEN(registers); i++) {
        if (registers[i](module, st) < 0) {
            return -1;
        }
    }
    return PyModule_AddStringConstant(
        module, "__version__", HTTPTOOLS_UV_VERSION);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    return state_traverse(PyModule_GetState(module), visit, arg);
}

static int
module_clear(PyObject *module)
{
    state_clear(PyModule_GetState(module));
    return 0;
}

static void
module_free(void *module)
{
    (void)module_clear(module);
}

static PyMethodDef module_methods[] = {
    {"libuv_version", libuv_version_meth, METH_NOARGS, libuv_version_doc},
    {"libuv_get_version",
     libuv_get_version_meth,
     METH_NOARGS,
     libuv_get_version_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

PyDoc_STRVAR(module_doc,
             "The part of uvloop_core that runs per event, in C on libuv.");

struct PyModuleDef state_module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "uvloop_core._core",
    .m_doc = module_doc,
    .m_size = sizeof(State),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&state_module_def);
}
