"""python -m tests.server.counted: the example server, and what it holds.

GET /held answers with counts; all else is as in examples.server.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os

from examples.server import __main__ as command
from examples.server.app import app
from examples.server.request import Request
from examples.server.response import Response


def counted(request: Request) -> Response:
    return held() if request.path == '/held' else app(request)


def held() -> Response:
    gc.collect()
    loop = asyncio.get_running_loop()
    opened = getattr(loop, '_handles_opened', 0)  # asyncio does not count
    closed = getattr(loop, '_handles_closed', 0)
    counts = {
        'opened': opened,
        'live handles': opened - closed,
        'open files': len(os.listdir('/proc/self/fd')),
        'objects': len(gc.get_objects()),
    }
    return Response(json.dumps(counts).encode())


if __name__ == '__main__':
    command.app = counted
    command.main()
