"""Making connections, and what an idle one costs."""

from __future__ import annotations

import asyncio
import os
import resource
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import cast

from .timing import (
    Figures,
    Loop,
    Open,
    Row,
    Times,
    Work,
    Wrong,
    expect,
    freeze,
    now,
    since,
)
from .tls import self_signed

CONNECTOR = Path(__file__).with_name('connector.py')
LUMP = 500  # connections that wait to be accepted; the backlog is 1024
BACKLOG = 1024
WARM_UP = 500
IDLE = {'tcp': 4000, 'tls': 500}


# One process, both ends on the loop


class Ending(asyncio.Protocol):
    """One end; the server's closes as soon as it is made."""

    def __init__(self, lost: asyncio.Future[None], leaves: bool) -> None:
        self.lost = lost
        self.leaves = leaves

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self.leaves:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


@contextmanager
def connect(loop: Loop) -> Iterator[Work]:
    """create_connection, accepted, closed by the server, then by the client,
    lost by both; one after the other."""
    left: asyncio.Future[None]

    async def listen() -> asyncio.AbstractServer:
        return await loop.create_server(
            lambda: Ending(left, True), '127.0.0.1', 0
        )

    async def visit(count: int) -> None:
        nonlocal left
        port = server.sockets[0].getsockname()[1]
        for _ in range(count):
            left, lost = loop.create_future(), loop.create_future()
            transport, _ = await loop.create_connection(
                partial(Ending, lost, False), '127.0.0.1', port
            )
            await left
            transport.close()
            await lost

    server = cast(asyncio.Server, loop.run_until_complete(listen()))
    yield lambda count: loop.run_until_complete(visit(count))
    server.close()


# The other end in another process


class Guest(asyncio.Protocol):
    """Is counted as it comes and as it goes."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.crowd.came(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.went()


class Crowd:
    """So many connections to this loop from a process that holds them.

    They stay, or are closed as soon as they are accepted (`leave`). This end
    closes first, since there are loops that do not see the other's.
    """

    def __init__(
        self, loop: Loop, tls: ssl.SSLContext | None, leave: bool
    ) -> None:
        self.loop = loop
        self.tls = tls
        self.leave = leave
        self.transports: list[asyncio.BaseTransport] = []
        self.coming = self.going = 0
        self.done: asyncio.Future[None] = loop.create_future()
        self.server = cast(
            asyncio.Server, loop.run_until_complete(self.listen())
        )
        port = self.server.sockets[0].getsockname()[1]
        self.other = subprocess.Popen(
            [
                *(sys.executable, str(CONNECTOR), str(port)),
                'tls' if tls else 'tcp',
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=elsewhere,
        )

    async def listen(self) -> asyncio.AbstractServer:
        return await self.loop.create_server(
            lambda: Guest(self),
            '127.0.0.1',
            0,
            ssl=self.tls,
            backlog=BACKLOG,
        )

    def came(self, transport: asyncio.BaseTransport) -> None:
        self.coming -= 1
        if self.leave:
            self.going += 1
            transport.close()
            return
        self.transports.append(transport)
        if not self.coming:
            self.done.set_result(None)

    def went(self) -> None:
        self.going -= 1
        if not self.coming and not self.going:
            self.done.set_result(None)

    def tell(self, command: str) -> None:
        assert self.other.stdin
        self.other.stdin.write(command + '\n')
        self.other.stdin.flush()

    def answer(self) -> None:
        assert self.other.stdout
        if not self.other.stdout.readline():
            raise Wrong('the process with the other ends has ended')

    def grow(self, count: int) -> Times:
        """By so many; returns what it took to accept them.

        They wait for it in the listener's queue, but for TLS, which needs
        both ends to make a connection.
        """
        total = Times(0, 0)
        while count:
            lump = min(count, LUMP)
            count -= lump
            self.coming += lump
            self.done = self.loop.create_future()
            self.tell(f'open {lump}')
            if not self.tls:
                self.answer()
            began = now()
            self.loop.run_until_complete(self.done)
            took = since(began)
            total = Times(total.wall + took.wall, total.cpu + took.cpu)
            if self.tls:
                self.answer()
            expect((self.coming, self.going), (0, 0), 'connections awaited')
        return total

    def disperse(self) -> None:
        """abort: of TLS, close() would wait for the other end to agree."""
        self.going += len(self.transports)
        self.done = self.loop.create_future()
        for transport in self.transports:
            cast(asyncio.Transport, transport).abort()
        self.transports.clear()
        if self.going:
            self.loop.run_until_complete(self.done)
        self.tell('close')
        self.answer()

    def end(self) -> None:
        self.server.close()
        self.other.kill()
        self.other.communicate()


def elsewhere() -> None:
    """Not on the core of the measured process, if there is another one."""
    others = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)
    if others:
        os.sched_setaffinity(0, others)


def raise_limit() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def crowd(
    loop: Loop, tls: ssl.SSLContext | None = None, leave: bool = False
) -> Iterator[Crowd]:
    raise_limit()
    one = Crowd(loop, tls, leave)
    try:
        yield one
        one.disperse()
    finally:
        one.end()
        loop.run_until_complete(asyncio.sleep(0.01))


@contextmanager
def accept(loop: Loop) -> Iterator[Work]:
    """Accepted out of a full queue, 500 at a time, and closed at once."""
    with crowd(loop, leave=True) as guests:

        def work(count: int) -> Times:
            times = guests.grow(count)
            guests.disperse()
            return times

        yield work


# Memory


def resident() -> int:
    """The bytes of this process that are in memory."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def memory(kind: str) -> tuple[Open, Callable[[Work, int], Figures]]:
    @contextmanager
    def opened(loop: Loop) -> Iterator[Work]:
        tls = self_signed() if kind == 'tls' else nullcontext()
        with tls as context, crowd(loop, context) as guests:

            def work(count: int) -> None:
                guests.grow(count)
                loop.run_until_complete(asyncio.sleep(0.05))

            yield work

    def measure(work: Work, step: int) -> Figures:
        """Of each of some thousands beside some hundreds that were there."""
        work(WARM_UP)
        freeze()
        before = resident()
        work(IDLE[kind])
        freeze()
        return {'bytes': (resident() - before) / IDLE[kind]}

    return opened, measure


def memory_row(kind: str) -> Row:
    opened, measure = memory(kind)
    return Row(opened, needs='TLS' if kind == 'tls' else '', measure=measure)


ROWS = {
    'connect': Row(connect, needs='create_connection'),
    'accept': Row(accept, step=LUMP, needs='create_server'),
    'memory-tcp': memory_row('tcp'),
    'memory-tls': memory_row('tls'),
}
