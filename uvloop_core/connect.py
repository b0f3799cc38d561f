"""create_connection and connect_accepted_socket."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import socket
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from ._core import Dial, dial, resolve_literal
from .base import logger
from .resolve import AddressInfo
from .sockets import IS_STANDARD, PLAIN, SocketsMixin, check_not_ssl
from .tls import TlsMixin, TlsOptions, check_tls_arguments, open_socket

P = TypeVar('P', bound=asyncio.BaseProtocol)

# How 3.13 changed the text of a failed bind: with the [errno N] before.
BIND_ERROR_HAS_ERRNO = sys.version_info >= (3, 13)
# In the type of a new socket: it does not block, without a call of its own.
NONBLOCK = getattr(socket, 'SOCK_NONBLOCK', 0)
NO_TLS = TlsOptions()


class ConnectMixin(SocketsMixin, TlsMixin):
    """create_connection and connect_accepted_socket."""

    async def create_connection(
        self,
        protocol_factory: Callable[[], P],
        host: Any = None,
        port: Any = None,
        *,
        ssl: Any = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: socket.socket | None = None,
        local_addr: Any = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[Any, P]:
        """Connect to host and port, or take a connected socket over."""
        if server_hostname is not None and not ssl:
            raise ValueError('server_hostname is only meaningful with ssl')
        if server_hostname is None and ssl:
            if not host:
                raise ValueError(
                    'You must set server_hostname when using ssl without a'
                    ' host'
                )
            server_hostname = host
        check_tls_arguments(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if sock is not None:
            check_not_ssl(sock)
        own: Any = None
        if host is not None or port is not None:
            if sock is not None:
                raise ValueError(
                    'host/port and sock can not be specified at the same time'
                )
            if (
                local_addr is happy_eyeballs_delay is None
                and not (flags or interleave or all_errors)
                and IS_STANDARD
                and socket.socket is PLAIN
            ):
                own = dial(self, host, port, family, proto)
            if own is None:
                addresses, local = await self._find_addresses(
                    (host, port), local_addr, family, proto, flags
                )
                if interleave is None and happy_eyeballs_delay is not None:
                    interleave = 1
                if interleave:
                    addresses = interleave_families(addresses, interleave)
                own = await self._connect_any(
                    addresses, local, happy_eyeballs_delay, all_errors
                )
            sock = own
        elif sock is None:
            raise ValueError(
                'host and port was not specified and no sock specified'
            )
        elif sock.type != socket.SOCK_STREAM:
            raise ValueError(f'A Stream Socket was expected, got {sock!r}')
        options = NO_TLS
        if ssl:
            options = TlsOptions(
                *(False, server_hostname),
                *(ssl_handshake_timeout, ssl_shutdown_timeout),
            )
        try:
            if type(own) is Dial:
                await own
            transport, protocol = await self._connect_transport(
                sock, protocol_factory, ssl, options
            )
        except BaseException:
            # A no-op if a transport has taken it over.
            if own is not None:
                own.close()
            raise
        if self.get_debug():
            logger.debug(
                '%r connected to %s:%r: (%r, %r)',
                *(transport.get_extra_info('socket'), host, port),
                *(transport, protocol),
            )
        return transport, protocol

    async def connect_accepted_socket(
        self,
        protocol_factory: Callable[[], P],
        sock: socket.socket,
        *,
        ssl: Any = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[Any, P]:
        """Take over a connection that was accepted outside of the loop."""
        if sock.type != socket.SOCK_STREAM:
            raise ValueError(f'A Stream Socket was expected, got {sock!r}')
        check_tls_arguments(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        check_not_ssl(sock)
        options = TlsOptions(
            True, '', ssl_handshake_timeout, ssl_shutdown_timeout
        )
        transport, protocol = await self._connect_transport(
            sock, protocol_factory, ssl, options
        )
        if self.get_debug():
            logger.debug(
                '%r handled: (%r, %r)',
                *(transport.get_extra_info('socket'), transport, protocol),
            )
        return transport, protocol

    async def _find_addresses(
        self,
        remote: tuple[Any, Any],
        local: Any,
        family: int,
        proto: int,
        flags: int,
    ) -> tuple[list[AddressInfo], list[AddressInfo] | None]:
        """Where to connect to, and what to bind to before."""
        if local is None and not flags:
            host, port = remote
            literal = resolve_literal(
                host, port, family, socket.SOCK_STREAM, proto
            )
            if literal is not None:
                return literal, None
        found = []
        for address in (remote,) if local is None else (remote, local):
            addresses = await self._resolve(
                address, family=family, proto=proto, flags=flags
            )
            if not addresses:
                raise OSError('getaddrinfo() returned empty list')
            found.append(addresses)
        return found[0], found[1] if local is not None else None

    async def _connect_any(
        self,
        addresses: list[AddressInfo],
        local: list[AddressInfo] | None,
        delay: float | None,
        all_errors: bool,
    ) -> socket.socket:
        """A socket that is connected to the first address that answers."""
        errors: list[list[OSError]] = []
        try:
            if delay is not None:
                attempts = (
                    partial(self._connect_one, errors, address, local)
                    for address in addresses
                )
                sock = await first_in_race(attempts, delay)
                if sock is not None:
                    return sock
            else:
                for address in addresses:
                    with suppress(OSError):
                        return await self._connect_one(errors, address, local)
            raise combined(
                [error for each in errors for error in each], all_errors
            )
        finally:
            # The errors' tracebacks hold this frame, and it holds them.
            errors.clear()

    async def _connect_one(
        self,
        errors: list[list[OSError]],
        address: AddressInfo,
        local: list[AddressInfo] | None,
    ) -> socket.socket:
        """Make, bind and connect a socket; OSErrors are added to errors."""
        own: list[OSError] = []
        errors.append(own)
        family, kind, proto, _, sockaddr = address
        sock = None
        try:
            sock = socket.socket(family, kind | NONBLOCK, proto)
            if not NONBLOCK:
                sock.setblocking(False)
            if local is not None:
                bind_any(sock, local, own)
            await self._connect_to(sock, sockaddr)
            return sock
        except BaseException as error:
            if sock is not None:
                sock.close()
            if isinstance(error, OSError):
                own.append(error)
            raise
        finally:
            del own

    async def _connect_transport(
        self,
        sock: Any,
        protocol_factory: Callable[[], P],
        tls: Any,
        options: TlsOptions,
    ) -> tuple[Any, P]:
        if type(sock) is not Dial:
            if sock.gettimeout() != 0:
                sock.setblocking(False)
            self._check_fd(sock)
        context = contextvars.copy_context()
        protocol = protocol_factory()
        waiter: asyncio.Future[None] = self.create_future()
        transport: Any
        if tls:
            transport = self._open_tls(
                *(sock, protocol, None if tls is True else tls),
                *(waiter, options, context),
            )
        else:
            transport = open_socket(
                self, sock, protocol, waiter, None, context
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


def bind_any(
    sock: socket.socket, local: list[AddressInfo], errors: list[OSError]
) -> None:
    """Bind to the first of the addresses that works."""
    failed = 0
    for family, _, _, _, address in local:
        if family != sock.family:
            continue
        try:
            sock.bind(address)
            return
        except OSError as error:
            failed += 1
            errors.append(bind_error(error, address))
    if failed:
        # The caller adds it again.
        raise errors.pop()
    raise OSError(
        f'no matching local address with family={sock.family!r} found'
    )


def bind_error(error: OSError, address: Any) -> OSError:
    reason = str(error) if BIND_ERROR_HAS_ERRNO else str(error.strerror)
    return OSError(
        error.errno,
        f'error while attempting to bind on address {address!r}:'
        f' {reason.lower()}',
    )


def interleave_families(
    addresses: list[AddressInfo], first_count: int
) -> list[AddressInfo]:
    """RFC 8305: first_count of the first family, then in turns."""
    families: dict[int, list[AddressInfo]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    groups = list(families.values())
    head = groups[0][: first_count - 1]
    groups[0] = groups[0][first_count - 1 :]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*groups))
    return head + [address for address in turns if address is not None]


Attempt = asyncio.Task[socket.socket]


async def first_in_race(
    attempts: Iterable[Callable[[], Coroutine[Any, Any, socket.socket]]],
    delay: float,
) -> socket.socket | None:
    """RFC 8305: a new attempt after `delay` seconds, or once one fails."""
    tasks: set[Attempt] = set()
    winners: list[socket.socket] = []
    try:
        await race(iter(attempts), delay, tasks, winners)
        await give_up(tasks)
    except BaseException:
        for sock in winners:
            sock.close()
        await give_up(tasks)
        raise
    for sock in winners[1:]:
        sock.close()
    return winners[0] if winners else None


async def race(
    attempts: Iterator[Callable[[], Coroutine[Any, Any, socket.socket]]],
    delay: float,
    tasks: set[Attempt],
    winners: list[socket.socket],
) -> None:
    """Start attempts until one or more have won or all have failed."""
    loop = asyncio.get_running_loop()
    while not winners:
        start = next(attempts, None)
        if start is not None:
            tasks.add(loop.create_task(start()))
        elif not tasks:
            return
        done, _ = await asyncio.wait(
            tasks,
            timeout=None if start is None else delay,
            return_when=asyncio.FIRST_COMPLETED,
        )
        tasks -= done
        winners += [sock for sock in map(connected, done) if sock is not None]


async def give_up(tasks: set[Attempt]) -> None:
    """Cancel attempts; what has connected nevertheless is closed."""
    for task in tasks:
        task.cancel()
        task.add_done_callback(close_connected)
    if tasks:
        await asyncio.wait(tasks)


def close_connected(task: Attempt) -> None:
    sock = connected(task)
    if sock is not None:
        sock.close()


def connected(task: Attempt) -> socket.socket | None:
    """The socket of an attempt that is done; None if it failed."""
    if task.cancelled():
        return None
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, OSError):
        return None
    raise error


def combined(errors: list[OSError], all_errors: bool) -> Exception:
    """One exception for all that went wrong."""
    if all_errors:
        return ExceptionGroup('create_connection failed', errors)
    texts = [str(error) for error in errors]
    if len(set(texts)) == 1:
        return errors[0]
    return OSError(f'Multiple exceptions: {", ".join(texts)}')
