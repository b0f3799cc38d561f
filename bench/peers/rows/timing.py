"""What a row is, and how the time of one operation is taken.

A round is some tries of about 2 ms, over a third of a second; the least
counts: whatever disturbs a try only ever makes it longer, and 2 ms are often
enough granted whole where others want the core too. The tries before them,
of fewer operations, for 30 ms and more, warm up. Beside the time
stands the CPU time of the process, all of its threads, likewise the least: it
is exact, and other processes add little to it. The garbage collector stays
on, since what a loop gives it to do is the loop's cost; what was there before
is frozen, since it is not.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

TRY_SECONDS = 0.002
WARM_UP_SECONDS = 0.03
ROUND_SECONDS = float(os.environ.get('BENCH_SECONDS', '0.35'))
LEAST_TRIES = 4

Loop = asyncio.AbstractEventLoop


class Wrong(Exception):
    """The work went wrong; the text is one line that says how."""


class Times(NamedTuple):
    """Nanoseconds."""

    wall: int
    cpu: int


def now() -> Times:
    return Times(time.perf_counter_ns(), time.process_time_ns())


def since(began: Times) -> Times:
    wall, cpu = now()
    return Times(wall - began.wall, cpu - began.cpu)


# Does so many operations; returns what they took if not all of it counts.
Work = Callable[[int], Times | None]
Open = Callable[[Loop], AbstractContextManager[Work]]
Figures = dict[str, float]


def taken(work: Work, count: int) -> Times:
    began = now()
    times = work(count)
    return times or since(began)


def fastest(times: Iterable[Times]) -> Times:
    """The least of each clock."""
    return Times(*map(min, zip(*times, strict=True)))


def tries(work: Work, count: int, seconds: float) -> Times:
    """The least of the tries, of all that a try does."""
    found: list[Times] = []
    deadline = time.perf_counter() + seconds
    while len(found) < LEAST_TRIES or time.perf_counter() < deadline:
        found.append(taken(work, count))
    return fastest(found)


def calibrate(work: Work, step: int) -> int:
    """How many operations take as long as a try; a multiple of the step.

    By the least of some: one that is disturbed takes as long at once.
    """
    count = step
    deadline = time.perf_counter() + WARM_UP_SECONDS
    while tries(work, count, 0).wall < TRY_SECONDS * 1e9:
        count *= 2
    while time.perf_counter() < deadline:
        work(count)
    return count


def freeze() -> None:
    gc.collect()
    gc.freeze()


def least(work: Work, step: int) -> Figures:
    freeze()
    count = calibrate(work, step)
    times = tries(work, count, ROUND_SECONDS)
    return {
        'nanoseconds': times.wall / count,
        'cpu_nanoseconds': times.cpu / count,
    }


@dataclass(frozen=True)
class Row:
    """`open` sets the work up on a loop, and tears it down.

    It is done in multiples of `step`. `needs` is what a loop lacks that
    raises NotImplementedError.
    """

    open: Open
    step: int = 1
    needs: str = ''
    measure: Callable[[Any, int], Figures] = least


def plain(work: Callable[[Loop, int], None]) -> Open:
    """For work that needs no set-up."""

    @contextmanager
    def opened(loop: Loop) -> Iterator[Work]:
        yield functools.partial(work, loop)

    return opened


def coroutine(work: Callable[[int], Coroutine[Any, Any, None]]) -> Open:
    """For work that needs no set-up, and awaits."""

    def run(loop: Loop, count: int) -> None:
        loop.run_until_complete(work(count))

    return plain(run)


def expect(found: object, expected: object, what: str) -> None:
    if found != expected:
        raise Wrong(f'{what}: {found!r}, not {expected!r}')
