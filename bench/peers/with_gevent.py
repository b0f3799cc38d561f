"""Echo by gevent: a greenlet a connection. serve.py with_gevent"""

from __future__ import annotations

import socket
from typing import Any

import gevent
from gevent.server import StreamServer

READ_BYTES = 256 * 1024


def echo(connection: Any, address: object) -> None:
    while data := connection.recv(READ_BYTES):
        connection.sendall(data)


def serve(listener: socket.socket, tell: Any) -> None:
    own = gevent.socket.socket(
        listener.family, listener.type, fileno=listener.detach()
    )
    server = StreamServer(own, echo)
    server.start()
    tell(gevent, gevent.__version__, type(gevent.get_hub().loop).__module__)
    server.serve_forever()
