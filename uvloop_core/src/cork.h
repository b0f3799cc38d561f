/* cork.h - write coalescing: sends that wait for the end of the callback that
 * runs, oldest first. What is sent, and how, its owner knows.
 */
#ifndef UVLOOP_CORE_CORK_H
#define UVLOOP_CORE_CORK_H

#include "compat.h"

#include <stdbool.h>

typedef struct CorkItem CorkItem;

/* Embedded in what sends; on the list at most once. */
struct CorkItem {
    void (*send)(CorkItem *item); /* is off the list; may run Python code */
    CorkItem *next;               /* borrowed: the list */
};

/* One a loop, embedded in its border. */
typedef struct {
    CorkItem *first; /* borrowed: an open handle's; not empty only while */
    CorkItem *last;  /*   a callback runs */
    unsigned depth;  /* callbacks that run, one inside the other */
    bool enabled;
} Cork;

void cork_add(Cork *cork, CorkItem *item);

/* Send all that waits, in the order it was added. Keeps a pending exception.
 * May run Python code. */
void cork_flush(Cork *cork);

/* Before and after a callback of a loop that coalesces: nothing waits in
 * between two of them, nor across a call to another one. May run Python code,
 * and keep a pending exception. */
void cork_enter(Cork *cork);
void cork_leave(Cork *cork);

#endif
