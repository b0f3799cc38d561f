#include "poll.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "forks.h"

/* What libuv_hooks.h makes libuv call instead of epoll_pwait, epoll_ctl. */
int core_poll(int epfd,
              struct epoll_event *events,
              int count,
              int timeout,
              const sigset_t *mask);
int core_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);

/* The loop's poll that runs uv_run in this thread; NULL outside of it. */
static _Thread_local Poll *polling;

/* An event's data as we and libuv both see it: libuv fills in the fd and
 * leaves the rest zero; ours carry a tag there. */
typedef union {
    epoll_data_t data;
    struct {
        int fd;
        uint32_t tag;
    } user;
} EventData;

#define USER_TAG 0x75736572u /* "user" */

static const uint32_t kind_events[WATCH_COUNT] = {
    [WATCH_READ] = EPOLLIN,
    [WATCH_WRITE] = EPOLLOUT,
};

#define ALL_KINDS ((uint32_t)(EPOLLIN | EPOLLOUT))

/* ---- waiting ---- */

/* How long to wait: nanoseconds, 0 to look only, -1 for ever. May release
 * cancelled timers. */
static int64_t
wait_time(Poll *poll)
{
    int64_t due = 0;
    int64_t now = 0;

    due = timers_next(poll->timers, poll->host);
    /* Looked at after that: what a timer held may have scheduled as it went.
     */
    if (poll->hurry || poll->error_count > 0 || ready_count(poll->ready) > 0) {
        return 0; /* somebody has to be told now */
    }
    if (due == INT64_MAX) {
        return -1;
    }
    now = (int64_t)uv_hrtime();
    return due > now ? due - now : 0;
}

/* epoll_pwait with milliseconds, rounded up so that no timer is early. */
static int
wait_coarse(int epfd,
            struct epoll_event *events,
            int count,
            int64_t ns,
            const sigset_t *mask)
{
    int64_t ms = ns < 0 ? -1 : (ns + 999999) / 1000000;

    return epoll_pwait(
        epfd, events, count, ms > INT_MAX ? INT_MAX : (int)ms, mask);
}

static int
wait_events(Poll *poll,
            int epfd,
            struct epoll_event *events,
            int count,
            int64_t ns,
            const sigset_t *mask)
{
#if defined(SYS_epoll_pwait2) && !defined(PORTABLE)
    if (ns > 0 && !poll->coarse) {
        struct timespec timeout = {
            .tv_sec = (time_t)(ns / 1000000000),
            .tv_nsec = (long)(ns % 1000000000),
        };
        long found = syscall(SYS_epoll_pwait2,
                             epfd,
                             events,
                             count,
                             &timeout,
                             mask,
                             (size_t)8 /* the kernel's sigset_t */);

        if (found >= 0 || (errno != ENOSYS && errno != EPERM)) {
            return (int)found;
        }
        poll->coarse = true; /* Linux before 5.11, or a seccomp filter */
    }
#else
    (void)poll;
#endif
    return wait_coarse(epfd, events, count, ns, mask);
}

/* Wait without the thread state. `blocked` is already set: another thread's
 * call_soon_threadsafe sends the wakeup from then on. */
static int
wait_events_detached(Poll *poll,
                     int epfd,
                     struct epoll_event *events,
                     int count,
                     int64_t ns,
                     const sigset_t *mask)
{
    PyThreadState *thread = PyEval_SaveThread();
    int found = wait_events(poll, epfd, events, count, ns, mask);
    int err = errno;

    PyEval_RestoreThread(thread);
    inbox_unblock(poll->inbox);
    poll->waited = true;
    errno = err;
    return found;
}

/* ---- user fds ---- */

bool
poll_is_foreign(const Poll *poll)
{
    return poll->forks != forks_count();
}

bool
poll_is_polling(const Poll *poll)
{
    return polling == poll;
}

static int
epoll_change(Poll *poll, int op, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events};
    EventData data = {.user = {.fd = fd, .tag = USER_TAG}};

    if (poll_is_foreign(poll)) {
        return 0; /* the parent's set; poll_forked tells our own */
    }
    event.data = data.data;
    if (epoll_ctl(poll->uv->backend_fd, op, fd, &event) == 0) {
        return 0;
    }
    if (op == EPOLL_CTL_ADD && errno == EEXIST) {
        return epoll_change(poll, EPOLL_CTL_MOD, fd, events);
    }
    return -1;
}

int
poll_init(Poll *poll)
{
    poll->error_allocated = 16;
    poll->errors = PyMem_New(FdError, poll->error_allocated);
    poll->forks = forks_count();
    if (poll->errors == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* Room in the table for an open descriptor; false without memory. */
static bool
reserve(Poll *poll, int fd)
{
    size_t size = poll->allocated == 0 ? 64 : poll->allocated;
    UserFd *fds = poll->fds;

    assert(fd >= 0);
    if ((size_t)fd < poll->allocated) {
        return true;
    }
    while (size <= (size_t)fd) {
        size *= 2;
    }
    if (PyMem_Resize(fds, UserFd, size) == NULL) {
        return false;
    }
    memset(fds + poll->allocated, 0, (size - poll->allocated) * sizeof(*fds));
    poll->fds = fds;
    poll->allocated = size;
    return true;
}

/* Give a table's reference up: cancelled, and no longer the loop's. */
static void
drop(Callback *callback)
{
    callback_cancel(callback);
    callback_leave(callback);
    callback_settle(callback);
    Py_DECREF(callback);
}

/* Have the kernel watch an fd for `events`, which may be none; 0, or -1 with
 * errno. */
static int
tell(Poll *poll, int fd, uint32_t events)
{
    UserFd *user = &poll->fds[fd];
    int err = 0;

    if ((events & ALL_KINDS) == 0) {
        user->events = 0;
        user->known = false;
        return epoll_change(poll, EPOLL_CTL_DEL, fd, 0);
    }
    /* Told even when nothing seems to change: the number may have been
     * closed and opened again, and then the kernel has forgotten it. */
    err = epoll_change(
        poll, user->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, events);
    if (err < 0 && errno == ENOENT) {
        err = epoll_change(poll, EPOLL_CTL_ADD, fd, events);
    }
    if (err == 0) {
        user->events = events;
        user->known = true;
    }
    return err;
}

/* What an fd is to be watched for if `callback` is, too. Once is for all that
 * it is watched for, so it needs all of them to want no more. */
static uint32_t
events_with(const UserFd *user, WatchKind kind, const Callback *callback)
{
    uint32_t others = user->events & ALL_KINDS & ~kind_events[kind];
    bool once = callback->flags & CALLBACK_ONCE &&
                (others == 0 || user->events & EPOLLONESHOT);

    return others | kind_events[kind] | (once ? (uint32_t)EPOLLONESHOT : 0);
}

int
poll_watch(Poll *poll, int fd, WatchKind kind, Callback *callback)
{
    UserFd *user = NULL;
    Callback *previous = NULL;

    /* Asked first: no table for any number. */
    if ((fd < 0 || (size_t)fd >= poll->allocated) && fcntl(fd, F_GETFD) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (!reserve(poll, fd)) {
        PyErr_NoMemory();
        return -1;
    }
    user = &poll->fds[fd];
    if (tell(poll, fd, events_with(user, kind, callback)) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    previous = user->callbacks[kind];
    if (previous == callback) {
        return 0; /* once more */
    }
    user->callbacks[kind] = (Callback *)Py_NewRef((PyObject *)callback);
    callback->flags |= CALLBACK_FD;
    if (previous != NULL) {
        drop(previous);
    }
    return 0;
}

int
poll_unwatch(Poll *poll, int fd, WatchKind kind)
{
    UserFd *user = NULL;
    Callback *callback = NULL;

    if (fd < 0 || (size_t)fd >= poll->allocated ||
        poll->fds[fd].callbacks[kind] == NULL) {
        return 0;
    }
    user = &poll->fds[fd];
    callback = user->callbacks[kind];
    user->callbacks[kind] = NULL;
    if (user->events & kind_events[kind]) {
        /* Fails where the fd is closed already: nothing is to be told. */
        (void)tell(poll, fd, user->events & ~kind_events[kind]);
    }
    drop(callback);
    return 1;
}

void
poll_set_reader(Poll *poll, int fd, Handle *handle)
{
    if (handle == NULL ? (size_t)fd < poll->allocated : reserve(poll, fd)) {
        poll->fds[fd].reader = handle;
    }
}

void
poll_forget(Poll *poll, int fd)
{
    if ((size_t)fd < poll->allocated && poll->fds[fd].events != 0) {
        return; /* closed meanwhile, and the number is a user's now */
    }
    /* libuv may have taken it out already, or never put it in. */
    (void)epoll_change(poll, EPOLL_CTL_DEL, fd, 0);
}

/* ---- what libuv calls ---- */

/* The fd is ready: its callbacks go into the ring, at most once each. False
 * without memory: the next poll shall try again. */
static bool
push_ready(Poll *poll, int fd, WatchKind kind)
{
    Callback *callback = poll->fds[fd].callbacks[kind];

    if (callback == NULL || callback->flags & CALLBACK_QUEUED) {
        return true;
    }
    if (callback_is_cancelled(callback)) {
        (void)poll_unwatch(poll, fd, kind); /* handle.cancel() was called */
        return true;
    }
    if (ready_push(poll->ready, callback) < 0) {
        PyErr_Clear(); /* the fd stays ready */
        return false;
    }
    Py_INCREF(callback);
    callback->flags |= CALLBACK_QUEUED;
    return true;
}

/* The kernel has told of an fd that is watched once: it is silent now, until
 * it is asked again, which takes no more than one call. */
static void
fired(Poll *poll, int fd, uint32_t pushed)
{
    UserFd *user = &poll->fds[fd];
    uint32_t rest = user->events & ALL_KINDS & ~pushed;

    user->events = 0;
    if (rest != 0) {
        (void)tell(poll, fd, rest | EPOLLONESHOT); /* fails as it is closed */
    }
}

static void
user_fd_ready(Poll *poll, const struct epoll_event *event)
{
    EventData data = {.data = event->data};
    int fd = data.user.fd;
    uint32_t pushed = 0;

    if ((size_t)fd >= poll->allocated) {
        return;
    }
    /* An error or a hang-up concerns both, as in asyncio. */
    for (int kind = 0; kind < WATCH_COUNT; kind++) {
        if (event->events & ~(ALL_KINDS & ~kind_events[kind]) &&
            push_ready(poll, fd, (WatchKind)kind)) {
            pushed |= kind_events[kind];
        }
    }
    if (poll->fds[fd].events & EPOLLONESHOT) {
        fired(poll, fd, pushed);
    }
}

/* Keep plain input for a reader, if there is one; else libuv has to see it.
 */
static bool
take_input(Poll *poll, const struct epoll_event *event)
{
    int fd = event->data.fd;

    if (event->events != EPOLLIN || (size_t)fd >= poll->allocated ||
        poll->fds[fd].reader == NULL || poll->input_count == POLL_MAX_INPUTS) {
        return false;
    }
    poll->inputs[poll->input_count++] = fd;
    return true;
}

/* What was taken is read once libuv is done: a reader may close any fd, and
 * libuv must not meet an event of it. */
static void
read_inputs(Poll *poll)
{
    for (int i = 0; i < poll->input_count && !poll_is_foreign(poll); i++) {
        Handle *reader = poll->fds[poll->inputs[i]].reader;

        if (reader != NULL) {
            reader->ops->readable(reader);
        }
    }
    poll->input_count = 0;
}

int
core_poll(int epfd,
          struct epoll_event *events,
          int count,
          int timeout,
          const sigset_t *mask)
{
    Poll *poll = polling;
    int64_t wait = 0;
    int found = 0;
    int kept = 0;

    if (poll->sweeping) {
        return 0;
    }
    if (poll_is_foreign(poll)) {
        return 0; /* forked inside a callback: the parent's events */
    }
    wait = timeout == 0 ? 0 : wait_time(poll);
    if (wait != 0 && inbox_block(poll->inbox)) {
        wait = 0;
    }
    if (wait == 0) {
        found = epoll_pwait(epfd, events, count, 0, mask);
    }
    else {
        callback_host_trim(poll->host);
        found = wait_events_detached(poll, epfd, events, count, wait, mask);
    }
    if (inbox_collect(poll->inbox, poll->ready) < 0) {
        PyErr_Clear(); /* nothing is lost: the turn tries again, and tells */
    }
    for (int i = 0; i < found; i++) {
        EventData data = {.data = events[i].data};

        if (data.user.tag == USER_TAG) {
            user_fd_ready(poll, &events[i]);
        }
        else if (!take_input(poll, &events[i])) {
            events[kept++] = events[i];
        }
    }
    return kept; /* 0, also for EINTR: libuv hands the turn back to us */
}

static void
note_error(Poll *poll, int fd, int err)
{
    if (poll->error_count == poll->error_allocated) {
        size_t size = poll->error_allocated * 2;
        FdError *errors = poll->errors;

        if (PyMem_Resize(errors, FdError, size) == NULL) {
            return; /* the handle stays silent; its close still works */
        }
        poll->errors = errors;
        poll->error_allocated = size;
    }
    poll->errors[poll->error_count++] = (FdError){.fd = fd, .err = err};
}

int
core_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    Poll *poll = polling;

    if (poll != NULL && poll_is_foreign(poll)) {
        return 0;
    }
    if (epoll_ctl(epfd, op, fd, event) == 0) {
        return 0;
    }
    if (op == EPOLL_CTL_MOD && errno == ENOENT &&
        epoll_ctl(epfd, EPOLL_CTL_ADD, fd, event) == 0) {
        return 0; /* closed and opened again behind libuv's back */
    }
    if (poll == NULL || op == EPOLL_CTL_DEL ||
        (op == EPOLL_CTL_ADD && errno == EEXIST)) {
        return -1; /* libuv expects these: nothing to remove; MOD is next */
    }
    note_error(poll, fd, -errno); /* libuv would abort() */
    return 0;
}

void
poll_once(Poll *poll)
{
    Poll *outer = polling;

    polling = poll;
    (void)uv_run(poll->uv, UV_RUN_ONCE); /* alive or not is ours to know */
    read_inputs(poll);
    polling = outer;
}

void
poll_sweep(Poll *poll)
{
    Poll *outer = polling;

    polling = poll;
    poll->sweeping = true;
    (void)uv_run(poll->uv, UV_RUN_NOWAIT); /* as above */
    poll->sweeping = false;
    polling = outer;
}

bool
poll_take_error(Poll *poll, FdError *error)
{
    if (poll->error_count == 0) {
        return false;
    }
    *error = poll->errors[0];
    poll->error_count--;
    memmove(poll->errors,
            poll->errors + 1,
            poll->error_count * sizeof(*poll->errors));
    return true;
}

/* ---- the rest of a lifetime ---- */

void
poll_forked(Poll *poll)
{
    poll->forks = forks_count();
    for (size_t fd = 0; fd < poll->allocated; fd++) {
        if (poll->fds[fd].events != 0) {
            /* Fails where the child has closed it: it stays silent. */
            (void)epoll_change(
                poll, EPOLL_CTL_ADD, (int)fd, poll->fds[fd].events);
        }
    }
}

int
poll_traverse(Poll *poll, visitproc visit, void *arg)
{
    for (size_t fd = 0; fd < poll->allocated; fd++) {
        for (int kind = 0; kind < WATCH_COUNT; kind++) {
            Callback *callback = poll->fds[fd].callbacks[kind];
            int err =
                callback == NULL ? 0 : callback_visit(callback, visit, arg);

            if (err != 0) {
                return err;
            }
        }
    }
    return 0;
}

void
poll_settle(Poll *poll)
{
    for (size_t fd = 0; fd < poll->allocated; fd++) {
        for (int kind = 0; kind < WATCH_COUNT; kind++) {
            if (poll->fds[fd].callbacks[kind] != NULL) {
                callback_settle(poll->fds[fd].callbacks[kind]);
            }
        }
    }
}

void
poll_clear(Poll *poll)
{
    for (size_t fd = 0; fd < poll->allocated; fd++) {
        for (int kind = 0; kind < WATCH_COUNT; kind++) {
            (void)poll_unwatch(poll, (int)fd, (WatchKind)kind);
        }
    }
}

void
poll_free(Poll *poll)
{
    PyMem_Free(poll->fds);
    PyMem_Free(poll->errors);
    poll->fds = NULL;
    poll->errors = NULL;
    poll->allocated = 0;
}
