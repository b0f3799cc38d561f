"""A request's body, on its way from the socket to the app.

The connection puts pieces in, the app takes them out, and neither runs ahead
of the other: `waiting` tells the connection when to stop reading, `wanted`
when to go on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final


class Body:
    """An async iterator over the pieces of a body as they come."""

    __slots__ = (
        '_abandoned',
        '_error',
        '_pieces',
        '_waiter',
        'complete',
        'received',
        'waiting',
        'wanted',
    )

    def __init__(self, wanted: Callable[[], None]) -> None:
        self.complete = False
        self.received = 0  # bytes, ever
        self.waiting = 0  # bytes that the app has not taken yet
        self.wanted = wanted  # called when the app waits for more
        self._abandoned = False
        self._error: Exception | None = None
        self._pieces: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None

    # What the app does.

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.complete:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            self.wanted()
            await self._waiter
        piece = self._pieces.popleft()
        self.waiting -= len(piece)
        return piece

    async def read(self) -> bytes:
        """All of it, for a body that is known to be small."""
        return b''.join([piece async for piece in self])

    # What the connection does.

    def feed(self, piece: bytes) -> None:
        self.received += len(piece)
        if not self._abandoned:
            self.waiting += len(piece)
            self._pieces.append(piece)
            self._wake()

    def finish(self) -> None:
        self.complete = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """What came before is still read; then the reader gets `error`."""
        self._error = error
        self._wake()

    def abandon(self) -> None:
        """Nobody reads on: what still comes is thrown away."""
        self._abandoned = True
        self._pieces.clear()
        self.waiting = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _nobody() -> None:
    """Is never called: the app does not wait for what is complete."""


# Of every request that has none.
NO_BODY: Final = Body(_nobody)
NO_BODY.finish()
