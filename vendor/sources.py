"""Which files of the third-party trees are compiled, and how.

libuv's lists are those of its CMakeLists.txt; we do not run its build system,
so that our profiles, -O3 and hidden visibility reach it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Library:
    """Paths are relative to the root of the repository."""

    sources: tuple[str, ...]
    include: str  # what our own C includes
    flags: tuple[str, ...]  # for the library's own files only
    libraries: tuple[str, ...] = ()


LLHTTP = Library(
    # api.c and http.c are left out: httptools/src/events.c defines the hooks
    # that the state machine calls, and sees nothing else of llhttp.
    sources=('vendor/src/llhttp/src/llhttp.c',),
    include='vendor/src/llhttp/include',
    flags=('-Ivendor/src/llhttp/include',),
)

LIBUV_COMMON = """
    fs-poll idna inet random strscpy strtok thread-common threadpool timer
    uv-common uv-data-getter-setters version
""".split()

LIBUV_UNIX = """
    async core dl fs getaddrinfo getnameinfo loop loop-watcher pipe poll
    process proctitle random-devurandom signal stream tcp thread tty udp
""".split()

# Another system needs its list here and its own file beside poll.c.
LIBUV_SYSTEM = {
    'linux': """
        linux procfs-exepath random-getrandom random-sysctl-linux
    """.split(),
}


def libuv() -> Library:
    if sys.platform not in LIBUV_SYSTEM:
        raise LookupError(
            f'{sys.platform} is not supported yet: vendor/sources.py lists no'
            f' libuv files for it (only for {", ".join(LIBUV_SYSTEM)})'
        )
    root = 'vendor/src/libuv'
    unix = LIBUV_UNIX + LIBUV_SYSTEM[sys.platform]
    return Library(
        sources=(
            *(f'{root}/src/{name}.c' for name in LIBUV_COMMON),
            *(f'{root}/src/unix/{name}.c' for name in unix),
        ),
        include=f'{root}/include',
        flags=(
            # The names of libuv that we stand in for (design, "The border").
            *('-include', 'uvloop_core/src/libuv_hooks.h'),
            *(f'-I{root}/include', f'-I{root}/src'),
            *('-D_GNU_SOURCE', '-D_POSIX_C_SOURCE=200112'),
        ),
        libraries=('pthread', 'dl', 'rt'),
    )
