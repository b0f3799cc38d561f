/* libuv_hooks.h - force-included (gcc -include) when libuv is compiled.
 *
 * The two names of libuv that poll.c stands in for, and two answers that libuv
 * gets in the place of the system's. The system headers come first, so that
 * only libuv's own calls are renamed.
 */
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>

int core_poll(int epfd,
              struct epoll_event *events,
              int count,
              int timeout,
              const sigset_t *mask);
int core_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);

#define epoll_pwait core_poll
#define epoll_ctl core_epoll_ctl

/* No io_uring: its control ring reports epoll_ctl errors by abort(). */
#undef __NR_io_uring_setup
#define __NR_io_uring_setup (-1)

/* libuv reads a clock twice a poll, the coarse one if that is good to 1 ms: it
 * is a quarter of the price, and libuv's timers, which alone would mind, are
 * not used. */
static inline int
core_clock_getres(clockid_t clock, struct timespec *resolution)
{
    (void)clock;
    *resolution = (struct timespec){.tv_nsec = 1};
    return 0;
}

#define clock_getres core_clock_getres
