/* url.h - parse_url() and the URL object, without http-parser.
 *
 * What is accepted is what http-parser 2.9.4 accepts in its strict build,
 * which httptools 0.9.0 uses, bug for bug: see docs/compatibility.md.
 */
#ifndef HTTPTOOLS_URL_H
#define HTTPTOOLS_URL_H

#include "state.h"

/* Make the URL type and add it and parse_url to the module. 0/-1. */
int url_register(PyObject *module, State *st);

#endif
