/* poll.h - core_poll, the call that waits, and the user's own fds.
 *
 * All that knows epoll is in poll.c: libuv's epoll_pwait and epoll_ctl are
 * mapped to it (libuv_hooks.h), and the fds of add_reader, sock_* and
 * listeners are registered in libuv's own epoll set with a tag, so that
 * core_poll can pick them out before libuv sees them. Of the fds that libuv
 * watches for a stream it picks out plain input, which is most of what ever
 * happens, and has the stream read it; the rest is libuv's.
 */
#ifndef UVLOOP_CORE_POLL_H
#define UVLOOP_CORE_POLL_H

#include <uv.h>

#include "handle.h"
#include "inbox.h"
#include "timers.h"

typedef enum {
    WATCH_READ,
    WATCH_WRITE,
    WATCH_COUNT
} WatchKind;

typedef struct {
    Callback *callbacks[WATCH_COUNT]; /* owned, or NULL */
    uint32_t events;                  /* what the kernel watches it for */
    bool known;     /* the kernel has it, if only to be silent about it */
    Handle *reader; /* borrowed: whose plain input is taken, or NULL */
} UserFd;

/* More than that at once is left to libuv. */
#define POLL_MAX_INPUTS 256

typedef struct {
    int fd;
    int err; /* negative errno */
} FdError;

/* One a loop, embedded in it. */
typedef struct {
    uv_loop_t *uv; /* borrowed, as the next three: the same loop's */
    Ready *ready;
    Timers *timers;
    Inbox *inbox;
    CallbackHost *host;
    UserFd *fds; /* owned: indexed by fd */
    size_t allocated;
    int inputs[POLL_MAX_INPUTS]; /* fds with plain input, since this poll */
    int input_count;
    FdError *errors; /* owned: what the kernel refused, oldest first */
    size_t error_count;
    size_t error_allocated;
    uint64_t forks; /* the process's fork count that the set belongs to */
    bool hurry;     /* do not wait: stop is set, or the loop closes */
    bool sweeping;  /* do not even look: only what was closed is due */
    bool coarse;    /* the kernel lacks epoll_pwait2: milliseconds */
    bool waited;    /* the last poll gave the thread state away */
} Poll;

/* The pointers are the caller's to set before; 0, or -1 with MemoryError. */
int poll_init(Poll *poll);

/* One uv_run(UV_RUN_ONCE): libuv's callbacks are called, then readers; user
 * fds that are ready put their callbacks into the ready ring. */
void poll_once(Poll *poll);

/* Have libuv let go of the handles that were closed, without a system call:
 * else it would not wait in the next poll. */
void poll_sweep(Poll *poll);

/* Call `callback` whenever fd is ready (with CALLBACK_ONCE: once at least,
 * and then only until it is watched again), in place of an earlier one, which
 * is cancelled. 0, or -1 with OSError (EBADF, EPERM for a regular file...).
 * Takes its own reference. May run Python code (what the earlier one held). */
int poll_watch(Poll *poll, int fd, WatchKind kind, Callback *callback);

/* 1 if there was a callback (it is cancelled), else 0. The kernel is told at
 * once; an fd that was closed meanwhile is no error. May run Python code. */
int poll_unwatch(Poll *poll, int fd, WatchKind kind);

/* Have handle->ops->readable called for plain input of an fd that libuv
 * watches for it, until it is NULL again: before the fd or the handle is gone.
 * Without memory nothing is set, and libuv tells of all. */
void poll_set_reader(Poll *poll, int fd, Handle *handle);

/* A libuv handle has the fd from now on: what the kernel knows of it is none
 * of ours. */
static inline void
poll_yield(Poll *poll, int fd)
{
    if ((size_t)fd < poll->allocated && poll->fds[fd].events == 0) {
        poll->fds[fd].known = false;
    }
}

/* Take an fd out of the set that a libuv handle has watched, stopped to, and
 * is not going to close: it is somebody else's. */
void poll_forget(Poll *poll, int fd);

/* Take the oldest refusal of a libuv handle's fd; true if there was one. */
bool poll_take_error(Poll *poll, FdError *error);

/* True in a forked child whose kernel queue is still the parent's. */
bool poll_is_foreign(const Poll *poll);

/* True inside of its uv_run, in this thread. */
bool poll_is_polling(const Poll *poll);

/* After uv_loop_fork in a child: tell the new epoll set of the user fds. */
void poll_forked(Poll *poll);

int poll_traverse(Poll *poll, visitproc visit, void *arg);
void poll_settle(Poll *poll);

/* Unwatch everything. May run Python code. */
void poll_clear(Poll *poll);
void poll_free(Poll *poll);

#endif
