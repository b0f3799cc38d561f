"""asyncio's StreamReader, the coroutines of which read in C.

A reader of asyncio's own class becomes one of this when it gets its first data
from one of our transports. It has no more attributes or methods than before.
Where anything is not as usual there is no data, and asyncio's coroutine reads.
"""

from __future__ import annotations

import asyncio
from functools import update_wrapper
from typing import Any

from ._core import stream_read, stream_readexactly, stream_readuntil


class StreamReader(asyncio.StreamReader):
    async def read(self, n: int = -1) -> bytes:
        await (reading := stream_read(self, n))
        data = reading.data
        return await super().read(n) if data is None else data

    async def readexactly(self, n: int) -> bytes:
        await (reading := stream_readexactly(self, n))
        data = reading.data
        return await super().readexactly(n) if data is None else data

    async def readuntil(self, separator: Any = b'\n') -> bytes:
        await (reading := stream_readuntil(self, separator))
        data = reading.data
        return await super().readuntil(separator) if data is None else data

    async def readline(self) -> bytes:
        await (reading := stream_readuntil(self, b'\n'))
        data = reading.data
        return await super().readline() if data is None else data


# Its name is asyncio's, and its documentation.
StreamReader.__module__ = asyncio.StreamReader.__module__
StreamReader.__doc__ = asyncio.StreamReader.__doc__
for name in ('read', 'readexactly', 'readuntil', 'readline'):
    update_wrapper(
        getattr(StreamReader, name), getattr(asyncio.StreamReader, name)
    )
