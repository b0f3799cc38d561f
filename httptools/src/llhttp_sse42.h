/* llhttp_sse42.h - whether there is a second state machine, and what it is
 * called.
 */
#ifndef HTTPTOOLS_LLHTTP_SSE42_H
#define HTTPTOOLS_LLHTTP_SSE42_H

#include <stdint.h>
#include <llhttp.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(PORTABLE)
#define LLHTTP_SSE42 1
#else
#define LLHTTP_SSE42 0
#endif

/* As llhttp__internal_execute. */
int llhttp_sse42_execute(llhttp_t *state, const char *p, const char *endp);

#endif
