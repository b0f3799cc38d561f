"""create_server, and the Server that it returns."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import itertools
import socket
import sys
from asyncio.trsock import TransportSocket
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import _core
from .base import logger
from .connect import bind_error
from .resolve import AddressInfo
from .sockets import SocketsMixin, check_not_ssl
from .tls import TlsMixin, TlsOptions, check_tls_arguments

ProtocolFactory = Callable[[], asyncio.BaseProtocol]

# What 3.12 mended: wait_closed() of a closed server waits for connections.
WAITS_FOR_CONNECTIONS = sys.version_info >= (3, 12)
# What 3.14 added: serve_forever() that is cancelled closes them, or it would
# wait for one that says nothing.
CLOSES_CLIENTS = sys.version_info >= (3, 14)
# What 3.13 added: an address that this machine does not have is passed over.
SKIPS_MISSING_ADDRESSES = sys.version_info >= (3, 13)


class Server(_core.Server, asyncio.AbstractServer):
    """Sockets that listen, and the connections that came in by them."""

    def __init__(
        self,
        loop: ServeMixin,
        sockets: Sequence[socket.socket],
        protocol_factory: ProtocolFactory,
        backlog: int,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._loop = loop
        self._sockets: list[socket.socket] | None = list(sockets)
        for sock in sockets:
            sock.setblocking(False)
        self._protocol_factory = protocol_factory
        self._backlog = backlog
        self._on_close = on_close
        self._context = contextvars.copy_context()
        self._listeners: list[_core.Listener] = []
        self._serving = False
        # None once it is closed and the last connection is gone.
        self._waiters: list[asyncio.Future[None]] | None = []
        self._forever: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f'<{type(self).__name__} sockets={self.sockets!r}>'

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def is_serving(self) -> bool:
        return self._serving

    @property
    def sockets(self) -> tuple[TransportSocket, ...]:
        return tuple(map(TransportSocket, self._sockets or ()))

    async def start_serving(self) -> None:
        """Accept connections; a no-op if it does already."""
        self._start_serving()
        await asyncio.sleep(0)

    def _start_serving(self) -> None:
        self._loop._check_thread()
        if self._serving or self._sockets is None:
            return
        self._serving = True
        for sock in self._sockets:
            sock.listen(self._backlog)
            listener = _core.Listener(
                *(self._loop, sock, self._protocol_factory, self),
                *(self._backlog, self._context),
            )
            listener.start()
            self._listeners.append(listener)

    async def serve_forever(self) -> None:
        """Accept connections until this is cancelled or close() is called."""
        if self._forever is not None:
            raise RuntimeError(
                f'server {self!r} is already being awaited on serve_forever()'
            )
        if self._sockets is None:
            raise RuntimeError(f'server {self!r} is closed')
        self._start_serving()
        self._forever = self._loop.create_future()
        try:
            await self._forever
        except asyncio.CancelledError:
            self.close()
            if CLOSES_CLIENTS:
                self.close_clients()
            await self.wait_closed()
            raise
        finally:
            self._forever = None

    def close(self) -> None:
        """Stop listening. Connections that were accepted stay."""
        # Before anything is changed: a listener would refuse half way.
        self._loop._check_thread()
        sockets, self._sockets = self._sockets, None
        if sockets is None:
            return
        self._serving = False
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for sock in sockets:
            sock.close()
        if self._on_close is not None:
            self._on_close()
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
            self._forever = None
        self._closing = True
        if self._active == 0:
            self._wakeup()

    async def wait_closed(self) -> None:
        """Wait until it is closed and its last connection is gone."""
        if self._waiters is None:
            return
        if self._sockets is None and not WAITS_FOR_CONNECTIONS:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _wakeup(self) -> None:
        """It is closed, and the last connection is gone."""
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def close_clients(self) -> None:
        """Close the connections that came in by this server."""
        self._loop._check_thread()
        for transport in self._clients():
            transport.close()

    def abort_clients(self) -> None:
        """Close them now, and drop what is still to be sent."""
        self._loop._check_thread()
        for transport in self._clients():
            transport.abort()


class ServeMixin(SocketsMixin, TlsMixin):
    """create_server."""

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: ProtocolFactory,
        host: str | Sequence[str] | None = None,
        port: Any = None,
        *,
        family: int = socket.AF_UNSPEC,
        flags: int = socket.AI_PASSIVE,
        sock: socket.socket | None = None,
        backlog: int = 100,
        ssl: Any = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Server:
        """Listen on host and port, on each of several hosts, or on sock."""
        self._check_thread()
        if isinstance(ssl, bool):
            raise TypeError('ssl argument must be an SSLContext or None')
        check_tls_arguments(
            ssl is not None, ssl_handshake_timeout, ssl_shutdown_timeout
        )
        if sock is not None:
            check_not_ssl(sock)
        if host is not None or port is not None:
            if sock is not None:
                raise ValueError(
                    'host/port and sock can not be specified at the same time'
                )
            choices = [
                (socket.SO_REUSEADDR, reuse_address in (None, True)),
                (socket.SO_REUSEPORT, bool(reuse_port)),
                (socket.SO_KEEPALIVE, bool(keep_alive)),
            ]
            addresses = await self._find_hosts(host, port, family, flags)
            sockets = self._bind_all(
                addresses, [option for option, chosen in choices if chosen]
            )
        elif sock is None:
            raise ValueError('Neither host/port nor sock were specified')
        elif sock.type != socket.SOCK_STREAM:
            raise ValueError(f'A Stream Socket was expected, got {sock!r}')
        else:
            sockets = [sock]
        if ssl is not None:
            options = TlsOptions(
                *(True, None, ssl_handshake_timeout, ssl_shutdown_timeout)
            )
            protocol_factory = self._tls_factory(
                protocol_factory, ssl, options
            )
        server = Server(self, sockets, protocol_factory, backlog)
        return await self._serve(server, start_serving)

    async def _serve(self, server: Server, start_serving: bool) -> Server:
        if start_serving:
            try:
                await server.start_serving()
            except BaseException:
                server.close()
                raise
        if self.get_debug():
            logger.info('%r is serving', server)
        return server

    def _stop_serving(self, sock: socket.socket) -> None:
        """The name that asyncio's tests know."""
        if not self.is_closed():
            self._remove_reader(sock.fileno())
        sock.close()

    async def _find_hosts(
        self, host: Any, port: Any, family: int, flags: int
    ) -> list[AddressInfo]:
        """The addresses of all hosts, each once, in order."""
        hosts: Iterable[Any] = [host]
        if host == '':
            hosts = [None]
        elif not isinstance(host, str) and isinstance(host, Iterable):
            hosts = host
        found = await asyncio.gather(
            *(self._find_host(each, port, family, flags) for each in hosts)
        )
        return list(dict.fromkeys(itertools.chain.from_iterable(found)))

    async def _find_host(
        self, host: Any, port: Any, family: int, flags: int
    ) -> list[AddressInfo]:
        found = await self._resolve((host, port), family=family, flags=flags)
        if not found:
            raise OSError(f'getaddrinfo({host!r}) returned empty list')
        return found

    def _bind_all(
        self, addresses: list[AddressInfo], options: list[int]
    ) -> list[socket.socket]:
        """A bound socket for each address; all or none."""
        sockets: list[socket.socket] = []
        try:
            for address in addresses:
                sock = self._make_socket(address)
                if sock is None:
                    continue
                sockets.append(sock)
                if not self._bind(sock, address, options):
                    sockets.pop().close()
            if not sockets and SKIPS_MISSING_ADDRESSES:
                tried = [address[4] for address in addresses]
                raise OSError(
                    f'could not bind on any address out of {tried!r}'
                )
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        return sockets

    def _make_socket(self, address: AddressInfo) -> socket.socket | None:
        """None if the system does not know such sockets."""
        family, kind, proto = address[:3]
        try:
            return socket.socket(family, kind, proto)
        except OSError:
            if self.get_debug():
                logger.warning(
                    'create_server() failed to create socket.socket(%r, %r,'
                    ' %r)',
                    *(family, kind, proto),
                    exc_info=True,
                )
            return None

    def _bind(
        self, sock: socket.socket, address: AddressInfo, options: list[int]
    ) -> bool:
        """False if this machine does not have the address (from 3.13)."""
        for option in options:
            set_option(sock, option)
        if sock.family == socket.AF_INET6:
            # Else '::' would take the port of IPv4 as well.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
        try:
            sock.bind(address[4])
        except OSError as error:
            told = bind_error(error, address[4])
            if error.errno == errno.EADDRNOTAVAIL and SKIPS_MISSING_ADDRESSES:
                if self.get_debug():
                    logger.warning(told.strerror)
                return False
            raise told from None
        return True


def set_option(sock: socket.socket, option: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, option, True)
    except OSError:
        if option == socket.SO_REUSEPORT:
            raise ValueError(
                'reuse_port not supported by socket module,'
                ' SO_REUSEPORT defined but not implemented.'
            ) from None
        raise
