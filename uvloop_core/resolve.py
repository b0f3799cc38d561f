"""Names and addresses: getaddrinfo, getnameinfo, and what needs neither."""

from __future__ import annotations

import socket
from typing import Any

from . import _core
from .base import LoopBase, logger
from .executor import ExecutorMixin

AddressInfo = tuple[int, int, int, str, Any]

PROTOCOLS: dict[int, int] = {
    socket.SOCK_STREAM: socket.IPPROTO_TCP,
    socket.SOCK_DGRAM: socket.IPPROTO_UDP,
}


class ResolveMixin(ExecutorMixin, LoopBase):
    """Names and addresses."""

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """What socket.getaddrinfo() returns."""
        debug = self.get_debug()
        if not (flags or debug):
            found = _core.resolve_literal(host, port, family, type, proto)
            if found is not None:
                return found
        query = self._query_logged if debug else socket.getaddrinfo
        if is_literal(host) and isinstance(port, int | None):
            # Nothing to wait for, so no thread. The result is the same one.
            flags |= socket.AI_NUMERICHOST
            return query(host, port, family, type, proto, flags)
        return await self.run_in_executor(
            None, query, host, port, family, type, proto, flags
        )

    def _query_logged(
        self,
        host: Any,
        port: Any,
        family: int,
        type: int,
        proto: int,
        flags: int,
    ) -> list[Any]:
        question = ', '.join(
            [f'{host}:{port!r}']
            + [
                f'{name}={value!r}'
                for name, value in (
                    ('family', family),
                    ('type', type),
                    ('proto', proto),
                    ('flags', flags),
                )
                if value
            ]
        )
        logger.debug('Get address info %s', question)
        began = self.time()
        found = socket.getaddrinfo(host, port, family, type, proto, flags)
        seconds = self.time() - began
        slow = seconds >= self.slow_callback_duration
        (logger.info if slow else logger.debug)(
            f'Getting address info {question} took {seconds * 1e3:.3f}ms:'
            f' {found!r}'
        )
        return found

    async def getnameinfo(
        self,
        sockaddr: Any,
        flags: int = 0,
    ) -> tuple[str, str]:
        """What socket.getnameinfo() returns."""
        return await self.run_in_executor(
            None, socket.getnameinfo, sockaddr, flags
        )

    async def _resolve(
        self,
        address: Any,
        *,
        family: int = 0,
        type: int = socket.SOCK_STREAM,
        proto: int = 0,
        flags: int = 0,
    ) -> list[AddressInfo]:
        """The addresses to bind or connect to; an address is its own one."""
        host, port = address[:2]
        if not flags and len(address) == 2:
            found = _core.resolve_literal(host, port, family, type, proto)
            if found is not None:
                return found
        known = address_info(host, port, family, type, proto, *address[2:])
        if known is not None:
            return [known]
        return await self.getaddrinfo(
            host, port, family=family, type=type, proto=proto, flags=flags
        )


def is_literal(host: object) -> bool:
    """Whether host is an address, one with a zone included."""
    if not isinstance(host, str):
        return False
    try:
        return is_address(socket.AF_INET, host) or is_address(
            socket.AF_INET6, host.partition('%')[0]
        )
    except ValueError:
        return False


def is_address(family: int, host: str) -> bool:
    """ValueError of a NUL, where getaddrinfo would take the text to end."""
    try:
        socket.inet_pton(family, host)
    except OSError:
        return False
    return True


def address_info(
    host: Any,
    port: Any,
    family: int,
    type: int,
    proto: int,
    flowinfo: int = 0,
    scope: int = 0,
) -> AddressInfo | None:
    """What getaddrinfo would say of an address, without asking it.

    None if host is not an address. One with a zone is left to getaddrinfo,
    which knows the number of the interface.
    """
    number = port_number(port)
    if host is None or number is None or type not in PROTOCOLS:
        return None
    if proto not in (0, *PROTOCOLS.values()):
        return None
    if isinstance(host, bytes):
        host = host.decode('idna')
    if family in (0, socket.AF_INET) and is_address(socket.AF_INET, host):
        return socket.AF_INET, type, PROTOCOLS[type], '', (host, number)
    if family in (0, socket.AF_INET6) and is_address(socket.AF_INET6, host):
        return (
            *(socket.AF_INET6, type, PROTOCOLS[type], ''),
            (host, number, flowinfo, scope),
        )
    return None


def port_number(port: Any) -> int | None:
    """None for the name of a service."""
    if port in (None, '', b''):
        return 0
    try:
        return int(port)
    except (TypeError, ValueError):
        return None
