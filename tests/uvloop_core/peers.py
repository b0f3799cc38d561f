"""A protocol that remembers, and a transport whose peer is a plain socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any


class Recorder(asyncio.Protocol):
    """Remembers what it was told; `raises` names a call that shall fail."""

    def __init__(self, raises: str = '', keep_open: bool = False) -> None:
        self.calls: list[str] = []
        self.data = bytearray()
        self.raises = raises
        self.keep_open = keep_open
        self.transport: Any = None
        self.error: BaseException | None = None
        self.lost = asyncio.Event()
        self.changed = asyncio.Event()

    def note(self, name: str) -> None:
        self.calls.append(name)
        self.changed.set()
        if name == self.raises:
            raise ZeroDivisionError(name)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.note('connection_made')

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.note('data_received')

    def eof_received(self) -> bool:
        self.note('eof_received')
        return self.keep_open

    def connection_lost(self, error: BaseException | None) -> None:
        self.error = error
        self.lost.set()
        self.note('connection_lost')

    def pause_writing(self) -> None:
        self.note('pause_writing')

    def resume_writing(self) -> None:
        self.note('resume_writing')

    async def until(self, name: str) -> None:
        """Wait until it was called."""
        while name not in self.calls:
            self.changed.clear()
            await self.changed.wait()

    async def until_size(self, size: int) -> None:
        """Wait until so many bytes have come in all."""
        while len(self.data) < size:
            self.changed.clear()
            await self.changed.wait()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    return one, other


@contextlib.contextmanager
def peer_of(
    loop: asyncio.AbstractEventLoop, make: Any = Recorder
) -> Iterator[tuple[Any, Any, socket.socket]]:
    """A transport, its protocol and a blocking socket at the other end.

    At the end the transport is closed, if it was not, and connection_lost
    has been called.
    """

    async def connect() -> tuple[Any, Any]:
        return await loop.create_connection(make, sock=one)

    one, other = tcp_pair()
    one.setblocking(False)
    other.settimeout(10)
    with other:
        transport, protocol = loop.run_until_complete(connect())
        yield transport, protocol, other
        if loop.is_closed():
            return
        if not transport.is_closing():
            transport.abort()
        if hasattr(protocol, 'lost'):
            loop.run_until_complete(protocol.lost.wait())


def small_buffers(sock: Any, size: int = 4096) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def reset(sock: socket.socket) -> None:
    """Close so that the other end gets a connection reset."""
    sock.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)
    )
    sock.close()


def receive_all(sock: socket.socket) -> bytes:
    """Until the end, for a thread."""
    received = bytearray()
    while data := sock.recv(1 << 20):
        received += data
    return bytes(received)
