"""create_datagram_endpoint."""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
import stat
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from . import _core
from .base import logger
from .serve import set_option
from .sockets import SocketsMixin

P = TypeVar('P', bound=asyncio.BaseProtocol)

# Family and protocol, and what to bind to and where to send, or None.
Plan = tuple[int, int, Any, Any]

# What 3.13 changed: any socket but a stream's.
TAKES_ANY_DATAGRAMS = sys.version_info >= (3, 13)
NOT_GIVEN: Any = object()


class DatagramMixin(SocketsMixin):
    """create_datagram_endpoint."""

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], P],
        local_addr: Any = None,
        remote_addr: Any = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_address: bool | None = NOT_GIVEN,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: socket.socket | None = None,
    ) -> tuple[Any, P]:
        """Send and receive datagrams on a new socket, or on sock."""
        check_reuse_address(reuse_address)
        own = remote = None
        if sock is not None:
            check_socket(
                sock,
                local_addr=local_addr,
                remote_addr=remote_addr,
                family=family,
                proto=proto,
                flags=flags,
                reuse_port=reuse_port,
                allow_broadcast=allow_broadcast,
            )
            sock.setblocking(False)
        else:
            plans = await self._plan_datagrams(
                local_addr, remote_addr, family, proto, flags
            )
            sock, remote = await self._open_first(
                plans, bool(reuse_port), bool(allow_broadcast)
            )
            own = sock
        try:
            transport, protocol = await self._start_datagrams(
                sock, protocol_factory, remote
            )
        except BaseException:
            # A no-op if a transport has taken it over.
            if own is not None:
                own.close()
            raise
        if self.get_debug():
            (logger.info if local_addr else logger.debug)(
                'Datagram endpoint local_addr=%r remote_addr=%r created:'
                ' (%r, %r)',
                *(local_addr, remote_addr, transport, protocol),
            )
        return transport, protocol

    async def _plan_datagrams(
        self, local: Any, remote: Any, family: int, proto: int, flags: int
    ) -> list[Plan]:
        """What may be tried, in order."""
        if not (local or remote):
            if family == 0:
                raise ValueError('unexpected address family')
            return [(family, proto, None, None)]
        if family == socket.AF_UNIX:
            for path in (local, remote):
                if path is not None and not isinstance(path, str):
                    raise TypeError('string is expected')
            if local and local[0] != '\0':
                remove_stale_socket(local)
            return [(family, proto, local, remote)]
        found: dict[tuple[int, int], list[Any]] = {}
        for index, address in enumerate((local, remote)):
            if address is None:
                continue
            if not (isinstance(address, tuple) and len(address) == 2):
                raise TypeError('2-tuple is expected')
            infos = await self._resolve(
                address,
                family=family,
                type=socket.SOCK_DGRAM,
                proto=proto,
                flags=flags,
            )
            if not infos:
                raise OSError('getaddrinfo() returned empty list')
            for kind, _, number, _, each in infos:
                found.setdefault((kind, number), [None, None])[index] = each
        plans = [
            (*key, *pair)
            for key, pair in found.items()
            if not (local and pair[0] is None)
            and not (remote and pair[1] is None)
        ]
        if not plans:
            raise ValueError('can not get address information')
        return plans

    async def _open_first(
        self, plans: list[Plan], reuse_port: bool, allow_broadcast: bool
    ) -> tuple[socket.socket, Any]:
        """The socket of the first plan that works, and where it sends."""
        errors: list[OSError] = []
        try:
            for plan in plans:
                try:
                    sock = await self._open_datagrams(
                        plan, reuse_port, allow_broadcast
                    )
                except OSError as error:
                    errors.append(error)
                else:
                    return sock, plan[3]
            raise errors[0]
        finally:
            # Their tracebacks hold this frame, and it holds them.
            errors.clear()

    async def _open_datagrams(
        self, plan: Plan, reuse_port: bool, allow_broadcast: bool
    ) -> socket.socket:
        family, proto, local, remote = plan
        sock = socket.socket(family, socket.SOCK_DGRAM, proto)
        try:
            if reuse_port:
                set_option(sock, socket.SO_REUSEPORT)
            if allow_broadcast:
                set_option(sock, socket.SO_BROADCAST)
            sock.setblocking(False)
            if local:
                sock.bind(local)
            # A connected socket would hear nothing but that address.
            if remote and not allow_broadcast:
                await self.sock_connect(sock, remote)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _start_datagrams(
        self,
        sock: socket.socket,
        protocol_factory: Callable[[], P],
        remote: Any,
    ) -> tuple[_core.UDPTransport, P]:
        context = contextvars.copy_context()
        protocol = protocol_factory()
        waiter: asyncio.Future[None] = self.create_future()
        transport = _core.open_udp(
            self, sock, protocol, remote or None, waiter, context
        )
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        finally:
            # An exception in it holds the protocol.
            del waiter
        return transport, protocol


def check_reuse_address(reuse_address: Any) -> None:
    """asyncio had it until 3.10, uvloop refuses it still."""
    if reuse_address is NOT_GIVEN:
        return
    if reuse_address:
        raise ValueError(
            'Passing `reuse_address=True` is no longer supported, as the'
            ' usage of SO_REUSEPORT in UDP poses a significant security'
            ' concern.'
        )
    warnings.warn(
        'The *reuse_address* parameter has been deprecated as of 3.5.10 and'
        ' is scheduled for removal in 3.11.',
        DeprecationWarning,
        stacklevel=3,
    )


def check_socket(sock: socket.socket, **modifiers: Any) -> None:
    if TAKES_ANY_DATAGRAMS:
        if sock.type == socket.SOCK_STREAM:
            raise ValueError(f'A datagram socket was expected, got {sock!r}')
    elif sock.type != socket.SOCK_DGRAM:
        raise ValueError(f'A UDP Socket was expected, got {sock!r}')
    problems = ', '.join(
        f'{name}={value}' for name, value in modifiers.items() if value
    )
    if problems:
        raise ValueError(
            'socket modifier keyword arguments can not be used when sock is'
            f' specified. ({problems})'
        )


def remove_stale_socket(path: str) -> None:
    """What an earlier bind() has left; nothing else."""
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.remove(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        # The folder may allow to make sockets only.
        logger.error(
            'Unable to check or remove stale UNIX socket %r: %r', path, error
        )
