"""loop.sendfile: a file over a transport."""

from __future__ import annotations

import asyncio
from asyncio.constants import _SendfileMode
from collections.abc import Callable
from typing import Any

from ._core import Handle
from .sockets import (
    SEEKS_ALWAYS,
    WOULD_BLOCK,
    SocketsMixin,
    check_sendfile,
)

# What is read and written at once where the kernel cannot do it.
CHUNK = 64 * 1024
LOST = 'Connection is closed by peer'


class HeldWaiter(asyncio.Future[int]):
    """The result of a call that is made again each time an fd is writable.

    It gives its writer up at once when it is settled or cancelled, not a turn
    later: by then the fd, a transport's, may be closed and be somebody else's.
    """

    __slots__ = ('call', 'fd', 'handle', 'loop')

    call: Callable[[], int]
    fd: int
    handle: Handle | None
    loop: SendfileMixin

    def watch(self) -> None:
        self.handle = self.loop._add_writer(self.fd, self.step)

    def unwatch(self) -> None:
        handle, self.handle = self.handle, None
        # If it is cancelled, another writer has taken its place.
        if handle is not None and not handle.cancelled():
            self.loop._remove_writer(self.fd)

    def cancel(self, msg: Any | None = None) -> bool:
        self.unwatch()
        return super().cancel(msg=msg)

    def set_exception(self, exception: type | BaseException, /) -> None:
        self.unwatch()
        super().set_exception(exception)

    def step(self) -> None:
        if self.done():
            return
        try:
            result = self.call()
        except WOULD_BLOCK:
            return
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.set_exception(error)
        else:
            self.unwatch()
            self.set_result(result)
        finally:
            # The error's traceback holds this frame, and the future it.
            del self


class Sender:
    """Has a transport to itself: nobody else writes, nothing is read."""

    def __init__(self, loop: SendfileMixin, transport: Any) -> None:
        self.loop = loop
        self.transport = transport
        self.holder: asyncio.Future[Any] | None = None

    def hold(self, holder: asyncio.Future[Any] | None) -> None:
        self.transport._hold(self.holder, holder)
        self.holder = holder

    async def drain(self) -> None:
        """Begin; what was written before is sent before."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        self.hold(waiter)
        if self.transport.get_write_buffer_size():
            await waiter

    def release(self) -> None:
        if self.holder is not None:
            self.hold(None)

    async def when_writable(self, sock: Any, call: Callable[[], int]) -> int:
        """SocketsMixin._when_writable for the socket of a transport."""
        if self.transport.is_closing():
            raise ConnectionError(LOST)
        try:
            return call()
        except WOULD_BLOCK:
            pass
        waiter = HeldWaiter(loop=self.loop)
        waiter.call = call
        waiter.fd = sock.fileno()
        waiter.loop = self.loop
        self.hold(waiter)
        waiter.watch()
        try:
            return await waiter
        finally:
            waiter.unwatch()
            # An exception's traceback holds this frame, and it the exception.
            del waiter


class SendfileMixin(SocketsMixin):
    """loop.sendfile."""

    async def sendfile(
        self,
        transport: Any,
        file: Any,
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> int:
        """Send a file from offset on; returns how many bytes were sent."""
        if transport.is_closing():
            raise RuntimeError('Transport is closing')
        mode = getattr(
            transport, '_sendfile_compatible', _SendfileMode.UNSUPPORTED
        )
        if mode is _SendfileMode.UNSUPPORTED:
            raise RuntimeError(
                f'sendfile is not supported for transport {transport!r}'
            )
        if mode is _SendfileMode.TRY_NATIVE:
            try:
                return await self._sendfile_native(
                    transport, file, offset, count
                )
            except asyncio.SendfileNotAvailableError:
                if not fallback:
                    raise
        if not fallback:
            raise RuntimeError(
                'fallback is disabled and native sendfile is not supported'
                f' for transport {transport!r}'
            )
        return await self._sendfile_by_writing(transport, file, offset, count)

    async def _sendfile_native(
        self, transport: Any, file: Any, offset: int, count: int | None
    ) -> int:
        """By os.sendfile, of a transport of ours. asyncio's tests know it."""
        sock = transport.get_extra_info('socket')
        check_sendfile(sock, file, offset, count)
        sender = Sender(self, transport)
        try:
            await sender.drain()
            return await self._sendfile_in_kernel(
                sock, file, offset, count, sender.when_writable
            )
        except asyncio.SendfileNotAvailableError as error:
            # Not the file's fault.
            if transport.is_closing():
                raise ConnectionError(LOST) from error
            raise
        finally:
            sender.release()

    async def _sendfile_by_writing(
        self, transport: Any, file: Any, offset: int, count: int | None
    ) -> int:
        if offset or (SEEKS_ALWAYS and hasattr(file, 'seek')):
            file.seek(offset)
        buffer = memoryview(bytearray(min(count or CHUNK, CHUNK)))
        sent = 0
        gate = Gate(self, transport)
        try:
            while not count or sent < count:
                part = buffer[: count - sent] if count else buffer
                read = await self.run_in_executor(None, file.readinto, part)
                if not read:
                    break
                await gate.drain()
                transport.write(bytes(part[:read]))
                sent += read
        finally:
            if sent > 0 and hasattr(file, 'seek'):
                file.seek(offset + sent)
            gate.leave()
        return sent


class Gate(asyncio.Protocol):
    """In the protocol's place while a file is written: waits for room."""

    def __init__(self, loop: SendfileMixin, transport: Any) -> None:
        self.loop = loop
        self.transport = transport
        self.protocol = transport.get_protocol()
        self.resumes_reading = transport.is_reading()
        self.was_paused = transport._protocol_paused
        self.room: asyncio.Future[None] | None = None
        self.lost = False
        self.error: BaseException | None = None
        transport.pause_reading()
        transport.set_protocol(self)
        if self.was_paused:
            self.pause_writing()

    async def drain(self) -> None:
        if self.room is not None:
            await self.room
        if self.lost or self.transport.is_closing():
            raise self.error or ConnectionError(LOST)

    def leave(self) -> None:
        """Put everything back."""
        self.room = self.error = None
        if self.lost:
            return
        self.transport.set_protocol(self.protocol)
        if self.resumes_reading:
            self.transport.resume_reading()
        # It has not been told meanwhile.
        is_paused = self.transport._protocol_paused
        if is_paused and not self.was_paused:
            self.protocol.pause_writing()
        elif self.was_paused and not is_paused:
            self.protocol.resume_writing()

    def pause_writing(self) -> None:
        if self.room is None:
            self.room = self.loop.create_future()

    def resume_writing(self) -> None:
        room, self.room = self.room, None
        if room is not None and not room.done():
            room.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.error = exc
        self.resume_writing()
        self.protocol.connection_lost(exc)
