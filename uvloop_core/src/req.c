#include "req.h"

void
req_begin(Handle *owner)
{
    Py_INCREF(owner);
    owner->requests++;
    owner->registry->requests++;
}

void
req_end(Handle *owner)
{
    owner->registry->requests--;
    owner->requests--;
    Py_DECREF(owner);
}
