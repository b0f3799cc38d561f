"""Echo on a loop of asyncio's interface: serve.py echo LOOP STYLE [CERTIFICATE
KEY].

STYLE is `protocol` (data_received writes), `streams` (a task reads and
writes) or `sock` (a task awaits loop.sock_recv and loop.sock_sendall).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any, cast

from __main__ import BACKLOG, loop_of

READ_BYTES = 256 * 1024


class Echo(asyncio.Protocol):
    # Not of asyncio's class on every loop.
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def eof_received(self) -> None:
        # rloop 0.5.0 forgets a connection that its peer has half-closed, and
        # leaves its socket open: this ends it there, too.
        if self.transport.can_write_eof():
            self.transport.write_eof()


async def echo_stream(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while data := await reader.read(READ_BYTES):
        writer.write(data)
        await writer.drain()
    writer.close()


async def echo_socket(
    loop: asyncio.AbstractEventLoop, connection: socket.socket
) -> None:
    with connection:
        while data := await loop.sock_recv(connection, READ_BYTES):
            await loop.sock_sendall(connection, data)


async def accept_sockets(listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    tasks = set()
    listener.setblocking(False)
    while True:
        connection, _ = await loop.sock_accept(listener)
        connection.setblocking(False)
        task = loop.create_task(echo_socket(loop, connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def start(
    style: str, listener: socket.socket, options: dict[str, Any]
) -> object:
    """Starts to serve, and returns what must be kept."""
    loop = asyncio.get_running_loop()
    options |= {'sock': listener, 'backlog': BACKLOG}
    unix = listener.family == socket.AF_UNIX
    if style == 'sock':
        return loop.create_task(accept_sockets(listener))
    if style == 'streams':
        options['limit'] = READ_BYTES
        if unix:
            return await asyncio.start_unix_server(echo_stream, **options)
        return await asyncio.start_server(echo_stream, **options)
    if unix:
        return await loop.create_unix_server(Echo, **options)
    return await loop.create_server(Echo, **options)


def serve(
    listener: socket.socket, tell: Any, name: str, style: str, *tls: str
) -> None:
    module, loop, kind, version = loop_of(name)
    options = {}
    if tls:
        options['ssl'] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        options['ssl'].load_cert_chain(*tls)
    kept = loop.run_until_complete(start(style, listener, options))
    tell(module, version, kind)
    loop.run_forever()
    del kept
