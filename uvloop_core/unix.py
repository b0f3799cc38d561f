"""create_unix_connection and create_unix_server."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Callable
from typing import Any

from .base import logger
from .connect import ConnectMixin, P
from .serve import ProtocolFactory, ServeMixin, Server
from .sockets import check_not_ssl
from .tls import TlsOptions, check_tls_arguments

# What 3.13 added: a server that is closed removes the file of its socket.
CLEANS_UP = sys.version_info >= (3, 13)


class UnixMixin(ConnectMixin, ServeMixin):
    """create_unix_connection and create_unix_server."""

    async def create_unix_connection(
        self,
        protocol_factory: Callable[[], P],
        path: Any = None,
        *,
        ssl: Any = None,
        sock: socket.socket | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[Any, P]:
        """Connect to a path or an abstract name, or take a socket over."""
        if ssl and server_hostname is None:
            raise ValueError('you have to pass server_hostname when using ssl')
        if server_hostname is not None and not ssl:
            raise ValueError('server_hostname is only meaningful with ssl')
        check_tls_arguments(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        own = None
        if path is not None:
            check_no_socket(sock)
            sock = own = await self._connect_path(os.fspath(path))
        elif sock is None:
            raise ValueError('no path and sock were specified')
        else:
            check_unix_socket(sock)
        options = TlsOptions(
            *(False, server_hostname),
            *(ssl_handshake_timeout, ssl_shutdown_timeout),
        )
        try:
            return await self._connect_transport(
                sock, protocol_factory, ssl, options
            )
        except BaseException:
            # A no-op if a transport has taken it over.
            if own is not None:
                own.close()
            raise

    async def _connect_path(self, path: str | bytes) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await self.sock_connect(sock, path)
        except BaseException:
            sock.close()
            raise
        return sock

    async def create_unix_server(  # type: ignore[override]
        self,
        protocol_factory: ProtocolFactory,
        path: Any = None,
        *,
        sock: socket.socket | None = None,
        backlog: int = 100,
        ssl: Any = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        cleanup_socket: bool = CLEANS_UP,
    ) -> Server:
        """Listen at a path or an abstract name, or on sock."""
        if isinstance(ssl, bool):
            raise TypeError('ssl argument must be an SSLContext or None')
        check_tls_arguments(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if path is not None:
            check_no_socket(sock)
            sock = bind_path(os.fspath(path))
        elif sock is None:
            raise ValueError('path was not specified, and no sock specified')
        else:
            check_unix_socket(sock)
        if ssl is not None:
            options = TlsOptions(
                *(True, None, ssl_handshake_timeout, ssl_shutdown_timeout)
            )
            protocol_factory = self._tls_factory(
                protocol_factory, ssl, options
            )
        remove = remover(sock) if cleanup_socket else None
        server = Server(self, [sock], protocol_factory, backlog, remove)
        return await self._serve(server, start_serving)


def check_no_socket(sock: socket.socket | None) -> None:
    if sock is not None:
        raise ValueError('path and sock can not be specified at the same time')


def check_unix_socket(sock: socket.socket) -> None:
    check_not_ssl(sock)
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise ValueError(
            f'A UNIX Domain Stream Socket was expected, got {sock!r}'
        )


def is_file(path: str | bytes) -> bool:
    """False for an abstract name, and for none, for which one is made up."""
    return path[:1] not in ('', b'', '\0', b'\0')


def bind_path(path: str | bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if is_file(path):
            remove_stale(path)
        sock.bind(path)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise OSError(
                error.errno, f'Address {path!r} is already in use'
            ) from None
        raise
    except BaseException:
        sock.close()
        raise
    return sock


def remove_stale(path: str | bytes) -> None:
    """Remove what another server has left there, if it is a socket."""
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.remove(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        # To make a socket there may be allowed nevertheless.
        logger.error(
            'Unable to check or remove stale UNIX socket %r: %r', path, error
        )


def remover(sock: socket.socket) -> Callable[[], None] | None:
    """What removes the file of a bound socket, if it has one."""
    path = sock.getsockname()
    if not is_file(path):
        return None
    try:
        inode = os.stat(path).st_ino
    except FileNotFoundError:
        return None
    return lambda: remove_own(path, inode)


def remove_own(path: str | bytes, inode: int) -> None:
    """Remove the file, unless it is another server's by now."""
    try:
        if os.stat(path).st_ino == inode:
            os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.error(
            'Unable to clean up listening UNIX socket %r: %r', path, error
        )
