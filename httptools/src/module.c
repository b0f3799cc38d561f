#include "state.h"

#include "errors.h"
#include "events.h"
#include "feed.h"
#include "llhttp_sse42.h"
#include "parser.h"
#include "url.h"
#include "writer.h"

#ifndef HTTPTOOLS_UV_VERSION
#error "setup.py passes HTTPTOOLS_UV_VERSION, from httptools/_version.py"
#endif

PyDoc_STRVAR(module_doc,
             "The compiled half of httptools; import httptools instead.");

static const struct {
    const char *name;
    long value;
} FLAGS[] = {
    {"KEEP_ALIVE", FLAG_KEEP_ALIVE},
    {"UPGRADE", FLAG_UPGRADE},
    {"CHUNKED", FLAG_CHUNKED},
    {"HAS_BODY", FLAG_HAS_BODY},
    {"EXPECT_100", FLAG_EXPECT_100},
};

static int
add_constants(PyObject *module)
{
    for (size_t i = 0; i < ARRAY_LEN(FLAGS); i++) {
        if (PyModule_AddIntConstant(module, FLAGS[i].name, FLAGS[i].value) <
            0) {
            return -1;
        }
    }
    if (PyModule_AddStringConstant(
            module, "__version__", HTTPTOOLS_UV_VERSION) < 0) {
        return -1;
    }
    return PyModule_AddStringConstant(
        module,
        "llhttp_version",
        Py_STRINGIFY(LLHTTP_VERSION_MAJOR) "." Py_STRINGIFY(
            LLHTTP_VERSION_MINOR) "." Py_STRINGIFY(LLHTTP_VERSION_PATCH));
}

static int
module_exec(PyObject *module)
{
    State *st = state_from_module(module);

    st->execute = llhttp__internal_execute;
#if LLHTTP_SSE42
    if (__builtin_cpu_supports("sse4.2")) {
        st->execute = llhttp_sse42_execute;
    }
#endif
    if (state_fill(st) < 0 || errors_import(st) < 0 || feed_learn(st) < 0 ||
        parser_register(module, st) < 0 || url_register(module, st) < 0 ||
        writer_register(module, st) < 0) {
        return -1;
    }
    return add_constants(module);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *st = state_from_module(module);

    return st == NULL ? 0 : state_traverse(st, visit, arg);
}

static int
module_clear(PyObject *module)
{
    State *st = state_from_module(module);

    if (st != NULL) {
        state_clear(st);
    }
    return 0;
}

static void
module_free(void *module)
{
    (void)module_clear(module); /* always 0 */
}

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

struct PyModuleDef state_module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "httptools._http",
    .m_doc = module_doc,
    .m_size = sizeof(State),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__http(void); /* Python looks it up by its name */

PyMODINIT_FUNC
PyInit__http(void)
{
    return PyModuleDef_Init(&state_module_def);
}
