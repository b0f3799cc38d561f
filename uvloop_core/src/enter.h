/* enter.h - the border into Python: user code is called here and nowhere
 * else, and what it raises is reported here and nowhere else.
 */
#ifndef UVLOOP_CORE_ENTER_H
#define UVLOOP_CORE_ENTER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "cork.h"
#include "state.h"

/* One a loop, embedded in it. */
typedef struct {
    State *st;         /* borrowed: the module outlives its loops */
    PyObject *loop;    /* borrowed: it embeds this struct */
    PyObject *context; /* owned: the context that is entered now, or NULL */
    PyObject *fatal;   /* owned: what run_forever shall raise, or NULL */
    /* Ident of the thread that runs the loop, or (only without a GIL) uses it
     * while it does not run; 0: none. Any thread may look. */
    atomic_ulong thread;
    atomic_bool running;
    atomic_bool debug; /* any thread may look, and set it */
    Cork cork; /* write coalescing: what the callback that runs put off */
} Border;

/* The thread above. */
static inline unsigned long
border_thread(Border *border)
{
    return atomic_load_explicit(&border->thread, memory_order_acquire);
}

static inline bool
border_is_running(Border *border)
{
    return atomic_load_explicit(&border->running, memory_order_acquire);
}

/* Take the loop for this thread: true, or false if another one has it. */
bool border_take(Border *border);

/* Give it back. */
void border_drop(Border *border);

/* In the debug profile: that the caller holds a thread state (the GIL). Every
 * libuv callback begins with it. */
static inline void
assert_attached(void)
{
    assert(PyGILState_Check() || PyThreadState_Get() != NULL);
}

/* Enter `context`, which is not entered, in the place of what is; 0 or -1. */
int enter_another(Border *border, PyObject *context);

static inline int
enter_context(Border *border, PyObject *context)
{
    return border->context == context ? 0 : enter_another(border, context);
}

/* enter_call and enter_method of a loop that coalesces writes. */
PyObject *enter_call_corked(Border *border,
                            PyObject *context,
                            PyObject *callable,
                            PyObject *const *args,
                            size_t nargsf);
PyObject *enter_method_corked(Border *border,
                              PyObject *context,
                              NameIndex name,
                              PyObject *const *args,
                              size_t nargsf);

/* Call `callable` in `context`; a vectorcall, so nargsf may carry
 * PY_VECTORCALL_ARGUMENTS_OFFSET. The context stays entered until enter_leave
 * or until another one is wanted, so that callbacks in a row that share one
 * pay once. New reference, or NULL with an exception. */
static inline PyObject *
enter_call(Border *border,
           PyObject *context,
           PyObject *callable,
           PyObject *const *args,
           size_t nargsf)
{
    if (border->cork.enabled) {
        return enter_call_corked(border, context, callable, args, nargsf);
    }
    return enter_context(border, context) < 0
               ? NULL
               : PyObject_Vectorcall(callable, args, nargsf, NULL);
}

/* The same for the method `name` of args[0]; nargsf counts args[0]. */
static inline PyObject *
enter_method(Border *border,
             PyObject *context,
             NameIndex name,
             PyObject *const *args,
             size_t nargsf)
{
    if (border->cork.enabled) {
        return enter_method_corked(border, context, name, args, nargsf);
    }
    return enter_context(border, context) < 0
               ? NULL
               : PyObject_VectorcallMethod(
                     border->st->names[name], args, nargsf, NULL);
}

/* A call made from inside Python (pause_writing during write): in a copy of
 * the context, which may be entered already, left again before it returns. */
PyObject *enter_method_nested(Border *border,
                              PyObject *context,
                              NameIndex name,
                              PyObject *const *args,
                              size_t nargsf);

/* Leave the entered context, if any. Always before the poll and before
 * exception handlers. Keeps a pending exception as it is. */
void enter_leave(Border *border);

/* Consume the pending exception: KeyboardInterrupt and SystemExit become
 * `fatal` (the run stops and run_forever raises it), everything else goes to
 * loop.call_exception_handler({message, exception, key: value...}). `key` is
 * one of NAME_handle, NAME_transport, NAME_protocol with its value, borrowed;
 * value may be NULL. */
void enter_report(Border *border,
                  const char *message,
                  NameIndex key,
                  PyObject *value);

/* The same with the message as an object (borrowed), and a second pair of
 * context keys, which may be NULL-valued. */
void enter_report_object(Border *border,
                         PyObject *message,
                         NameIndex key,
                         PyObject *value,
                         NameIndex key2,
                         PyObject *value2);

/* The same, of a transport and its protocol, where Python code that is on its
 * way may run in the entered context (write, set_write_buffer_limits): it
 * stays entered, and the handler is called in it, as in asyncio. */
void enter_report_inside(Border *border,
                         const char *message,
                         PyObject *transport,
                         PyObject *protocol);

/* Give a future the result None, or the exception `exc` if that is not NULL;
 * unless it has either already. 0 or -1. */
int enter_settle(Border *border, PyObject *future, PyObject *exc);

/* Make the pending exception the one that run_forever raises. */
void enter_fatal(Border *border);

/* The same inside of a callback, whose context stays entered. */
void enter_fatal_inside(Border *border);

#endif
