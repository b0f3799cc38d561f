"""asyncio's streams on the loop's transports."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from .timing import Loop, Row, Work, expect

LINE = b'x' * 99 + b'\n'
AT_ONCE = 20  # lines in one write


async def write_lines(writer: asyncio.StreamWriter, count: int) -> None:
    lines = LINE * AT_ONCE
    for _ in range(count // AT_ONCE):
        writer.write(lines)
        await writer.drain()


async def read_lines(reader: asyncio.StreamReader, count: int) -> None:
    for _ in range(count):
        line = await reader.readline()
        if line != LINE:
            expect(line, LINE, 'the line')


@contextmanager
def readline(loop: Loop) -> Iterator[Work]:
    """The operation is one line of 100 bytes; 20 come in one write."""
    accepted: asyncio.Future[asyncio.StreamReader] = loop.create_future()
    writers = []

    def accept(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        accepted.set_result(reader)
        writers.append(writer)

    async def connect() -> asyncio.Server:
        server = await asyncio.start_server(accept, '127.0.0.1', 0)
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection('127.0.0.1', port)
        await accepted
        writers.append(writer)
        return server

    async def both(count: int) -> None:
        await asyncio.gather(
            write_lines(writers[1], count),
            read_lines(accepted.result(), count),
        )

    async def disconnect() -> None:
        for writer in writers:
            writer.close()
        for writer in writers:
            await writer.wait_closed()
        server.close()
        await server.wait_closed()

    server = loop.run_until_complete(connect())
    yield lambda count: loop.run_until_complete(both(count))
    loop.run_until_complete(disconnect())


ROWS = {'readline': Row(readline, step=AT_ONCE, needs='create_server')}
