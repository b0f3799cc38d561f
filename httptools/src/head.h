/* head.h - the headers of one message, gathered as a list of (name, value).
 *
 * A client mostly repeats itself: the k-th header of a connection's next
 * request is often, byte for byte, the k-th of the last, or has the same name.
 * So the tuples of the previous head are kept, and used again where they are
 * equal, or where nobody else has them any more: then only the value is new.
 */
#ifndef HTTPTOOLS_HEAD_H
#define HTTPTOOLS_HEAD_H

#include "spans.h"
#include "state.h"

typedef struct {
    PyObject *pair;  /* owned: (name, value) */
    PyObject *raw;   /* borrowed: the name as written, or NULL */
    size_t room;     /* bytes that the value was made with */
    unsigned header; /* a HEADER_ constant */
} Header;

typedef struct {
    Header *headers; /* owned: of this head */
    Header *last;    /* owned: of the previous head */
    size_t count;
    size_t capacity;
    size_t last_count;
    size_t last_capacity;
} Head;

enum {
    HEAD_KEPT = 32,       /* headers of a head that is kept */
    HEAD_VALUE_KEPT = 512 /* bytes of a name, value or target kept */
};

/* Add a header; *header is what the HEADER_ constants say of its name. 0/-1.
 * Runs no Python code. */
int head_add(Head *head,
             State *st,
             const HeaderText *text,
             bool lower,
             unsigned *header);

/* A new list of the headers, which are forgotten; NULL with MemoryError. */
PyObject *head_take(Head *head);

/* Forget the headers of a message that ended early. */
void head_drop(Head *head);
void head_free(Head *head);

#endif
