"""The echo server of every loop: python echo_server.py LOOP ENDPOINT.

It prints one line of JSON once it listens, and serves until it is killed.
It is run by the peer's own interpreter, so it imports nothing of ours but
the loop that it is asked for.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import platform
import sys
from typing import cast


class Echo(asyncio.Protocol):
    # Not of asyncio's class on every loop.
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


def main() -> None:
    module = importlib.import_module(sys.argv[1])
    loop: asyncio.AbstractEventLoop = module.new_event_loop()
    told: dict[str, object] = {}
    if sys.argv[2] == 'tcp':
        server = loop.run_until_complete(
            loop.create_server(Echo, '127.0.0.1', 0, backlog=1024)
        )
        told['port'] = server.sockets[0].getsockname()[1]
    else:
        told['path'] = sys.argv[2].removeprefix('unix:')
        loop.run_until_complete(
            loop.create_unix_server(Echo, str(told['path']), backlog=1024)
        )
    told |= {
        'version': getattr(module, '__version__', platform.python_version()),
        'loop': f'{type(loop).__module__}.{type(loop).__qualname__}',
        'file': module.__file__,
        'python': platform.python_version(),
    }
    print(json.dumps(told), flush=True)
    loop.run_forever()


main()
