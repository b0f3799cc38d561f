"""What `import uvloop` gives after uvloop_core.as_uvloop().

uvloop's names and its version; its module `loop` is uvloop_core.loop.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import Loop, loop, new_event_loop, policy, run

if TYPE_CHECKING:
    from .policy import EventLoopPolicy, install

__all__ = ['Loop', 'as_uvloop', 'loop', 'new_event_loop', 'run']

if sys.version_info < (3, 16):
    __all__ += ['EventLoopPolicy', 'install']

# The one that ours stands for; who asks wants to know what it can do.
__version__ = '0.23.0'
# It counts as a package: uvloop.loop is a module.
__path__: list[str] = []


def as_uvloop() -> ModuleType:
    """Make `import uvloop` give this module; returns it.

    Raises RuntimeError if uvloop has been imported: what has taken its names
    would go on with them.
    """
    this = import_module(__name__)
    if sys.modules.get('uvloop.loop', loop) is not loop:
        raise RuntimeError(
            'uvloop is imported already: call uvloop_core.as_uvloop() before'
        )
    sys.modules['uvloop'] = this
    sys.modules['uvloop.loop'] = loop
    return this


def __getattr__(name: str) -> Any:
    """Policies, which are made only when somebody asks for them."""
    if name not in ('EventLoopPolicy', 'install') or not policy.HAS_POLICIES:
        raise AttributeError(f"module 'uvloop' has no attribute {name!r}")
    return getattr(policy, name)
