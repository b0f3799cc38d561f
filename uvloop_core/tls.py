"""TLS on top of a transport: the set-up. The rest is in src/tls*.c."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import ssl
from asyncio.constants import SSL_HANDSHAKE_TIMEOUT, SSL_SHUTDOWN_TIMEOUT
from collections.abc import Callable
from functools import partial
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
        connected: bool = False,
        paused: bool = False,
        received: bytes | bytearray = b'',
    ) -> _core.SSLProtocol:
        """The protocol between a transport and `protocol`."""
        handshake_timeout = positive(
            'ssl_handshake_timeout',
            options.handshake_timeout,
            SSL_HANDSHAKE_TIMEOUT,
        )
        shutdown_timeout = positive(
            'ssl_shutdown_timeout',
            options.shutdown_timeout,
            SSL_SHUTDOWN_TIMEOUT,
        )
        if not context:
            context = default_context(options)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        if received:
            incoming.write(received)
        sslobject = context.wrap_bio(
            incoming,
            outgoing,
            server_side=options.server_side,
            server_hostname=(
                None
                if options.server_side
                else options.server_hostname or None
            ),
        )
        return _core.make_tls(
            *(self, protocol, sslobject, incoming, outgoing, context),
            *(handshake_timeout, shutdown_timeout, waiter),
            *(connected, paused),
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
            protocol = protocol_factory()
            if not self.get_debug():
                return self._make_tls(protocol, context, None, options)
            waiter: asyncio.Future[None] = self.create_future()
            tls = self._make_tls(protocol, context, waiter, options)
            waiter.add_done_callback(
                partial(self._report_handshake, protocol, tls._app_transport)
            )
            return tls

        return make

    def _report_handshake(
        self,
        protocol: asyncio.BaseProtocol,
        transport: Any,
        waiter: asyncio.Future[None],
    ) -> None:
        """As asyncio, in debug mode only: else anybody could fill the log."""
        if waiter.cancelled() or waiter.exception() is None:
            return
        self.call_exception_handler(
            {
                'message': 'Error on transport creation for incoming'
                ' connection',
                'exception': waiter.exception(),
                'protocol': protocol,
                'transport': transport,
            }
        )

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
        # Nothing may arrive before the protocol knows its transport.
        transport.pause_reading()
        tls = self._make_tls(
            *(protocol, sslcontext, waiter, options),
            connected=True,
            paused=is_paused(transport, protocol),
            received=take_received(protocol) if server_side else b'',
        )
        upper = tls._app_transport
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
        finally:
            # An exception in it holds this frame.
            del waiter
        return upper


def positive(name: str, value: float | None, default: float) -> float:
    if value is None:
        return default
    if value <= 0:
        raise ValueError(f'{name} should be a positive number, got {value}')
    return value


def default_context(options: TlsOptions) -> ssl.SSLContext:
    """What a client has that says ssl=True."""
    if options.server_side:
        raise ValueError('Server side SSL needs a valid SSLContext')
    context = ssl.create_default_context()
    if not options.server_hostname:
        context.check_hostname = False
    return context


def is_paused(transport: Any, protocol: asyncio.BaseProtocol) -> bool:
    """Whether the protocol waits for the transport's resume_writing()."""
    return (
        getattr(transport, '_protocol_paused', False)
        and transport.get_protocol() is protocol
    )


def take_received(protocol: asyncio.BaseProtocol) -> bytes:
    """What came before start_tls() and a StreamReader has not given out.

    A client may begin its handshake without waiting for the server to be
    ready, as after a PROXY header (CPython's gh-142352).
    """
    reader = None
    if isinstance(protocol, asyncio.StreamReaderProtocol):
        reader = getattr(protocol, '_stream_reader', None)
    if reader is None:
        return b''
    received = bytes(reader._buffer)
    reader._buffer.clear()
    return received


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
