"""HTTP as ours does it best: serve.py http_batch LOOP.

The transport calls the parser, the parser calls on_request once for a head,
and the answer is made in C.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httptools
from __main__ import body_of, serve_protocol
from httptools import KEEP_ALIVE, HttpRequestParser, build_response

TYPE = ((b'Content-Type', b'application/octet-stream'),)


class Http(asyncio.Protocol):
    def __init__(self) -> None:
        parser = HttpRequestParser(self)
        self.data_received = parser.feed_data  # type: ignore[method-assign]

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    # What the parser calls.

    def on_request(
        self,
        method: bytes,
        target: bytes,
        version: str,
        headers: list[tuple[bytes, bytes]],
        flags: int,
    ) -> None:
        body = body_of(target)
        if body is None:
            answer = build_response(404, body=b'', date=False)
        else:
            answer = build_response(200, TYPE, body, date=False)
        self.transport.writelines(answer)
        if not flags & KEEP_ALIVE:
            self.transport.close()

    def on_parse_error(self, error: Exception) -> None:
        self.transport.writelines(build_response(400, body=b'', date=False))
        self.transport.close()


def serve(listener: socket.socket, tell: Any, name: str) -> None:
    serve_protocol(
        listener, tell, name, Http, httptools, httptools.__version__
    )
