"""Both ends of a connection, as transports of one loop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from .timing import Loop, Times, Work, Wrong, now, since


class Echo(asyncio.Protocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not of asyncio's class on every loop.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Asker(Echo):
    """Sends the message, and again when all of it has come back."""

    done: asyncio.Future[None]
    left = 0

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.answer = bytearray()

    def ask(self, loop: Loop, count: int) -> asyncio.Future[None]:
        self.left, self.done = count, loop.create_future()
        self.transport.write(self.message)
        return self.done

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if len(self.answer) < len(self.message):
            return
        if self.answer != self.message:
            self.done.set_exception(Wrong('wrong bytes came back'))
            return
        self.answer.clear()
        self.left -= 1
        if self.left:
            self.transport.write(self.message)
        else:
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.left:
            self.done.set_exception(Wrong(f'the connection was lost: {exc}'))


@contextmanager
def ping_pong(
    loop: Loop,
    message: bytes,
    server_tls: ssl.SSLContext | None = None,
    client_tls: ssl.SSLContext | None = None,
) -> Iterator[Work]:
    asker = Asker(message)

    async def connect() -> asyncio.AbstractServer:
        server = await loop.create_server(Echo, '127.0.0.1', 0, ssl=server_tls)
        port = server.sockets[0].getsockname()[1]
        await loop.create_connection(
            lambda: asker, '127.0.0.1', port, ssl=client_tls
        )
        return server

    async def disconnect() -> None:
        asker.transport.close()
        server.close()
        await asyncio.sleep(0.01)

    async def ask(count: int) -> Times:
        # To start and to stop the loop is not what is measured.
        began = now()
        await asker.ask(loop, count)
        return since(began)

    server = cast(asyncio.Server, loop.run_until_complete(connect()))
    yield lambda count: loop.run_until_complete(ask(count))
    loop.run_until_complete(disconnect())
