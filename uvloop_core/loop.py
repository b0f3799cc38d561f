"""The Loop: running, closing, tasks, debug mode; the parts put together."""

from __future__ import annotations

import asyncio
import sys
import warnings
import weakref
from asyncio.sslproto import SSLProtocol
from asyncio.trsock import TransportSocket
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
)
from typing import Any, TypeVar

from ._core import (
    FSEvent,
    Handle,
    ReadUnixTransport,
    TCPTransport,
    TimerHandle,
    UDPTransport,
    UnixTransport,
    WriteUnixTransport,
    set_stream_reader,
    sock_abandon,
)
from .base import debug_by_default, logger
from .datagram import DatagramMixin
from .libuv import libuv_get_loop_t_ptr, libuv_get_version
from .monitor import FileSystemEvent, MonitorMixin
from .report import ReportMixin
from .sendfile import SendfileMixin
from .serve import Server
from .signals import SignalsMixin
from .streams import StreamReader
from .subprocess import SubprocessMixin
from .unix import UnixMixin

# Under uvloop's names, which has all of them in its module `loop`.
UVFSEvent = FSEvent
PseudoSocket = TransportSocket

set_stream_reader(StreamReader)

__all__ = [
    'FileSystemEvent',
    'Handle',
    'Loop',
    'PseudoSocket',
    'ReadUnixTransport',
    'SSLProtocol',
    'Server',
    'TCPTransport',
    'TimerHandle',
    'UDPTransport',
    'UVFSEvent',
    'UnixTransport',
    'WriteUnixTransport',
    'libuv_get_loop_t_ptr',
    'libuv_get_version',
]

T = TypeVar('T')

TaskFactory = Callable[..., asyncio.Future[Any]]

# How many frames of its origin a coroutine remembers in debug mode.
ORIGIN_DEPTH = 10


class Loop(
    DatagramMixin,
    SendfileMixin,
    MonitorMixin,
    UnixMixin,
    SubprocessMixin,
    SignalsMixin,
    ReportMixin,
):
    """An asyncio event loop on libuv."""

    def __init__(self) -> None:
        super().__init__()
        self._task_factory = None
        self._asyncgens: weakref.WeakSet[AsyncGenerator[Any, Any]] = (
            weakref.WeakSet()
        )
        self._asyncgens_shutdown_called = False
        self._tracks_origins = False
        self._origin_depth_before = 0
        self.set_debug(debug_by_default())

    def __repr__(self) -> str:
        return (
            f'<{type(self).__name__} running={self.is_running()}'
            f' closed={self.is_closed()} debug={self.get_debug()}>'
        )

    # Running

    def run_forever(self) -> None:
        """Run until stop() is called."""
        self._check_closed()
        self._check_not_running()
        hooks = sys.get_asyncgen_hooks()
        wakeup = None
        try:
            self._track_origins(self.get_debug())
            sys.set_asyncgen_hooks(
                firstiter=self._on_asyncgen_started,
                finalizer=self._on_asyncgen_dropped,
            )
            asyncio._set_running_loop(self)
            wakeup = self._start_wakeup()
            self._run()
        finally:
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
            self._stop_wakeup(wakeup)
            self._track_origins(False)

    def run_until_complete(
        self, future: Awaitable[T] | Generator[Any, None, T]
    ) -> T:
        """Run until the future or coroutine is done; return its result."""
        # Before a coroutine is wrapped: else it would stay, never to run.
        self._check_closed()
        self._check_not_running()
        ours = not asyncio.isfuture(future)
        awaitable: Any = future
        task: asyncio.Future[T] = asyncio.ensure_future(awaitable, loop=self)
        if ours:
            # If it is pending in the end, an exception says so.
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        task.add_done_callback(stop_its_loop)
        try:
            self.run_forever()
        except BaseException:
            if ours and task.done() and not task.cancelled():
                # It is this very exception: nobody else shall report it.
                task.exception()
            raise
        finally:
            task.remove_done_callback(stop_its_loop)
        if not task.done():
            raise RuntimeError('Event loop stopped before Future completed.')
        return task.result()

    def close(self) -> None:
        """Close the loop and what is open in it. It must not be running."""
        if self.is_running():
            raise RuntimeError('Cannot close a running event loop')
        if self.is_closed():
            return
        if self.get_debug():
            logger.debug('Close %r', self)
        self._close_signals()
        self._close()
        sock_abandon(self)
        self._shut_children()
        self._close_executor()

    def _check_not_running(self) -> None:
        if self.is_running():
            raise RuntimeError('This event loop is already running')
        if asyncio._get_running_loop() is not None:
            raise RuntimeError(
                'Cannot run the event loop while another loop is running'
            )

    # Futures and tasks

    if sys.version_info < (3, 14):

        def _create_by_factory(
            self,
            coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
            *,
            name: str | None = None,
            context: Any = None,
            **kwargs: Any,
        ) -> Any:
            """create_task, where there is a task factory."""
            # Factories know only of what was asked for.
            if context is not None:
                kwargs['context'] = context
            factory: Any = self._task_factory
            task = factory(self, coro, **kwargs)
            if name is not None:
                set_task_name(task, name)
            return task

    def set_task_factory(self, factory: TaskFactory | None) -> None:
        """Have factory(loop, coro, ...) make the tasks; None: asyncio.Task."""
        if factory is not None and not callable(factory):
            raise TypeError('task factory must be a callable or None')
        self._task_factory = factory

    def get_task_factory(self) -> TaskFactory | None:
        """Return the task factory, None if it is the default one."""
        return self._task_factory

    # Debug mode

    def set_debug(self, enabled: bool) -> None:
        """Switch debug mode."""
        self._set_debug(bool(enabled))
        if self.is_running():
            # The depth is the thread's own: let the loop's thread do it.
            self.call_soon_threadsafe(self._track_origins, enabled)

    def _track_origins(self, enabled: bool) -> None:
        """Have coroutines remember where they were created."""
        if bool(enabled) == self._tracks_origins:
            return
        depth = self._origin_depth_before
        if enabled:
            self._origin_depth_before = (
                sys.get_coroutine_origin_tracking_depth()
            )
            depth = ORIGIN_DEPTH
        sys.set_coroutine_origin_tracking_depth(depth)
        self._tracks_origins = bool(enabled)

    # Asynchronous generators

    async def shutdown_asyncgens(self) -> None:
        """Close the asynchronous generators that are not exhausted."""
        self._asyncgens_shutdown_called = True
        generators = list(self._asyncgens)
        self._asyncgens.clear()
        if not generators:
            return
        results = await asyncio.gather(
            *(generator.aclose() for generator in generators),
            return_exceptions=True,
        )
        for generator, result in zip(generators, results, strict=True):
            if isinstance(result, Exception):
                self.call_exception_handler(
                    {
                        'message': 'an error occurred during closing of'
                        f' asynchronous generator {generator!r}',
                        'exception': result,
                        'asyncgen': generator,
                    }
                )

    def _on_asyncgen_started(
        self, generator: AsyncGenerator[Any, Any]
    ) -> None:
        if self._asyncgens_shutdown_called:
            warnings.warn(
                f'asynchronous generator {generator!r} was scheduled after'
                ' loop.shutdown_asyncgens() call',
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
        self._asyncgens.add(generator)

    def _on_asyncgen_dropped(
        self, generator: AsyncGenerator[Any, Any]
    ) -> None:
        """The last reference is gone, in whatever thread."""
        self._asyncgens.discard(generator)
        if not self.is_closed():
            self.call_soon_threadsafe(self.create_task, generator.aclose())


# asyncio's C code calls them for each step of a task.
Loop._own_methods()


def stop_its_loop(future: asyncio.Future[Any]) -> None:
    if not future.cancelled() and isinstance(
        future.exception(), SystemExit | KeyboardInterrupt
    ):
        # run_forever has ended by it already: a stop would hit the next run.
        return
    future.get_loop().stop()


def set_task_name(task: Any, name: str) -> None:
    try:
        set_name = task.set_name
    except AttributeError:
        if sys.version_info >= (3, 13):
            raise
        warnings.warn(
            'Task.set_name() was added in Python 3.8, the method support will'
            ' be mandatory for third-party task implementations since 3.13.',
            DeprecationWarning,
            stacklevel=4,
        )
        return
    set_name(name)
