"""What the parts of the loop share."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import sys
from typing import Any

from . import _core

logger = logging.getLogger('asyncio')


class LoopBase(_core.Loop, asyncio.AbstractEventLoop):
    """The C loop under asyncio's abstract class.

    Each of the other parts is a subclass of it that adds one noun; Loop puts
    them together.
    """

    def _check_closed(self) -> None:
        if self.is_closed():
            raise RuntimeError('Event loop is closed')

    def _check_callback(self, callback: Any, method: str) -> None:
        """Debug mode's check of what is to be called."""
        if asyncio.iscoroutine(callback) or is_coroutine_function(callback):
            raise TypeError(f'coroutines cannot be used with {method}()')
        if not callable(callback):
            raise TypeError(
                f'a callable object was expected by {method}(),'
                f' got {callback!r}'
            )

    def _check_fd(self, file: Any) -> int:
        """The descriptor of a file object, which must not be a transport's."""
        fd = file_descriptor(file)
        transport = self._owner(fd)
        if transport is not None and not transport.is_closing():
            raise RuntimeError(
                f'File descriptor {fd} is used by transport {transport!r}'
            )
        return fd


def is_coroutine_function(callback: Any) -> bool:
    if sys.version_info >= (3, 14):
        # asyncio's own is deprecated there.
        return inspect.iscoroutinefunction(callback)
    return asyncio.iscoroutinefunction(callback)


def file_descriptor(file: Any) -> int:
    fd = file
    if not isinstance(file, int):
        try:
            fd = int(file.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f'Invalid file object: {file!r}') from None
    if fd < 0:
        raise ValueError(f'Invalid file descriptor: {fd}')
    return int(fd)


def debug_by_default() -> bool:
    """Whether the interpreter was started so that new loops debug."""
    if sys.flags.dev_mode:
        return True
    if sys.flags.ignore_environment:
        return False
    return bool(os.environ.get('PYTHONASYNCIODEBUG'))
