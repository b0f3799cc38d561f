"""Callbacks and timers. The operation is one callback, run or cancelled."""

from __future__ import annotations

from .timing import Loop, Open, Row, expect, plain

PAIRS = 100  # of call_later and cancel, in one callback
TIMERS = 10_000  # at a time, so that there is always one that is due


def chain(loop: Loop, count: int) -> None:
    """Each callback schedules the next one: a turn of the loop for each."""
    call_soon = loop.call_soon
    left = count

    def step() -> None:
        nonlocal left
        left -= 1
        if left > 0:
            call_soon(step)
        else:
            loop.stop()

    call_soon(step)
    loop.run_forever()
    expect(left, 0, 'callbacks that did not run')


def batches(size: int, method: str = 'call_soon') -> Open:
    """So many are scheduled by the loop's method, then run; and again."""

    def work(loop: Loop, count: int) -> None:
        schedule = getattr(loop, method)
        left = count
        ran = 0

        def tick() -> None:
            nonlocal ran
            ran += 1

        def fill() -> None:
            nonlocal left
            if not left:
                loop.stop()
                return
            left -= size
            for _ in range(size):
                schedule(tick)
            schedule(fill)

        schedule(fill)
        loop.run_forever()
        expect(ran, count, 'callbacks that ran')

    return plain(work)


def cancelled_timers(loop: Loop, count: int) -> None:
    """Each is cancelled at once, as the timeout of what is quick enough."""
    call_later = loop.call_later
    left = count
    ran = 0

    def tick() -> None:
        nonlocal ran
        ran += 1

    def some() -> None:
        nonlocal left
        for _ in range(PAIRS):
            call_later(60.0, tick).cancel()
        left -= PAIRS
        if left:
            loop.call_soon(some)
        else:
            loop.stop()

    loop.call_soon(some)
    loop.run_forever()
    expect(ran, 0, 'cancelled timers that fired')


def firing_timers(loop: Loop, count: int) -> None:
    """10,000 timers that each set the next, of 1 to 2 ms: more than a loop
    can fire in that time, so it waits for the last ones only."""
    call_later = loop.call_later
    fired = 0
    last = count - TIMERS
    delays = [0.001 + i * 7919 % TIMERS / TIMERS / 1000 for i in range(TIMERS)]

    def fire(delay: float) -> None:
        nonlocal fired
        fired += 1
        if fired <= last:
            call_later(delay, fire, delay)
        elif fired == count:
            loop.stop()

    for delay in delays:
        call_later(delay, fire, delay)
    loop.run_forever()
    expect(fired, count, 'timers that fired')


ROWS = {
    'call-soon-chain': Row(plain(chain)),
    'call-soon-500': Row(batches(500), step=500),
    'call-soon-200000': Row(batches(200_000), step=200_000),
    'call-later-cancel': Row(plain(cancelled_timers), step=PAIRS),
    # Ten times: the last ones set no other, and the loop waits for them.
    'call-later-fire': Row(plain(firing_timers), step=10 * TIMERS),
}
