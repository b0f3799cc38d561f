"""HTTP by aiohttp, on a loop of asyncio's interface: serve.py http_aiohttp
LOOP."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
from aiohttp import web

from __main__ import BACKLOG, body_of, loop_of


async def some_bytes(request: web.Request) -> web.Response:
    body = body_of(request.path.encode())
    if body is None:
        raise web.HTTPNotFound
    return web.Response(body=body, content_type='application/octet-stream')


async def start(listener: socket.socket) -> None:
    app = web.Application()
    app.router.add_get('/bytes/{size}', some_bytes)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=BACKLOG).start()


def serve(listener: socket.socket, tell: Any, name: str) -> None:
    module, loop, kind, _ = loop_of(name)
    asyncio.set_event_loop(loop)
    loop.run_until_complete(start(listener))
    tell(module, f'aiohttp {aiohttp.__version__}', kind)
    loop.run_forever()
