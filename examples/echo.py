"""A TCP echo server that holds no more than a client has yet to read.

    python -m examples.echo [port]        then:  nc 127.0.0.1 8007

All of flow control is in two lines: when the client reads too slowly the loop
calls pause_writing(), and we stop reading from that client until the loop says
resume_writing(). Memory stays bounded however much is sent.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop_core


class Echo(asyncio.Protocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()

    # eof_received() is inherited: it returns None, so the transport closes
    # itself once everything that was written has been sent.


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, '127.0.0.1', port)
    host, port = server.sockets[0].getsockname()
    print(f'echoing on {host}:{port}', flush=True)
    await server.serve_forever()


if __name__ == '__main__':
    try:
        port = int(sys.argv[1]) if len(sys.argv) > 1 else 8007
        uvloop_core.run(main(port))
    except KeyboardInterrupt:
        pass
