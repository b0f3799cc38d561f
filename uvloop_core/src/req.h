/* req.h - the lifetime of a libuv request: while libuv holds it, its owner
 * cannot be deallocated and the loop knows that it is in flight.
 */
#ifndef UVLOOP_CORE_REQ_H
#define UVLOOP_CORE_REQ_H

#include "handle.h"

/* libuv has taken a request embedded in `owner`: takes one reference. */
void req_begin(Handle *owner);

/* libuv has given it back, by its callback: drops that reference, so `owner`
 * may be gone afterwards. */
void req_end(Handle *owner);

#endif
