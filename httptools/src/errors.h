/* errors.h - llhttp's codes and a callback's exception become ours, here and
 * nowhere else. Every raise_* returns NULL with the exception set; the
 * exception classes are httptools.parser.errors, plain Python.
 */
#ifndef HTTPTOOLS_ERRORS_H
#define HTTPTOOLS_ERRORS_H

#include "state.h"

#include <stdbool.h>
#include <llhttp.h>

/* Import the exception classes into the state. 0/-1. Runs Python code. */
int errors_import(State *st);

/* The error that `llhttp` stopped with. `data` is the buffer that it stopped
 * in, for the offset, or NULL if that was an earlier one. */
PyObject *raise_llhttp(State *st, const llhttp_t *llhttp, const char *data);

/* The same, when a callback raised: its exception is pending and becomes the
 * cause and the context. What is no Exception (KeyboardInterrupt, SystemExit,
 * asyncio.CancelledError) passes through as it is. */
PyObject *
raise_from_callback(State *st, const llhttp_t *llhttp, const char *data);

/* What we refuse ourselves: HttpParserLimitError or HttpParserError. */
PyObject *raise_refusal(State *st,
                        bool is_limit,
                        const char *name,
                        const char *reason,
                        int status,
                        Py_ssize_t offset /* -1: not known */);

/* HttpParserUpgrade(offset), with the rest of the data if there is one. */
PyObject *
raise_upgrade(State *st, Py_ssize_t offset, PyObject *rest /* steals */);

/* HttpParserInvalidURLError("invalid url {url!r}"). */
PyObject *raise_invalid_url(State *st, PyObject *url);

/* HttpParserInvalidURLError, with the length that is over the limit. */
PyObject *raise_long_url(State *st, Py_ssize_t len, int max_len);

#endif
