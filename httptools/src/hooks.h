/* hooks.h - llhttp calls back.
 *
 * hooks.c defines the functions that llhttp's generated code expects
 * (llhttp__on_url and so on), in the place of llhttp's own api.c and http.c:
 * no settings table is read, an absent callback is one test of a NULL.
 */
#ifndef HTTPTOOLS_HOOKS_H
#define HTTPTOOLS_HOOKS_H

#include "calls.h"

/* llhttp found an error at p: whether there was anything to refuse before it
 * is noted in events. Runs no Python code. */
void hooks_check_before_error(Events *events, const Byte *p);

/* The two that answer more than whether to stop; feed.c calls them too. */
int llhttp__after_headers_complete(llhttp_t *, const Byte *, const Byte *);
int llhttp__after_message_complete(llhttp_t *, const Byte *, const Byte *);

#endif
