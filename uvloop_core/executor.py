"""Work in other threads: the default executor."""

from __future__ import annotations

import asyncio
import threading
import warnings
from asyncio.futures import _copy_future_state  # type: ignore[attr-defined]
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures._base import FINISHED
from contextlib import suppress
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar

from .base import LoopBase

if TYPE_CHECKING:
    from ._core import _Ts

T = TypeVar('T')


class ExecutorMixin(LoopBase):
    """run_in_executor, and the executor that is taken if none is given."""

    _default_executor: Executor | None = None
    _executor_shutdown_called = False

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[*_Ts], T],
        *args: *_Ts,
    ) -> asyncio.Future[T]:
        """Call func(*args) in a thread (or process) of the executor."""
        self._check_closed()
        if self.get_debug():
            self._check_callback(func, 'run_in_executor')
        if executor is None:
            executor = self._get_default_executor()
        done: Any = executor.submit(func, *args)
        if not isinstance(done, Future):
            return asyncio.wrap_future(done, loop=self)
        # What wrap_future does, of which half is to find out what is known
        # here.
        future = self.create_future()
        # A method, for two of the same are equal: copy_outcome removes it.
        future.add_done_callback(MethodType(cancel_if_cancelled, done))
        done.add_done_callback(partial(self._pass_on, future))
        return future

    def _pass_on(self, future: asyncio.Future[T], done: Future[T]) -> None:
        """In whatever thread has done the work."""
        if not self.is_closed():
            self.call_soon_threadsafe(copy_outcome, done, future)

    def _get_default_executor(self) -> Executor:
        if self._executor_shutdown_called:
            raise RuntimeError('Executor shutdown has been called')
        if self._default_executor is None:
            self._default_executor = ThreadPoolExecutor(
                thread_name_prefix='uvloop_core'
            )
        return self._default_executor

    def set_default_executor(self, executor: Any) -> None:
        """Have run_in_executor(None, ...) use this ThreadPoolExecutor."""
        if not isinstance(executor, ThreadPoolExecutor):
            raise TypeError('executor must be ThreadPoolExecutor instance')
        self._default_executor = executor

    async def shutdown_default_executor(
        self, timeout: float | None = None
    ) -> None:
        """Wait until the default executor's threads have ended.

        After `timeout` seconds they are left alone, with a RuntimeWarning.
        """
        self._executor_shutdown_called = True
        executor = self._default_executor
        if executor is None:
            return
        ended: asyncio.Future[None] = self.create_future()
        # Joining blocks, so a thread of its own does it.
        thread = threading.Thread(
            target=self._join_executor, args=(executor, ended)
        )
        thread.start()
        try:
            async with asyncio.timeout(timeout):
                await ended
        except TimeoutError:
            warnings.warn(
                'The executor did not finishing joining its threads within'
                f' {timeout} seconds.',
                RuntimeWarning,
                stacklevel=2,
            )
            executor.shutdown(wait=False)
        else:
            thread.join()

    def _join_executor(
        self, executor: Executor, ended: asyncio.Future[None]
    ) -> None:
        error = None
        try:
            executor.shutdown(wait=True)
        except Exception as raised:
            error = raised
        try:
            self.call_soon_threadsafe(settle, ended, error)
        except RuntimeError:
            # The loop was closed meanwhile: nobody waits any more.
            if not self.is_closed():
                raise

    def _close_executor(self) -> None:
        """As far as it goes without waiting."""
        self._executor_shutdown_called = True
        executor, self._default_executor = self._default_executor, None
        if executor is not None:
            executor.shutdown(wait=False)


def cancel_if_cancelled(
    done: Future[Any], future: asyncio.Future[Any]
) -> None:
    if future.cancelled():
        done.cancel()


def copy_outcome(done: Future[Any], future: asyncio.Future[Any]) -> None:
    """_copy_future_state, which asks five questions with a lock for each.

    What is done does not change any more, so a plain result needs none.
    """
    # There is nothing left to cancel, which would take a callback to see.
    with suppress(Exception):  # of a comparison with somebody's callback
        future.remove_done_callback(MethodType(cancel_if_cancelled, done))
    if (
        type(done) is Future
        and done._state == FINISHED
        and done._exception is None
        and not future.done()
    ):
        future.set_result(done._result)
    else:
        _copy_future_state(done, future)


def settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
