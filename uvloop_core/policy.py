"""How a loop becomes the program's: run, new_event_loop, and policies.

Policies end with Python 3.16 and warn from 3.14 on, so ours is made only
when somebody asks for it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from .loop import Loop

T = TypeVar('T')

# Python has no policies from 3.16 on.
HAS_POLICIES = sys.version_info < (3, 16)


def new_event_loop() -> Loop:
    """Return a new event loop."""
    return Loop()


def run(
    main: Coroutine[Any, Any, T],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop]
    | None = new_event_loop,
    debug: bool | None = None,
    **options: Any,
) -> T:
    """Run a coroutine on a new loop, as asyncio.run() does on asyncio's."""
    # Before the wrapper is made, else it would never be awaited.
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            'uvloop_core.run() cannot be called from a running event loop'
        )
    wrapper = on_our_loop(main)
    if sys.version_info >= (3, 12):
        return asyncio.run(
            wrapper, loop_factory=loop_factory, debug=debug, **options
        )
    with asyncio.Runner(
        loop_factory=loop_factory, debug=debug, **options
    ) as runner:
        return runner.run(wrapper)


async def on_our_loop(main: Coroutine[Any, Any, T]) -> T:
    if not isinstance(asyncio.get_running_loop(), Loop):
        raise TypeError('uvloop_core.run() uses a non-uvloop event loop')
    return await main


def install() -> None:
    """Make our loops what asyncio.new_event_loop() returns.

    Deprecated: use uvloop_core.run(). It goes away with Python 3.16.
    """
    if sys.version_info >= (3, 12):
        warnings.warn(
            'uvloop_core.install() is deprecated in favor of'
            ' uvloop_core.run() starting with Python 3.12.',
            DeprecationWarning,
            stacklevel=2,
        )
    with warnings.catch_warnings():
        # One warning is enough.
        warnings.simplefilter('ignore', DeprecationWarning)
        asyncio.set_event_loop_policy(__getattr__('EventLoopPolicy')())


class CurrentLoop(threading.local):
    """The loop that set_event_loop() has set in a thread."""

    loop: asyncio.AbstractEventLoop | None = None


class Policy:
    """The event loop policy that makes our loops.

    get_event_loop() never makes one: it returns what set_event_loop() has
    set in this thread. Deprecated, as policies are.
    """

    def __init__(self) -> None:
        self._current = CurrentLoop()

    def get_event_loop(self) -> asyncio.AbstractEventLoop:
        if self._current.loop is None:
            raise RuntimeError(
                'There is no current event loop in thread'
                f' {threading.current_thread().name!r}.'
            )
        return self._current.loop

    def set_event_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        if loop is not None and not isinstance(
            loop, asyncio.AbstractEventLoop
        ):
            raise TypeError(
                'loop must be an instance of AbstractEventLoop or None,'
                f' not {type(loop).__name__!r}'
            )
        self._current.loop = loop

    def new_event_loop(self) -> Loop:
        return new_event_loop()


if TYPE_CHECKING:

    class EventLoopPolicy(Policy, asyncio.AbstractEventLoopPolicy):
        pass


def make_policy() -> Any:
    """EventLoopPolicy: Policy as a subclass of asyncio's abstract one."""
    with warnings.catch_warnings():
        # From 3.14 on, the attribute warns.
        warnings.simplefilter('ignore', DeprecationWarning)
        base: Any = getattr(asyncio, 'AbstractEventLoopPolicy')  # noqa: B009
    names = {'__doc__': Policy.__doc__, '__module__': __package__}
    return type('EventLoopPolicy', (Policy, base), names)


def __getattr__(name: str) -> Any:
    """Make EventLoopPolicy when somebody asks for it."""
    if name != 'EventLoopPolicy' or not HAS_POLICIES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    made = globals()[name] = make_policy()
    return made
