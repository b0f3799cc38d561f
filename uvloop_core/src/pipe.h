/* pipe.h - ReadUnixTransport and WriteUnixTransport: a stream that goes one
 * way, over a file that Python has opened: a pipe, a socket or a terminal.
 *
 * libuv reads. What is written is sent by ourselves, and the poll tells when
 * there is room: libuv could not tell that the reader is gone but by reading,
 * which of a terminal takes the input that is another's.
 */
#ifndef UVLOOP_CORE_PIPE_H
#define UVLOOP_CORE_PIPE_H

#include "state.h"

/* Create the types and the functions open_read_pipe and open_write_pipe; 0 or
 * -1. */
int pipe_register(PyObject *module, State *st);

#endif
