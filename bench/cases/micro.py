"""What a loop does, one thing at a time: bench/peers/rows.

Each program times itself, see there how; so the clock is that of one process
on one core. Instructions are counted where nearly all of the work is in the
process: not of what is the kernel's or a thread's.
"""

from __future__ import annotations

from . import Case


def micro(
    row: str,
    title: str,
    figure: str = 'nanoseconds',
    count: tuple[int, int] | None = None,
    name: str = '',
) -> Case:
    return Case(
        name=name or row,
        title=title,
        kind='micro',
        load='self',
        arguments=(row,),
        figure=figure,
        instructions=count,
    )


CASES = [
    micro(
        'call-soon-chain',
        'call_soon, each callback schedules the next',
        count=(10_000, 30_000),
    ),
    micro(
        'call-soon-500',
        'call_soon, 500 at a time',
        count=(10_000, 30_000),
    ),
    micro('call-soon-200000', 'call_soon, 200,000 at a time'),
    micro(
        'call-later-cancel',
        'call_later and cancel',
        count=(10_000, 30_000),
    ),
    micro('call-later-fire', 'call_later, fired, 10,000 timers pending'),
    micro('sleep-0', 'sleep(0)', count=(10_000, 30_000)),
    micro('gather', 'gather of 100 tasks, of each'),
    micro('wait-for', 'wait_for of what is ready', count=(2000, 6000)),
    micro('threadsafe-other', 'call_soon_threadsafe from another thread'),
    micro('threadsafe-same', 'call_soon_threadsafe from the same thread'),
    micro('executor', 'run_in_executor, there and back'),
    micro('sock-unix', 'sock_sendall and sock_recv, socketpair, 1 KB'),
    micro('sock-tcp', 'sock_sendall and sock_recv, TCP, 1 KB'),
    micro('connect', 'connect, accept and close'),
    micro('accept', 'accept and close, 500 waiting'),
    micro(
        'accept',
        'accept and close, 500 waiting, CPU time',
        figure='cpu_nanoseconds',
        name='accept-cpu',
    ),
    micro('readline', 'StreamReader.readline, 100 bytes'),
    micro('udp-ping-pong', 'UDP there and back, 100 bytes'),
    micro('udp-one-way', 'UDP one way, 100 bytes, 50 at a time'),
    micro('tls-1k', 'TLS there and back, 1 KB'),
    micro('tls-100k', 'TLS there and back, 100 KB'),
    micro('pipe', '64 KB through a pipe'),
    micro('subprocess', 'a subprocess, from start to exit code'),
    micro('getaddrinfo', 'getaddrinfo of 127.0.0.1'),
    micro('memory-tcp', 'memory of an idle TCP connection', figure='bytes'),
    micro('memory-tls', 'memory of an idle TLS connection', figure='bytes'),
    micro(
        'idle-10000',
        '1 KB there and back beside 10,000 idle connections, to without',
        figure='ratio',
    ),
    micro(
        'timers-100000',
        '1 KB there and back beside 100,000 pending timers, to without',
        figure='ratio',
    ),
]
