/* The fuzzer of `make fuzz-c`: libFuzzer, the C of httptools and llhttp, all
 * compiled for its coverage and the sanitizers, and a Python around them. What
 * is done with an input is said in one.py. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>

/* Where libFuzzer looks them up. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
PyMODINIT_FUNC PyInit__http(void);

static PyObject *run_one; /* owned: lives as long as the process */

/* libFuzzer keeps the input of a process that aborts. */
static void
require(int ok)
{
    if (!ok) {
        if (PyErr_Occurred()) {
            PyErr_Print();
        }
        abort();
    }
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    PyConfig config;
    PyStatus status;
    PyObject *module;
    const char *python = getenv("FUZZ_PYTHON"); /* guided.py sets it */

    (void)argc;
    (void)argv;
    require(python != NULL);
    require(PyImport_AppendInittab("httptools._http", PyInit__http) == 0);
    PyConfig_InitPythonConfig(&config);
    config.parse_argv = 0;
    config.install_signal_handlers = 0; /* they are libFuzzer's */
    status = PyConfig_SetBytesString(&config, &config.program_name, python);
    require(!PyStatus_Exception(status));
    status = Py_InitializeFromConfig(&config);
    require(!PyStatus_Exception(status));
    PyConfig_Clear(&config);

    module = PyImport_ImportModule("fuzz.one");
    require(module != NULL);
    run_one = PyObject_GetAttrString(module, "run_one");
    require(run_one != NULL);
    Py_DECREF(module);
    return 0;
}

/* The input lies in memory of just its size, and is handed on as it lies
 * there: a read past its end is seen. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PyObject *view, *result;

    view = PyMemoryView_FromMemory((char *)data, (Py_ssize_t)size, PyBUF_READ);
    require(view != NULL);
    result = PyObject_CallOneArg(run_one, view);
    require(result != NULL);
    Py_DECREF(result);
    result = PyObject_CallMethod(view, "release", NULL);
    require(result != NULL); /* or somebody still holds the input */
    Py_DECREF(result);
    Py_DECREF(view);
    return 0;
}
