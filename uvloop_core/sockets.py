"""add_reader and the like, and the sock_* calls on plain sockets.

Each sock_* call first tries the system call; only if that would block it
waits, and only until it need not.
"""

from __future__ import annotations

import _socket
import asyncio
import errno
import os
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import IO, TYPE_CHECKING, Any, TypeVar

from ._core import Waiter, sock_call, sock_recv, sock_send, sock_wait
from .resolve import ResolveMixin

if TYPE_CHECKING:
    from ._core import _Ts

T = TypeVar('T')

Buffer = Any  # collections.abc.Buffer, from 3.12 on

PLAIN = socket.socket  # as C knows it, whatever takes its place later
# Or had taken it before, as what sends connections elsewhere does.
IS_STANDARD = PLAIN.__module__ == 'socket' and PLAIN.__base__ is _socket.socket
UNDER_WAY = {errno.EINPROGRESS, errno.EALREADY, errno.EINTR}
WOULD_BLOCK = (BlockingIOError, InterruptedError)
SENDFILE_CHUNK = 1024 * 1024 * 1024
FALLBACK_CHUNK = 256 * 1024
# What 3.14 mended: the offset counts also if it is 0, and the file's position
# is behind what was sent also if that was nothing.
SEEKS_ALWAYS = sys.version_info >= (3, 14)


class SocketsMixin(ResolveMixin):
    """add_reader and the like, and the sock_* calls."""

    def add_reader(
        self, fd: Any, callback: Callable[[*_Ts], object], *args: *_Ts
    ) -> None:
        """Call callback(*args) whenever fd is readable."""
        number = self._check_fd(fd)
        self._check_closed()
        self._add_reader(number, callback, *args)

    def remove_reader(self, fd: Any) -> bool:
        """Stop that; True if there was a reader."""
        number = self._check_fd(fd)
        return not self.is_closed() and self._remove_reader(number)

    def add_writer(
        self, fd: Any, callback: Callable[[*_Ts], object], *args: *_Ts
    ) -> None:
        """Call callback(*args) whenever fd is writable."""
        number = self._check_fd(fd)
        self._check_closed()
        self._add_writer(number, callback, *args)

    def remove_writer(self, fd: Any) -> bool:
        """Stop that; True if there was a writer."""
        number = self._check_fd(fd)
        return not self.is_closed() and self._remove_writer(number)

    async def sock_recv(self, sock: socket.socket, n: int) -> bytes:
        """Receive up to n bytes."""
        data = sock_recv(self, sock, n)
        return await data if type(data) is Waiter else data

    async def sock_recv_into(self, sock: socket.socket, buf: Buffer) -> int:
        """Receive into buf; returns how many bytes."""
        return await self._when_readable(sock, lambda: sock.recv_into(buf))

    async def sock_recvfrom(
        self, sock: socket.socket, bufsize: int
    ) -> tuple[bytes, Any]:
        """Receive a datagram; returns it and its sender."""
        return await self._when_readable(sock, lambda: sock.recvfrom(bufsize))

    async def sock_recvfrom_into(
        self, sock: socket.socket, buf: Buffer, nbytes: int = 0
    ) -> tuple[int, Any]:
        """Receive a datagram into buf; returns its size and sender."""
        size = nbytes or len(buf)
        return await self._when_readable(
            sock, lambda: sock.recvfrom_into(buf, size)
        )

    async def sock_accept(
        self, sock: socket.socket
    ) -> tuple[socket.socket, Any]:
        """Accept a connection; returns its socket and the peer's address."""
        return await self._when_readable(sock, lambda: accept(sock))

    async def sock_sendto(
        self, sock: socket.socket, data: Buffer, address: Any
    ) -> int:
        """Send a datagram to address."""
        return await self._when_writable(
            sock, lambda: sock.sendto(data, address)
        )

    async def sock_sendall(self, sock: socket.socket, data: Buffer) -> None:
        """Send all of data."""
        if type(sock) is PLAIN:
            waiter = sock_send(self, sock, data)
            if waiter is not None:
                await waiter
            return
        self._check_socket(sock)
        try:
            sent = sock.send(data)
        except WOULD_BLOCK:
            sent = 0
        view = memoryview(data)
        if sent < view.nbytes:
            call = partial(send_rest, sock, [view.cast('B')[sent:]])
            await self._when_writable(sock, call)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect to address, which is resolved first if it has to be."""
        self._check_socket(sock)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            found = await self._resolve(
                address, family=sock.family, type=sock.type, proto=sock.proto
            )
            if not found:
                raise OSError('getaddrinfo() returned empty list')
            address = found[0][4]
        await self._connect_to(sock, address)

    async def _connect_to(self, sock: socket.socket, address: Any) -> None:
        """sock_connect, of a resolved address."""
        if type(sock) is PLAIN and not sock.gettimeout():
            error = sock.connect_ex(address)
            if error == 0:
                return
            # EAGAIN: a UNIX listener's backlog is full, nothing is under way.
            if error not in UNDER_WAY:
                raise OSError(error, os.strerror(error))
        else:  # a connect() of its own, or one that waits by itself
            try:
                sock.connect(address)
                return
            except WOULD_BLOCK as error:
                if error.errno not in UNDER_WAY:
                    raise
        await sock_wait(self, sock, partial(check_connected, sock, address))

    async def sock_sendfile(
        self,
        sock: socket.socket,
        file: IO[bytes],
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool | None = True,
    ) -> int:
        """Send a file from offset on; returns how many bytes were sent."""
        self._check_socket(sock)
        check_sendfile(sock, file, offset, count)
        try:
            return await self._sendfile_in_kernel(sock, file, offset, count)
        except asyncio.SendfileNotAvailableError:
            if not fallback:
                raise
        return await self._sendfile_by_reading(sock, file, offset, count)

    async def _sendfile_in_kernel(
        self,
        sock: socket.socket,
        file: IO[bytes],
        offset: int,
        count: int | None,
        when_writable: Callable[..., Awaitable[int]] | None = None,
    ) -> int:
        """By os.sendfile; when_writable is _when_writable if not given."""
        try:
            fd = file.fileno()
            size = os.fstat(fd).st_size
        except (AttributeError, OSError) as error:
            raise asyncio.SendfileNotAvailableError(
                'not a regular file'
            ) from error
        when_writable = when_writable or self._when_writable
        left = count or size
        sent = 0
        try:
            while left > 0:
                call = partial(
                    os.sendfile,
                    *(sock.fileno(), fd, offset + sent),
                    min(left, SENDFILE_CHUNK),
                )
                try:
                    done = await when_writable(sock, call)
                except OSError as error:
                    if sent == 0:
                        raise asyncio.SendfileNotAvailableError(
                            'os.sendfile call failed'
                        ) from error
                    raise
                if done == 0:
                    break
                sent += done
                left = count - sent if count else size
        finally:
            if sent > 0 or SEEKS_ALWAYS:
                # A pipe has no position.
                with suppress(OSError):
                    os.lseek(fd, offset + sent, os.SEEK_SET)
        return sent

    async def _sendfile_by_reading(
        self,
        sock: socket.socket,
        file: Any,
        offset: int,
        count: int | None,
    ) -> int:
        if offset or (SEEKS_ALWAYS and hasattr(file, 'seek')):
            file.seek(offset)
        buffer = memoryview(
            bytearray(min(count or FALLBACK_CHUNK, FALLBACK_CHUNK))
        )
        sent = 0
        try:
            while count is None or sent < count:
                part = buffer if count is None else buffer[: count - sent]
                read = await self.run_in_executor(None, file.readinto, part)
                if not read:
                    break
                await self.sock_sendall(sock, part[:read])
                sent += read
        finally:
            if sent > 0 and hasattr(file, 'seek'):
                file.seek(offset + sent)
        return sent

    def _check_socket(self, sock: socket.socket) -> None:
        check_not_ssl(sock)
        if self.get_debug() and sock.gettimeout() != 0:
            raise ValueError('the socket must be non-blocking')

    async def _when_readable(
        self, sock: socket.socket, call: Callable[[], T]
    ) -> T:
        """Call until it does not block; its result, or what it raises."""
        result = sock_call(self, sock, call, False)
        return await result if type(result) is Waiter else result

    async def _when_writable(
        self, sock: socket.socket, call: Callable[[], T]
    ) -> T:
        result = sock_call(self, sock, call, True)
        return await result if type(result) is Waiter else result


def check_not_ssl(sock: object) -> None:
    if isinstance(sock, ssl.SSLSocket):
        raise TypeError('Socket cannot be of type SSLSocket')


def accept(sock: socket.socket) -> tuple[socket.socket, Any]:
    connection, address = sock.accept()
    connection.setblocking(False)
    return connection, address


def send_rest(sock: socket.socket, rest: list[memoryview]) -> None:
    """Send from rest[0], which is cut down to what is still to be sent."""
    rest[0] = rest[0][sock.send(rest[0]) :]
    if rest[0]:
        raise BlockingIOError


def check_connected(sock: socket.socket, address: Any) -> None:
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error != 0:
        raise OSError(error, f'Connect call failed {address}')


def check_sendfile(
    sock: socket.socket, file: Any, offset: object, count: object
) -> None:
    if 'b' not in getattr(file, 'mode', 'b'):
        raise ValueError('file should be opened in binary mode')
    if sock.type != socket.SOCK_STREAM:
        raise ValueError('only SOCK_STREAM type sockets are supported')
    if count is not None:
        check_size('count', 'positive', count, 1)
    check_size('offset', 'non-negative', offset, 0)


def check_size(name: str, kind: str, value: object, least: int) -> None:
    message = f'{name} must be a {kind} integer (got {value!r})'
    if not isinstance(value, int):
        raise TypeError(message)
    if value < least:
        raise ValueError(message)
