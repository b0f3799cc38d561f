"""python slowed.py SPINS ENDPOINT: ours, that much slower at each request.

The program of bench/slower.py. It is ours to the byte, but for a loop that
does nothing, so many times for each data_received.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import uvloop_core

SPINS = int(sys.argv[1])


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for _ in range(SPINS):
            pass
        self.transport.write(data)


def main() -> None:
    loop = uvloop_core.new_event_loop()
    server = loop.run_until_complete(
        loop.create_server(Echo, '127.0.0.1', 0, backlog=1024)
    )
    told = {
        'port': server.sockets[0].getsockname()[1],
        'file': uvloop_core.__file__,
    }
    print(json.dumps(told), flush=True)
    loop.run_forever()


main()
