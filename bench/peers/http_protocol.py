"""HTTP by callbacks, on a loop of asyncio's interface: serve.py http_protocol
LOOP.

The parser is httptools, whichever the interpreter finds: the original, or
ours, which has the same callbacks.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import httptools
from __main__ import body_of, head_of, serve_protocol

# From here on two buffers are better than one copy.
LARGE = 32 * 1024


class Http(asyncio.Protocol):
    # Not of asyncio's class on every loop.
    transport: asyncio.Transport

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.url = b''
        self.headers: list[tuple[bytes, bytes]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.transport.write(head_of(b'400 Bad Request', 0))
            self.transport.close()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self.url = b''
        self.headers = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_message_complete(self) -> None:
        body = body_of(self.url)
        if body is None:
            self.transport.write(head_of(b'404 Not Found', 0))
        elif len(body) < LARGE:
            self.transport.write(head_of(b'200 OK', len(body)) + body)
        else:
            self.transport.writelines([head_of(b'200 OK', len(body)), body])
        if not self.parser.should_keep_alive():
            self.transport.close()


def serve(listener: socket.socket, tell: Any, name: str) -> None:
    serve_protocol(
        listener, tell, name, Http, httptools, httptools.__version__
    )
