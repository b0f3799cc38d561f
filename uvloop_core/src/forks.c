#include "forks.h"

#include <pthread.h>
#include <stdatomic.h>

/* One of the two mutable statics of the module (the other is poll.c's
 * thread-local): a fork happens to the process, not to an interpreter. */
static _Atomic uint64_t fork_count;

static void
on_fork_in_child(void)
{
    /* No lock, no Python, no GIL: popen(3) in a thread runs this too. */
    atomic_fetch_add(&fork_count, 1);
}

uint64_t
forks_count(void)
{
    return atomic_load_explicit(&fork_count, memory_order_relaxed);
}

int
forks_watch(void)
{
    /* Once an interpreter: then a fork counts several times, which is as
     * good, since only a change is looked for. */
    int err = pthread_atfork(NULL, NULL, on_fork_in_child);

    if (err != 0) {
        errno = err;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}
