"""getaddrinfo of what needs no resolver."""

from __future__ import annotations

import asyncio
import socket

from .timing import Row, coroutine, expect

ADDRESS = ('127.0.0.1', 8080)


async def literal(count: int) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        found = await loop.getaddrinfo(*ADDRESS, type=socket.SOCK_STREAM)
        if found[0][4] != ADDRESS:
            expect(found[0][4], ADDRESS, 'the address')


ROWS = {'getaddrinfo': Row(coroutine(literal), needs='getaddrinfo')}
