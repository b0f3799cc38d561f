"""An HTTP server with a fault: python faulty_http.py FAULT ENDPOINT.

It answers AFTER requests well; 'late' faults come after so many more that
only the answers which are looked at after wrk's run can show them.
"""

from __future__ import annotations

import asyncio
import json
import sys

AFTER = 5
LATE = 150
answered = 0


def head(length: int, status: str = '200 OK') -> bytes:
    return f'HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n'.encode()


def answer(fault: str, size: int) -> bytes:
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    after = LATE if fault.startswith('late ') else AFTER
    if answered <= after:
        return head(size) + body
    if fault.endswith('wrong byte'):
        return head(size) + body[:-1] + b'\0'
    if fault == 'too short':
        return head(size) + body[:-1]
    if fault == 'wrong length':
        return head(size - 1) + body[:-1]
    if fault == 'too long':
        return head(size) + body + b'x'
    if fault.endswith('not found'):
        return head(0, '404 Not Found')
    return head(size) + body


class Faulty(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        global answered
        answered += 1
        fault = sys.argv[1]
        if fault == 'closes' and answered > AFTER:
            self.transport.abort()
        path = data.split()[1].partition(b'?')[0]
        size = int(path.removeprefix(b'/bytes/'))
        self.transport.write(answer(fault, size))


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Faulty, '127.0.0.1', 0, backlog=500)
    told = {'port': server.sockets[0].getsockname()[1]}
    print(json.dumps(told), flush=True)
    await server.serve_forever()


asyncio.run(main())
