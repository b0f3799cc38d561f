"""HTTP by the example server, as a copy of it would serve: serve.py
http_example LOOP.

Its own app, limits and clock; only the listener is the harness's.
"""

from __future__ import annotations

import socket
from typing import Any

import httptools
from __main__ import serve_protocol
from examples.server import app, protocol
from examples.server.limits import Limits


def serve(listener: socket.socket, tell: Any, name: str) -> None:
    service = protocol.Service(app.app, Limits())
    serve_protocol(
        listener,
        tell,
        name,
        lambda: protocol.Connection(service),
        httptools,
        httptools.__version__,
    )
