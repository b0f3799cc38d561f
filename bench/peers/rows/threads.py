"""The doors between threads."""

from __future__ import annotations

import asyncio
import threading

from .scheduling import batches
from .timing import Loop, Row, coroutine, expect, plain

BATCH = 500


def from_other_thread(loop: Loop, count: int) -> None:
    """A thread schedules all, one after the other, while the loop runs."""
    ran = 0

    def tick() -> None:
        nonlocal ran
        ran += 1
        if ran == count:
            loop.stop()

    def schedule() -> None:
        threadsafe = loop.call_soon_threadsafe
        for _ in range(count):
            threadsafe(tick)

    thread = threading.Thread(target=schedule)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    expect(ran, count, 'callbacks that ran')


async def executor(count: int) -> None:
    """There and back, one after the other, by the default executor."""
    loop = asyncio.get_running_loop()
    for number in range(count):
        found = await loop.run_in_executor(None, abs, -number)
        if found != number:
            expect(found, number, 'what the thread returned')


ROWS = {
    'threadsafe-other': Row(plain(from_other_thread)),
    'threadsafe-same': Row(batches(BATCH, 'call_soon_threadsafe'), step=BATCH),
    'executor': Row(coroutine(executor)),
}
