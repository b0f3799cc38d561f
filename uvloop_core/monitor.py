"""_monitor_fs: being told of changes of files."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from functools import partial

from . import _core
from .base import LoopBase


class FileSystemEvent(enum.IntEnum):
    """What has happened to a file."""

    RENAME = 1  # made, renamed or removed
    CHANGE = 2
    RENAME_CHANGE = 3


Tell = Callable[[bytes, FileSystemEvent], object]


class MonitorMixin(LoopBase):
    """_monitor_fs."""

    def _monitor_fs(
        self, path: str | bytes | os.PathLike[str], callback: Tell
    ) -> _core.FSEvent:
        """Call callback(name, event) when a file, or one in a folder, changes.

        Until cancel() of what is returned. uvloop has it under this name.
        """
        self._check_closed()
        if self.get_debug():
            self._check_callback(callback, '_monitor_fs')
        try:
            return _core.monitor_fs(self, path, partial(tell, callback))
        except OSError as error:
            # libuv does not know the name.
            raise OSError(error.errno, error.strerror, path) from None


def tell(callback: Tell, name: bytes, events: int) -> None:
    callback(name, FileSystemEvent(events))
