/* libuv_hooks.h - force-included (gcc -include) when libuv is compiled.
 *
 * The three names of libuv that poll.c stands in for. The system headers
 * come first, so that only libuv's own calls are renamed.
 */
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

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
