"""Bytes through a pipe, both ends transports of the loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from .timing import Loop, Row, Work, Wrong

CHUNK = bytes(range(256)) * 256


class Writer(asyncio.BaseProtocol):
    """Writes so many chunks, as fast as it may."""

    transport: asyncio.WriteTransport
    left = 0
    paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.write()

    def write(self) -> None:
        while self.left and not self.paused:
            self.left -= 1
            self.transport.write(CHUNK)


class Reader(asyncio.Protocol):
    """Counts the bytes, and looks at the first and the last of each part."""

    wanted = 0
    count = 0
    done: asyncio.Future[None]

    def data_received(self, data: bytes) -> None:
        first, last = self.count, self.count + len(data) - 1
        self.count = last + 1
        if data[0] != first & 255 or data[-1] != last & 255:
            self.done.set_exception(Wrong(f'wrong bytes after {first}'))
        elif self.count == self.wanted:
            self.done.set_result(None)
        elif self.count > self.wanted:
            raise Wrong('more bytes than were written')


@contextmanager
def throughput(loop: Loop) -> Iterator[Work]:
    """The operation is 64 KB."""
    reader, writer = Reader(), Writer()
    ends = os.pipe()
    files = [os.fdopen(ends[0], 'rb', 0), os.fdopen(ends[1], 'wb', 0)]

    async def connect() -> list[asyncio.BaseTransport]:
        incoming, _ = await loop.connect_read_pipe(lambda: reader, files[0])
        outgoing, _ = await loop.connect_write_pipe(lambda: writer, files[1])
        return [incoming, outgoing]

    async def move(count: int) -> None:
        reader.count, reader.wanted = 0, count * len(CHUNK)
        reader.done = loop.create_future()
        writer.left = count
        writer.write()
        await reader.done

    async def disconnect() -> None:
        for transport in transports:
            transport.close()
        await asyncio.sleep(0.01)

    try:
        transports = loop.run_until_complete(connect())
        yield lambda count: loop.run_until_complete(move(count))
        loop.run_until_complete(disconnect())
    finally:
        for file in files:
            file.close()


ROWS = {'pipe': Row(throughput, needs='connect_read_pipe')}
