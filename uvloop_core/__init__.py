"""The asyncio event loop on libuv, in C."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from . import _core, policy
from .loop import Loop
from .policy import new_event_loop, run

if TYPE_CHECKING:
    from types import ModuleType

    from .policy import EventLoopPolicy, install

__version__: str = _core.__version__
__all__ = ['Loop', 'as_uvloop', 'libuv_version', 'new_event_loop', 'run']

if sys.version_info < (3, 16):
    __all__ += ['EventLoopPolicy', 'install']


def libuv_version() -> str:
    """The version of the libuv that is compiled in, as '1.52.1'."""
    return _core.libuv_version()


def as_uvloop() -> ModuleType:
    """Have `import uvloop` give ours from now on, in this process.

    For programs that say `import uvloop` and cannot be told otherwise. Raises
    RuntimeError if uvloop has been imported already.
    """
    from . import shim

    return shim.as_uvloop()


def __getattr__(name: str) -> object:
    if name not in ('EventLoopPolicy', 'install'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    if not policy.HAS_POLICIES:
        raise AttributeError(
            f'module {__name__!r} has no attribute {name!r} (it was removed in'
            ' Python 3.16, use uvloop_core.run() instead)'
        )
    found: object = getattr(policy, name)
    return found
