"""libuv itself, for extensions that share the loop: its version, its loop."""

from __future__ import annotations

from . import _core


def libuv_get_version() -> int:
    """The version of the libuv that is compiled in, as 0x013401."""
    return _core.libuv_get_version()


def libuv_get_loop_t_ptr(loop: _core.Loop) -> object:
    """A capsule (without a name) of the loop's uv_loop_t.

    It holds the loop. Handles that are added to it must be closed before the
    loop is, and their callbacks run with the GIL held, or attached.
    """
    return loop._libuv_loop()
