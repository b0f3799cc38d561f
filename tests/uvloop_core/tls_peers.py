"""A TLS connection whose other end is driven by hand, on the same loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.uvloop_core.peers import Recorder

DEADLINE = 30.0


class TlsPeer:
    """An SSLObject on a plain socket: what it sends, and when, is its own.

    The socket is the loop's: all of it happens in one thread, in order.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        server_side: bool = True,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.sock = sock
        self.received = bytearray()  # ciphertext
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_side=server_side
        )

    async def receive(self) -> bool:
        """More ciphertext; False at the end."""
        data = await self.loop.sock_recv(self.sock, 1 << 16)
        self.received += data
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()
        return bool(data)

    async def flush(self) -> None:
        if self.outgoing.pending:
            await self.loop.sock_sendall(self.sock, self.outgoing.read())

    async def do(self, call: Callable[..., Any], *args: Any) -> Any:
        """A method of the SSLObject, as often as it takes."""
        while True:
            try:
                result = call(*args)
            except ssl.SSLWantReadError:
                await self.flush()
                await self.receive()
            else:
                await self.flush()
                return result

    async def handshake(self) -> None:
        await self.do(self.tls.do_handshake)

    async def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            count: int = self.tls.write(view)
            view = view[count:]
        await self.flush()

    async def read(self, size: int) -> bytes:
        """So many bytes, or fewer at the end."""
        data = bytearray()
        while len(data) < size:
            try:
                piece = await self.do(
                    self.tls.read, min(size - len(data), 1 << 20)
                )
            except ssl.SSLZeroReturnError:
                break
            if not piece:
                break
            data += piece
        return bytes(data)

    async def drain(self) -> None:
        """Read and forget, until the end or until it is cancelled."""
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            while await self.read(1 << 20):
                pass

    async def until_end(self) -> None:
        """Receive until the connection ends, whatever comes."""
        with contextlib.suppress(ConnectionError):
            while await self.loop.sock_recv(self.sock, 1 << 20):
                pass

    def records(self) -> int:
        """How many records of data were received in all."""
        count = position = 0
        while position + 5 <= len(self.received):
            count += self.received[position] == 23
            length = self.received[position + 3 : position + 5]
            position += 5 + int.from_bytes(length, 'big')
        return count

    def close(self) -> None:
        self.sock.close()


def socket_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(('127.0.0.1', 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    one.setblocking(False)
    other.setblocking(False)
    return one, other


@contextlib.asynccontextmanager
async def tls_connection(
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    make: Callable[[], Any] = Recorder,
    **options: Any,
) -> AsyncIterator[tuple[Any, Any, TlsPeer]]:
    """A client's transport, its protocol and the peer that is its server.

    At the end the transport is closed, and connection_lost has been called.
    """
    loop = asyncio.get_running_loop()
    one, other = socket_pair()
    peer = TlsPeer(other, server_tls)
    shaking = asyncio.ensure_future(peer.handshake())
    transport = protocol = None
    try:
        async with asyncio.timeout(DEADLINE):
            transport, protocol = await loop.create_connection(
                make,
                sock=one,
                ssl=client_tls,
                server_hostname='127.0.0.1',
                **options,
            )
            await shaking
            yield transport, protocol, peer
    finally:
        shaking.cancel()
        await asyncio.wait([shaking])
        peer.close()
        if transport is None:
            one.close()
        elif not transport.is_closing():
            transport.abort()
        if hasattr(protocol, 'lost'):
            await asyncio.wait_for(protocol.lost.wait(), DEADLINE)
        await turns(3)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
