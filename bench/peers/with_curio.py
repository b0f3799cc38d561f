"""Echo by curio: a task a connection. serve.py with_curio"""

from __future__ import annotations

import socket
from typing import Any

import curio
from curio.io import Socket

READ_BYTES = 256 * 1024


async def echo(connection: Any) -> None:
    async with connection:
        while data := await connection.recv(READ_BYTES):
            await connection.sendall(data)


async def accept(listener: socket.socket, tell: Any) -> None:
    own = Socket(listener)
    tell(curio, curio.__version__, 'curio.Kernel')
    while True:
        connection, _ = await own.accept()
        await curio.spawn(echo, connection, daemon=True)


def serve(listener: socket.socket, tell: Any) -> None:
    curio.run(accept, listener, tell)
