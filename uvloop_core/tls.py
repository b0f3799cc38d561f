"""TLS on top of a transport, by the standard library's SSLProtocol."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from typing import Any, NamedTuple

from . import _core
from .base import LoopBase


class TlsOptions(NamedTuple):
    """What a caller says about TLS, apart from the SSLContext."""

    server_side: bool = False
    server_hostname: str | None = None
    handshake_timeout: float | None = None
    shutdown_timeout: float | None = None


class TlsMixin(LoopBase):
    """TLS on top of a transport."""

    def _make_tls(
        self,
        protocol: asyncio.BaseProtocol,
        context: ssl.SSLContext | None,
        waiter: asyncio.Future[Any] | None,
        options: TlsOptions,
        *,
        call_connection_made: bool = True,
    ) -> Any:
        """The protocol between a transport and `protocol`."""
        # Typeshed does not know its arguments well.
        make: Any = SSLProtocol
        return make(
            *(self, protocol, context, waiter),
            *(options.server_side, options.server_hostname),
            call_connection_made=call_connection_made,
            ssl_handshake_timeout=options.handshake_timeout,
            ssl_shutdown_timeout=options.shutdown_timeout,
        )

    def _open_tls(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        context: ssl.SSLContext | None,
        waiter: asyncio.Future[None],
        options: TlsOptions,
        run_in: contextvars.Context,
    ) -> Any:
        """Start TLS on a connected socket; returns the upper transport."""
        tls = self._make_tls(protocol, context, waiter, options)
        # Once the connection is lost, it would no longer be there.
        transport = tls._app_transport
        open_socket(self, sock, tls, None, None, run_in)
        return transport

    def _tls_factory(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        context: ssl.SSLContext,
        options: TlsOptions,
    ) -> Callable[[], Any]:
        """A server's protocol factory that puts TLS in between."""

        def make() -> Any:
            return self._make_tls(protocol_factory(), context, None, options)

        return make

    async def start_tls(
        self,
        transport: Any,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Any:
        """Switch a transport to TLS; returns the one to use from now on."""
        self._check_thread()
        if not isinstance(sslcontext, ssl.SSLContext):
            raise TypeError(
                'sslcontext is expected to be an instance of ssl.SSLContext,'
                f' got {sslcontext!r}'
            )
        if not getattr(transport, '_start_tls_compatible', False):
            raise TypeError(
                f'transport {transport!r} is not supported by start_tls()'
            )
        waiter: asyncio.Future[None] = self.create_future()
        options = TlsOptions(
            *(server_side, server_hostname),
            *(ssl_handshake_timeout, ssl_shutdown_timeout),
        )
        tls = self._make_tls(
            protocol, sslcontext, waiter, options, call_connection_made=False
        )
        # Nothing may arrive before the protocol knows its transport.
        transport.pause_reading()
        transport.set_protocol(tls)
        made = self.call_soon(tls.connection_made, transport)
        resumed = self.call_soon(transport.resume_reading)
        try:
            await waiter
        except BaseException:
            transport.close()
            made.cancel()
            resumed.cancel()
            raise
        return tls._app_transport


def open_socket(loop: LoopBase, sock: socket.socket, *args: Any) -> Any:
    """The transport of a connected socket, see _core.open_tcp."""
    open_it: Any = _core.open_tcp
    if sock.family == socket.AF_UNIX:
        open_it = _core.open_unix
    return open_it(loop, sock, *args)


def check_tls_arguments(
    tls: object, handshake_timeout: object, shutdown_timeout: object
) -> None:
    if handshake_timeout is not None and not tls:
        raise ValueError('ssl_handshake_timeout is only meaningful with ssl')
    if shutdown_timeout is not None and not tls:
        raise ValueError('ssl_shutdown_timeout is only meaningful with ssl')
