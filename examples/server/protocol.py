"""One connection: when to read, when to answer, when to wait and to close.

The bytes do not come by here: data_received is the parser's own feed_data, so
nothing stands between the socket and the first callback. Whatever happens (a
request is there, an answer is done, the client reads on) ends in _step(),
which does all that can be done now: answer the requests whose turn it is, read
more if there is room, set the clock for what the client owes us next.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios
from collections import deque
from collections.abc import Callable
from functools import partial

from .answer import App, Responder
from .limits import Deadline, Limits
from .reader import RequestReader
from .request import Request
from .response import HttpError


def discard(data: bytes) -> None:
    """The door of a connection that is over: we only read to see the client's
    end."""


class Service:
    """What the connections of a server have in common."""

    def __init__(self, app: App, limits: Limits) -> None:
        self.app = app
        self.limits = limits
        self.connections: set[Connection] = set()
        self.empty = asyncio.Event()  # no connection is there
        self.empty.set()
        self.stopping = False

    def add(self, connection: Connection) -> None:
        self.connections.add(connection)
        self.empty.clear()

    def remove(self, connection: Connection) -> None:
        self.connections.remove(connection)
        if not self.connections:
            self.empty.set()

    def stop(self) -> None:
        """Have every connection finish what was begun, then end; those that
        come later, too."""
        self.stopping = True
        for connection in list(self.connections):
            connection.stop()


class Connection(asyncio.Protocol):
    _transport: asyncio.Transport
    _responder: Responder

    def __init__(self, service: Service) -> None:
        self._service = service
        self._limits = service.limits
        self._requests: deque[Request] = deque()  # not answered yet
        self._reader = RequestReader(service.limits, self._requests, self)
        self._gathering = False  # the requests first, their answers later
        self._held = False  # the parser keeps what it was given
        self._reading = True
        self._ended = False  # the client has sent its last byte
        self._closing = False
        self._deadline = Deadline(
            asyncio.get_running_loop(), self._on_deadline
        )
        self._phase: str | None = None  # what we wait for, a field of Limits
        self._unsent = 0  # bytes in the transport when we last looked

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._responder = Responder(self._service.app, self, transport)
        self._service.add(self)
        if self._service.stopping:
            self.stop()
        else:
            self._open(self._reader.door)
            self._step()

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._deadline.cancel_timer()
        self._reader.release()
        self._open(discard)
        self._responder.cancel()
        self._service.remove(self)

    def eof_received(self) -> bool:
        self._ended = True
        if not self._closing:
            self._gather(self._reader.end)
        return not self._closing  # keep the way out open for the responses

    def pause_writing(self) -> None:
        self._responder.block()
        self._unsent = self._transport.get_write_buffer_size()
        self._watch(progress=False)

    def resume_writing(self) -> None:
        self._responder.unblock()
        self._step()

    # What the service calls, and the server.

    def stop(self) -> None:
        """Finish what was begun; service.stopping is set.

        Which answer is the last one shows only when all that came has been
        looked at, so from now on the bytes do come by here.
        """
        if not self._closing and not self._reader.finished:
            feed = self._reader.door
            self._open(lambda data: self._gather(partial(feed, data)))
        self._step()

    def abort(self) -> None:
        self._transport.abort()

    # What the responder calls.

    def is_last(self, request: Request) -> bool:
        if request.expects_continue:
            return True  # nobody asked for the body: will it come or not?
        if self._requests or self._reader.in_head or self._held:
            return False  # it has begun, so it is answered
        if self._service.stopping:
            return not (request.body.complete and self._has_input())
        return self._reader.finished

    def on_answered(self, request: Request) -> None:
        if not request.keep_alive:
            self._close()

    def on_answered_later(self) -> None:
        self._step()

    # What the reader calls.

    def on_head_begun(self) -> None:
        self._watch(progress=False)

    def on_progress(self) -> None:
        self._step(progress=True)

    def on_body_wanted(self) -> None:
        self._responder.send_continue()
        if self._held:
            self._step()

    # The work.

    def _open(self, door: Callable[[bytes], None]) -> None:
        """What takes the bytes from now on. A transport looks it up for every
        read, so the attribute may change at any time."""
        self.data_received = door  # type: ignore[method-assign, assignment]

    def _gather(self, read: Callable[[], None]) -> None:
        """Have all requests that `read` finds queued, then see to them."""
        self._gathering = True
        try:
            read()
        finally:
            self._gathering = False
        if self._ended and not self._held and self._reader.is_between:
            self._reader.finish()
        self._step(progress=True)

    def _step(self, progress: bool = False) -> None:
        if self._gathering:
            return
        if not self._closing:
            self._answer()
            if self._reader.finished:
                self._open(discard)
                if not self._is_busy():
                    self._close()
        self._hold_or_go_on()
        self._watch(progress)

    def _hold_or_go_on(self) -> None:
        """Read no more while there is too much to do. When closing we read to
        the client's end; after that end there is nothing to pause."""
        full = not self._closing and self._is_full()
        goes_on = self._held and not full
        if full and not self._held:
            self._reader.pause()
        self._held = full
        reading = self._ended or not full
        if reading is not self._reading:
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()
        if not goes_on:
            return
        if self._service.stopping or self._ended:
            self._gather(self._reader.resume)
        else:
            self._reader.resume()  # which may come back to here

    def _answer(self) -> None:
        while self._requests and self._responder.is_free:
            self._responder.answer(self._requests.popleft())

    def _is_busy(self) -> bool:
        return self._responder.current is not None or bool(self._requests)

    def _is_full(self) -> bool:
        if len(self._requests) >= self._limits.pipelined:
            return True
        receiving = self._reader.receiving
        return (
            receiving is not None
            and receiving.body.waiting >= self._limits.buffer_bytes
        )

    def _has_input(self) -> bool:
        """Whether the kernel holds bytes that we have not read."""
        fd = self._transport.get_extra_info('socket').fileno()
        size = fcntl.ioctl(fd, termios.FIONREAD, b'\0\0\0\0')
        return int.from_bytes(size, sys.byteorder) > 0

    def _close(self) -> None:
        """Say that no more will come, and read on until the client does too:
        closing a socket with unread input resets the connection, and a reset
        can overtake the response."""
        if self._closing:
            return
        self._closing = True
        self._reader.release()
        self._open(discard)
        self._requests.clear()
        self._unsent = self._transport.get_write_buffer_size()
        try:
            if self._ended:
                self._transport.close()
            else:
                self._transport.write_eof()
        except OSError:  # the client is gone
            self._transport.abort()

    # The clock.

    def _watch(self, progress: bool) -> None:
        phase = self._what_we_wait_for()
        if phase is None:
            self._deadline.clear()
        elif progress or phase != self._phase:
            self._deadline.set(getattr(self._limits, phase))
        self._phase = phase

    def _what_we_wait_for(self) -> str | None:
        if self._closing:
            return 'linger_seconds'
        if self._responder.is_blocked:
            return 'write_seconds'
        if self._reader.receiving is not None and self._reading:
            return 'body_seconds'
        if self._is_busy():
            return None  # it is the app's turn
        if self._reader.in_head:
            return 'head_seconds'
        if self._service.stopping:
            return 'last_call_seconds'
        return 'idle_seconds'

    def _on_deadline(self) -> None:
        phase, self._phase = self._phase, None
        if phase in ('idle_seconds', 'last_call_seconds'):
            if not self._has_input():  # else it is just about to be read
                self._close()
        elif phase in ('head_seconds', 'body_seconds'):
            self._reader.fail(HttpError(408, f'{phase} exceeded'))
        else:
            unsent = self._transport.get_write_buffer_size()
            if unsent == 0 or unsent >= self._unsent:
                self._transport.abort()
                return
            self._unsent = unsent  # the client is slow, but it reads
        self._step()
