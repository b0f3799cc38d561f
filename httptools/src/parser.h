/* parser.h - HttpRequestParser and HttpResponseParser.
 *
 * One object, one allocation: llhttp's state, the callbacks and the header
 * in flight are embedded. A parser has one feeder at a time; a second one (a
 * callback, another thread) gets RuntimeError.
 */
#ifndef HTTPTOOLS_PARSER_H
#define HTTPTOOLS_PARSER_H

#include "state.h"

/* Make the parser types and add them to the module. 0/-1. */
int parser_register(PyObject *module, State *st);

#endif
