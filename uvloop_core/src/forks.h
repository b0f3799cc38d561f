/* forks.h - how often this process has forked off a child that it now is.
 *
 * A loop made before a fork shares its kernel queue with the parent: it
 * compares this count with the one it was made under.
 */
#ifndef UVLOOP_CORE_FORKS_H
#define UVLOOP_CORE_FORKS_H

#include "compat.h"

#include <stdint.h>

/* Install the pthread_atfork handler; 0, or -1 with an exception. */
int forks_watch(void);

uint64_t forks_count(void);

#endif
