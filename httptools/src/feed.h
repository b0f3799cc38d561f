/* feed.h - bytes go in: to scan.c if they are an ordinary head, else to
 * llhttp.
 */
#ifndef HTTPTOOLS_FEED_H
#define HTTPTOOLS_FEED_H

#include "events.h"

/* Find out by which numbers llhttp knows its states; once, when the module is
 * made. 0, or -1 with an exception. */
int feed_learn(State *st);

/* Parse data[:len]. `whole` is the bytes object that this is all of, or NULL.
 * 0, or llhttp's error code: if a callback raised, with that exception set;
 * else llhttp's error and reason say what happened, or `refusal` does.
 * HPE_PAUSED: a callback paused; llhttp.error_pos is where to go on, after
 * feed_resume(). Runs Python code. */
int feed_bytes(Events *events, PyObject *whole, const char *data, size_t len);
void feed_resume(Events *events);

/* The connection has ended. As feed_bytes. */
int feed_eof(Events *events);

#endif
