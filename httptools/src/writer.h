/* writer.h - build_response() and build_chunk(): what a server sends, as
 * buffers for transport.writelines().
 */
#ifndef HTTPTOOLS_WRITER_H
#define HTTPTOOLS_WRITER_H

#include "state.h"

/* Add the functions to the module. 0/-1. */
int writer_register(PyObject *module, State *st);

#endif
