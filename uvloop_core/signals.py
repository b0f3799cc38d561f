"""add_signal_handler, and what wakes the loop when a signal comes.

A Python signal handler dispatches, so a signal that comes while the loop is
stopped is delivered when it runs again. Python runs such handlers between
two instructions of Python code only: a loop that waits in the kernel has to
be made to run some. That is what signal.set_wakeup_fd() is for.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
import signal
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .base import LoopBase, is_coroutine_function

if TYPE_CHECKING:
    from ._core import _Ts


class SignalHandler(NamedTuple):
    callback: Callable[..., object]
    args: tuple[Any, ...]
    context: contextvars.Context


class Wakeup:
    """A pipe that the interpreter writes a byte to for each signal."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)
        self.pid = os.getpid()

    def read(self) -> None:
        """Empty it. Being called, Python code runs the signal handlers."""
        try:
            while len(os.read(self.reader, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        reader, self.reader = self.reader, -1
        if reader >= 0:
            os.close(reader)
            os.close(self.writer)

    def __del__(self) -> None:
        # Of a loop that nobody has closed, which has said so already.
        self.close()


class SignalsMixin(LoopBase):
    """add_signal_handler, and what wakes the loop when a signal comes."""

    _wakeup: Wakeup | None = None

    def __init__(self) -> None:
        super().__init__()
        self._signal_handlers: dict[int, SignalHandler] = {}

    def add_signal_handler(
        self, sig: int, callback: Callable[[*_Ts], object], *args: *_Ts
    ) -> None:
        """Call callback(*args) in the loop when the signal comes."""
        if asyncio.iscoroutine(callback) or is_coroutine_function(callback):
            raise TypeError(
                'coroutines cannot be used with add_signal_handler()'
            )
        check_signal(sig)
        self._check_closed()
        if sig == signal.SIGCHLD:
            raise RuntimeError(
                'cannot add a signal handler for SIGCHLD: it belongs to those'
                ' who wait for child processes'
            )
        handler = SignalHandler(callback, args, contextvars.copy_context())
        dispatch = partial(on_signal, weakref.ref(self))
        set_handler(sig, dispatch)
        # Calls that the signal interrupts go on instead of failing by EINTR.
        signal.siginterrupt(sig, False)
        self._signal_handlers[sig] = handler

    def remove_signal_handler(self, sig: int) -> bool:
        """Undo that; True if there was a handler."""
        check_signal(sig)
        if self._signal_handlers.pop(sig, None) is None:
            return False
        if sig == signal.SIGINT:
            set_handler(sig, signal.default_int_handler)
        else:
            set_handler(sig, signal.SIG_DFL)
        return True

    def _handle_signal(self, sig: int) -> None:
        handler = self._signal_handlers.get(sig)
        if handler is not None and not self.is_closed():
            # In the main thread, which need not be the loop's.
            self.call_soon_threadsafe(
                handler.callback, *handler.args, context=handler.context
            )

    def _start_wakeup(self) -> int | None:
        """Have signals wake this loop, if it runs where they are handled.

        Returns the previous wakeup fd for _stop_wakeup, None if not.
        """
        if threading.current_thread() is not threading.main_thread():
            return None
        if self._wakeup is not None and self._wakeup.pid != os.getpid():
            # In a forked child, the pipe is the parent's.
            self._close_wakeup()
        if self._wakeup is None:
            self._wakeup = Wakeup()
            self._add_reader(self._wakeup.reader, self._wakeup.read)
        try:
            return signal.set_wakeup_fd(
                self._wakeup.writer, warn_on_full_buffer=False
            )
        except ValueError:
            # Not the main interpreter.
            return None

    def _stop_wakeup(self, previous: int | None) -> None:
        if previous is None or self._wakeup is None:
            return
        current = signal.set_wakeup_fd(-1)
        if current != self._wakeup.writer:
            # Somebody has changed it meanwhile: leave it so.
            previous = current
        try:
            signal.set_wakeup_fd(previous)
        except (ValueError, OSError):
            # It was closed meanwhile.
            pass

    def _close_wakeup(self) -> None:
        if self._wakeup is not None:
            if not self.is_closed():
                self._remove_reader(self._wakeup.reader)
            self._wakeup.close()
            self._wakeup = None

    def _close_signals(self) -> None:
        if sys.is_finalizing() and self._signal_handlers:
            warnings.warn(
                f'Closing the loop {self!r} on interpreter shutdown stage,'
                ' skipping signal handlers removal',
                ResourceWarning,
                source=self,
                stacklevel=3,
            )
            self._signal_handlers.clear()
        for sig in list(self._signal_handlers):
            self.remove_signal_handler(sig)
        self._close_wakeup()


def on_signal(
    loop_ref: weakref.ref[SignalsMixin], sig: int, frame: object
) -> None:
    """The handler that Python knows; it keeps no loop alive."""
    loop = loop_ref()
    if loop is not None:
        loop._handle_signal(sig)


def check_signal(sig: object) -> None:
    if not isinstance(sig, int):
        raise TypeError(f'sig must be an int, not {sig!r}')
    if sig not in signal.valid_signals():
        raise ValueError(f'invalid signal number {sig}')


def set_handler(sig: int, handler: Any) -> None:
    try:
        signal.signal(sig, handler)
    except ValueError as error:
        # Not the main thread of the main interpreter.
        raise RuntimeError(str(error)) from None
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise RuntimeError(f'sig {sig} cannot be caught') from None
        raise
