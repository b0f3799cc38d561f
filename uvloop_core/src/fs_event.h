/* fs_event.h - FSEvent: tells of changes of a file or a folder.
 *
 * From Python: monitor_fs(loop, path, callback) makes one, cancel() ends it.
 * The loop holds it as long as it watches.
 */
#ifndef UVLOOP_CORE_FS_EVENT_H
#define UVLOOP_CORE_FS_EVENT_H

#include "loop.h"

/* Create the type and the function monitor_fs; 0 or -1. */
int fs_event_register(PyObject *module, State *st);

#endif
