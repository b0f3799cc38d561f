"""What an active connection costs beside 10,000 that are idle, and beside
100,000 timers that are not due.

The figure is a ratio: the CPU time of 1 KB there and back with the crowd
there, to that without it. Each is the least of its tries; they are measured
without, with, without, with the crowd, and without it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from . import connections, transports
from .timing import (
    Figures,
    Loop,
    Row,
    Times,
    calibrate,
    fastest,
    freeze,
    tries,
)

CONNECTIONS = 10_000
TIMERS = 100_000
MESSAGE = bytes(range(256)) * 4
CYCLES = 2
SECONDS = 0.15  # of tries, each time


@dataclass
class Beside:
    """The work, done with the crowd there."""

    work: Callable[[int], Times | None]
    gather: Callable[[], None]
    disperse: Callable[[], None]

    def __call__(self, count: int) -> None:
        self.gather()
        self.work(count)
        self.disperse()


def ratio(beside: Beside, step: int) -> Figures:
    count = calibrate(beside.work, step)
    alone, crowded = [], []
    for _ in range(CYCLES):
        freeze()
        alone.append(tries(beside.work, count, SECONDS))
        beside.gather()
        freeze()
        crowded.append(tries(beside.work, count, SECONDS))
        beside.disperse()
    alone.append(tries(beside.work, count, SECONDS))
    with_it, without = fastest(crowded), fastest(alone)
    return {
        'ratio': with_it.cpu / without.cpu,
        'cpu_nanoseconds': with_it.cpu / count,
        'cpu_nanoseconds_alone': without.cpu / count,
    }


@contextmanager
def idle_connections(loop: Loop) -> Iterator[Beside]:
    with (
        transports.ping_pong(loop, MESSAGE) as work,
        connections.crowd(loop) as crowd,
    ):

        def gather() -> None:
            crowd.grow(CONNECTIONS)

        yield Beside(work, gather, crowd.disperse)


@contextmanager
def pending_timers(loop: Loop) -> Iterator[Beside]:
    timers = []

    def gather() -> None:
        for i in range(TIMERS):
            seconds = 3600.0 + i * 7919 % TIMERS
            timers.append(loop.call_later(seconds, int))

    def disperse() -> None:
        for timer in timers:
            timer.cancel()
        timers.clear()

    with transports.ping_pong(loop, MESSAGE) as work:
        yield Beside(work, gather, disperse)


ROWS = {
    'idle-10000': Row(idle_connections, measure=ratio, needs='create_server'),
    'timers-100000': Row(pending_timers, measure=ratio),
}
