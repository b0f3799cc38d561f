#include "cork.h"

void
cork_add(Cork *cork, CorkItem *item)
{
    assert(cork->depth > 0);
    item->next = NULL;
    if (cork->first == NULL) {
        cork->first = item;
    }
    else {
        cork->last->next = item;
    }
    cork->last = item;
}

void
cork_flush(Cork *cork)
{
    PyObject *pending = NULL;

    if (cork->first == NULL) {
        return;
    }
    pending = PyErr_GetRaisedException();
    while (cork->first != NULL) {
        CorkItem *item = cork->first;

        cork->first = item->next;
        item->next = NULL;
        item->send(item);
    }
    if (pending != NULL) {
        PyErr_SetRaisedException(pending);
    }
}

void
cork_enter(Cork *cork)
{
    cork_flush(cork);
    cork->depth++;
}

void
cork_leave(Cork *cork)
{
    if (cork->depth == 1) {
        cork_flush(cork); /* what that adds too, hence before */
    }
    cork->depth--;
}
