"""loop.sock_*: 1 KB there and back, both ends on the loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .timing import Loop, Open, Row, Work, expect

MESSAGE = bytes(range(256)) * 4
Pair = Callable[[], tuple[socket.socket, socket.socket]]


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    for each in (client, server):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client, server


async def echo(end: socket.socket, count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        await loop.sock_sendall(end, await loop.sock_recv(end, 65536))


async def ask(end: socket.socket, count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        await loop.sock_sendall(end, MESSAGE)
        answer = await loop.sock_recv(end, 65536)
        if answer != MESSAGE:
            expect(answer, MESSAGE, 'the answer')


async def both(
    client: socket.socket, server: socket.socket, count: int
) -> None:
    await asyncio.gather(echo(server, count), ask(client, count))


def ping_pong(pair: Pair) -> Open:
    @contextmanager
    def opened(loop: Loop) -> Iterator[Work]:
        client, server = pair()
        client.setblocking(False)
        server.setblocking(False)
        with client, server:
            yield lambda count: loop.run_until_complete(
                both(client, server, count)
            )

    return opened


ROWS = {
    'sock-unix': Row(ping_pong(socket.socketpair), needs='sock_recv'),
    'sock-tcp': Row(ping_pong(tcp_pair), needs='sock_recv'),
}
