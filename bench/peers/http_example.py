"""HTTP by the example server, with an app like the other peers': serve.py
http_example LOOP."""

from __future__ import annotations

import socket
from typing import Any

import httptools
from __main__ import body_of, serve_protocol
from examples.server.limits import Limits
from examples.server.protocol import Connection, Service
from examples.server.request import Request
from examples.server.response import HttpError, Response


def some_bytes(request: Request) -> Response:
    body = body_of(request.target)
    if body is None:
        raise HttpError(404, 'there is nothing here')
    return Response(body, 200, 'application/octet-stream')


def serve(listener: socket.socket, tell: Any, name: str) -> None:
    service = Service(some_bytes, Limits())
    serve_protocol(
        listener,
        tell,
        name,
        lambda: Connection(service),
        httptools,
        httptools.__version__,
    )
