"""Echo by tornado's streams, and HTTP by its own server (not by the web
framework on top). serve.py with_tornado echo|http"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import tornado
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine
from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpserver import TCPServer

from __main__ import body_of

READ_BYTES = 256 * 1024


class Echo(TCPServer):
    async def handle_stream(self, stream: IOStream, address: object) -> None:
        try:
            while True:
                data = await stream.read_bytes(READ_BYTES, partial=True)
                await stream.write(data)
        except StreamClosedError:
            pass


def answer(request: HTTPServerRequest) -> None:
    body = body_of(request.path.encode())
    found = body is not None
    connection = request.connection
    connection.write_headers(
        ResponseStartLine(
            'HTTP/1.1', *((200, 'OK') if found else (404, 'No'))
        ),
        HTTPHeaders(
            {
                'Content-Type': 'application/octet-stream',
                'Content-Length': str(len(body or b'')),
            }
        ),
        body or b'',
    )
    connection.finish()


async def run(listener: socket.socket, tell: Any, kind: str) -> None:
    server = Echo() if kind == 'echo' else HTTPServer(answer)
    listener.setblocking(False)
    server.add_sockets([listener])
    loop = asyncio.get_running_loop()
    name = f'{type(loop).__module__}.{type(loop).__qualname__}'
    tell(tornado, tornado.version, f'tornado on {name}')
    await asyncio.Event().wait()


def serve(listener: socket.socket, tell: Any, kind: str) -> None:
    asyncio.run(run(listener, tell, kind))
