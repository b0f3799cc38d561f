"""HTTP by granian, which makes its socket by itself: serve.py http_granian
LOOP. Its server for one process is used: Rust's threads beside the loop's."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import granian
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from __main__ import BACKLOG, body_of, loop_of


async def app(scope: Any, receive: Any, send: Any) -> None:
    body = body_of(scope['path'].encode())
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


async def tell_when_up(tell: Any, kind: str, port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection('127.0.0.1', port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            tell(granian, granian.__version__, kind)
            return


async def start(listener: socket.socket, tell: Any, kind: str) -> None:
    port = listener.getsockname()[1]
    listener.close()
    server = Server(
        app,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        log_enabled=False,
    )
    await asyncio.gather(server.serve(), tell_when_up(tell, kind, port))


def serve(listener: socket.socket, tell: Any, name: str) -> None:
    _, loop, kind, _ = loop_of(name)
    asyncio.set_event_loop(loop)
    loop.run_until_complete(start(listener, tell, kind))
