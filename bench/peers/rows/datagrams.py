"""UDP over the loopback interface, both ends transports of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from .timing import Loop, Row, Work, Wrong, expect

SIZE = 100
BURST = 50  # far fewer than the receiving socket's buffer holds
GIVE_UP_SECONDS = 0.05


class Echo(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.transport.sendto(data, addr)


class Asker(Echo):
    """Sends a number, and waits for it to come back."""

    left = 0
    done: asyncio.Future[None]

    def send(self) -> None:
        self.transport.sendto(b'%0*d' % (SIZE, self.left))

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if len(data) != SIZE or int(data) != self.left:
            self.done.set_exception(Wrong(f'{data!r} to {self.left}'))
            return
        self.left -= 1
        if self.left:
            self.send()
        else:
            self.done.set_result(None)


class Counter(Echo):
    """Counts what arrives."""

    count = 0
    wanted = 0
    sender: Sender

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if len(data) != SIZE:
            raise Wrong(f'a datagram of {len(data)} bytes')
        self.count += 1
        if self.count == self.wanted:
            self.sender.burst()


class Sender(Echo):
    """Sends bursts: the next one when all of the last have arrived.

    Datagrams may be lost. So, if none has come for a while, the last burst is
    as good as it will be.
    """

    left = 0
    lost = 0
    seen = 0
    done: asyncio.Future[None]
    looking: asyncio.TimerHandle

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        counter.sender = self

    def burst(self) -> None:
        if not self.left:
            self.done.set_result(None)
            return
        self.left -= BURST
        self.counter.wanted += BURST
        send = self.transport.sendto
        for _ in range(BURST):
            send(b'x' * SIZE)

    def look(self, loop: Loop) -> None:
        if self.seen == self.counter.count and not self.done.done():
            self.lost += self.counter.wanted - self.seen
            self.counter.wanted = self.seen
            self.burst()
        self.seen = self.counter.count
        self.looking = loop.call_later(GIVE_UP_SECONDS, self.look, loop)


async def endpoints(
    server: Echo, client: Echo
) -> list[asyncio.DatagramTransport]:
    loop = asyncio.get_running_loop()
    bound, _ = await loop.create_datagram_endpoint(
        lambda: server, local_addr=('127.0.0.1', 0)
    )
    address = bound.get_extra_info('sockname')
    connected, _ = await loop.create_datagram_endpoint(
        lambda: client, remote_addr=address
    )
    return [bound, connected]


async def close(transports: list[asyncio.DatagramTransport]) -> None:
    for transport in transports:
        transport.close()
    await asyncio.sleep(0.01)


@contextmanager
def ping_pong(loop: Loop) -> Iterator[Work]:
    """100 bytes there and back; one that is lost fails the row: it hangs."""
    asker = Asker()

    async def ask(count: int) -> None:
        asker.left, asker.done = count, loop.create_future()
        asker.send()
        await asker.done

    transports = loop.run_until_complete(endpoints(Echo(), asker))
    yield lambda count: loop.run_until_complete(ask(count))
    loop.run_until_complete(close(transports))


@contextmanager
def one_way(loop: Loop) -> Iterator[Work]:
    """The operation is one datagram of 100 bytes; 50 are sent at once."""
    counter = Counter()
    sender = Sender(counter)

    async def send(count: int) -> None:
        counter.count = counter.wanted = sender.lost = 0
        sender.left, sender.seen = count, -1
        sender.done = loop.create_future()
        sender.burst()
        sender.look(loop)
        await sender.done
        sender.looking.cancel()
        expect(counter.count + sender.lost, count, 'datagrams, with the lost')
        if sender.lost > count / 2:
            raise Wrong(f'{sender.lost} of {count} datagrams were lost')

    transports = loop.run_until_complete(endpoints(counter, sender))
    yield lambda count: loop.run_until_complete(send(count))
    loop.run_until_complete(close(transports))


ROWS = {
    'udp-ping-pong': Row(ping_pong, needs='create_datagram_endpoint'),
    'udp-one-way': Row(one_way, step=BURST, needs='create_datagram_endpoint'),
}
