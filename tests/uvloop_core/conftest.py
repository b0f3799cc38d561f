"""The `loop` fixture: every test that takes it runs on asyncio's loop too.

asyncio is the oracle. Each loop runs with debug mode off and on. At the end
of a test: our loop has closed each handle it opened and has no request in
flight, and the exception handler was not called but for what the test took.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import uvloop_core

MAKERS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    'asyncio': asyncio.SelectorEventLoop,
    'uvloop_core': uvloop_core.new_event_loop,
}
if os.environ.get('PROFILE', 'release') != 'release':
    # The oracle has spoken: how we are built makes no difference to it.
    del MAKERS['asyncio']

# test_write_coalescing.py runs other files again, with it on.
COALESCES = 'UVLOOP_CORE_COALESCES' in os.environ


class Reports(list[dict[str, Any]]):
    """What call_exception_handler was told, in order."""

    def take(self) -> list[dict[str, Any]]:
        """All so far; the test has seen to them."""
        taken = list(self)
        self.clear()
        return taken


@pytest.fixture
def reports() -> Reports:
    return Reports()


def finish(loop: asyncio.AbstractEventLoop, reports: Reports) -> None:
    if not loop.is_closed():
        # What close() and cancel() have scheduled is part of the test.
        for _ in range(3):
            loop.call_soon(loop.stop)
            loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    asyncio.set_event_loop(None)
    if isinstance(loop, uvloop_core.Loop):
        assert loop._handles_opened == loop._handles_closed
        assert loop._requests == 0
    assert not reports, f'reports that the test did not expect: {reports}'


def make(
    name: str, debug: bool, reports: Reports
) -> Iterator[asyncio.AbstractEventLoop]:
    loop = MAKERS[name]()
    loop.set_debug(debug)
    # Machines are slow and shared: only tests of the log want it.
    loop.slow_callback_duration = 60.0  # type: ignore[attr-defined]
    loop.set_exception_handler(lambda _, context: reports.append(context))
    if isinstance(loop, uvloop_core.Loop):
        loop.write_coalescing = COALESCES
    yield loop
    finish(loop, reports)


@pytest.fixture(
    params=[
        pytest.param(
            (name, debug),
            id=name + ('-debug' if debug else ''),
            # How the oracle debugs is worth a look, but not on each run.
            marks=pytest.mark.slow if name == 'asyncio' and debug else (),
        )
        for name in MAKERS
        for debug in (False, True)
    ]
)
def loop(
    request: pytest.FixtureRequest, reports: Reports
) -> Iterator[asyncio.AbstractEventLoop]:
    """asyncio's loop and ours, with debug mode off and on."""
    yield from make(*request.param, reports)


@pytest.fixture(params=[False, True], ids=['', 'debug'])
def our_loop(
    request: pytest.FixtureRequest, reports: Reports
) -> Iterator[asyncio.AbstractEventLoop]:
    """Ours alone, for what asyncio does not have or does not promise."""
    yield from make('uvloop_core', request.param, reports)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that are connected; neither blocks."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    with left, right:
        yield left, right
