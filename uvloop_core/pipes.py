"""connect_read_pipe and connect_write_pipe."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, TypeVar

from . import _core
from .base import LoopBase, logger

P = TypeVar('P', bound=asyncio.BaseProtocol)


class PipesMixin(LoopBase):
    """connect_read_pipe and connect_write_pipe."""

    async def connect_read_pipe(
        self, protocol_factory: Callable[[], P], pipe: Any
    ) -> tuple[Any, P]:
        """Read from a pipe, a socket or a terminal; it is closed after."""
        transport, protocol = await self._connect_pipe(
            _core.open_read_pipe, protocol_factory, pipe
        )
        if self.get_debug():
            logger.debug(
                'Read pipe %r connected: (%r, %r)',
                *(pipe.fileno(), transport, protocol),
            )
        return transport, protocol

    async def connect_write_pipe(
        self, protocol_factory: Callable[[], P], pipe: Any
    ) -> tuple[Any, P]:
        """Write to a pipe, a socket or a terminal; it is closed after."""
        transport, protocol = await self._connect_pipe(
            _core.open_write_pipe, protocol_factory, pipe
        )
        if self.get_debug():
            logger.debug(
                'Write pipe %r connected: (%r, %r)',
                *(pipe.fileno(), transport, protocol),
            )
        return transport, protocol

    async def _connect_pipe(
        self,
        open_pipe: Callable[..., Any],
        protocol_factory: Callable[[], P],
        pipe: Any,
    ) -> tuple[Any, P]:
        context = contextvars.copy_context()
        protocol = protocol_factory()
        waiter: asyncio.Future[None] = self.create_future()
        transport = open_pipe(self, pipe, protocol, waiter, context)
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        finally:
            # An exception in it holds the protocol.
            del waiter
        return transport, protocol
