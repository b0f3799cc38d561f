"""HTTP by uvicorn with httptools, on a loop of asyncio's interface: serve.py
http_uvicorn LOOP. Which httptools, the interpreter says: the original, or
ours."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn

import httptools
from __main__ import BACKLOG, body_of, loop_of


async def app(scope: Any, receive: Any, send: Any) -> None:
    body = body_of(scope['raw_path'])
    await send(
        {
            'type': 'http.response.start',
            'status': 200 if body is not None else 404,
            'headers': [
                (b'content-type', b'application/octet-stream'),
                (b'content-length', b'%d' % len(body or b'')),
            ],
        }
    )
    await send({'type': 'http.response.body', 'body': body or b''})


class Server(uvicorn.Server):
    def __init__(self, tell: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http='httptools',
                lifespan='off',
                interface='asgi3',
                log_level='warning',
                access_log=False,
                backlog=BACKLOG,
            )
        )
        self.tell = tell

    async def startup(
        self, sockets: list[socket.socket] | None = None
    ) -> None:
        await super().startup(sockets)
        self.tell()


def serve(listener: socket.socket, tell: Any, name: str) -> None:
    _, loop, kind, _ = loop_of(name)
    asyncio.set_event_loop(loop)
    version = f'{uvicorn.__version__}, httptools {httptools.__version__}'
    server = Server(lambda: tell(httptools, version, kind))
    loop.run_until_complete(server.serve([listener]))
