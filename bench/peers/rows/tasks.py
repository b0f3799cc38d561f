"""What a loop does for coroutines: tasks, and what asyncio builds on them."""

from __future__ import annotations

import asyncio

from .timing import Row, coroutine, expect

GATHERED = 100


async def sleep_0(count: int) -> None:
    sleep = asyncio.sleep
    for _ in range(count):
        await sleep(0)


async def one(number: int) -> int:
    return number


async def gather(count: int) -> None:
    """The operation is one of the hundred tasks that are gathered."""
    for _ in range(count // GATHERED):
        numbers = await asyncio.gather(*map(one, range(GATHERED)))
        expect(numbers[-1], GATHERED - 1, 'what the last task returned')


async def wait_for(count: int) -> None:
    """Of what is ready a turn later: the timeout is set and cancelled."""
    for number in range(count):
        found = await asyncio.wait_for(asyncio.sleep(0, number), 60.0)
        if found != number:
            expect(found, number, 'what was waited for')


ROWS = {
    'sleep-0': Row(coroutine(sleep_0)),
    'gather': Row(coroutine(gather), step=GATHERED),
    'wait-for': Row(coroutine(wait_for)),
}
