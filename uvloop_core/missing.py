"""What asyncio's loop has and this one does not have yet.

docs/compatibility.md lists the same names.
"""

from __future__ import annotations

from typing import Any

from .base import LoopBase


def missing(name: str) -> Any:
    async def method(self: MissingMixin, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(name)

    method.__name__ = name
    method.__qualname__ = f'MissingMixin.{name}'
    method.__doc__ = 'Not implemented yet.'
    return method


class MissingMixin(LoopBase):
    """Methods that raise NotImplementedError with their name."""

    create_datagram_endpoint = missing('create_datagram_endpoint')
    sendfile = missing('sendfile')
