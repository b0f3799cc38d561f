"""One connection: when to read, when to answer, when to wait and to close.

The bytes do not come by here: data_received is the parser's own feed_data, so
nothing stands between the socket and the reader. It queues the requests that
it finds, and has us called when all of a read has been looked at. Whatever
happens (some were read, an answer is done, the client reads on) ends in
_step(), which does all that can be done now: answer the requests whose turn it
is, read more if there is room, set the clock for what the client owes us next.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from math import inf

from .answer import App, Responder
from .limits import Deadline, Limits
from .reader import RequestReader
from .request import Request
from .response import HttpError


def discard(data: bytes) -> None:
    """The door of a connection that is over: we only read on to see the
    client's end."""


class Service:
    """What the connections of a server have in common."""

    def __init__(self, app: App, limits: Limits) -> None:
        self.app = app
        self.limits = limits
        # An app may take as long as it likes.
        self.seconds: dict[str, float] = {**asdict(limits), 'app_seconds': inf}
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
        loop = asyncio.get_running_loop()
        self._service = service
        self._limits = service.limits
        self._requests: deque[Request] = deque()  # not answered yet
        self.step_soon = partial(loop.call_soon, self._step)
        self._reader = RequestReader(service.limits, self._requests, self)
        self._reading = True
        self._ended = False  # the client has sent its last byte
        self._closing = False
        self._lost = False
        self._deadline = Deadline(loop, self._on_deadline)
        self._phase = ''  # what we wait for, a key of service.seconds
        self._unsent = 0  # bytes in the transport when we last looked

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._responder = Responder(self._service.app, self, transport)
        self._service.add(self)
        self._open(self._reader.feed)
        self._step()

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = self._lost = True
        self._deadline.cancel()
        self._reader.release()
        self._responder.cancel()
        self._service.remove(self)

    def eof_received(self) -> bool:
        self._ended = True
        if not self._closing:
            self._reader.end()
            self._step()
        return not self._closing  # keep the way out open for the responses

    def pause_writing(self) -> None:
        self._responder.block()
        self._unsent = self._transport.get_write_buffer_size()
        self._wait_for('write_seconds')

    def resume_writing(self) -> None:
        self._responder.unblock()
        self._step()

    # What the service calls.

    def stop(self) -> None:
        """Finish what was begun; service.stopping is set."""
        self._step()

    def abort(self) -> None:
        self._transport.abort()

    # What the responder calls.

    def closes_after(self, request: Request) -> bool:
        if request.expects_continue:
            # Nobody asked for the body: will it come or not?
            request.keep_alive = False
        elif self._reader.finished or self._service.stopping:
            request.keep_alive = request.keep_alive and self._has_more(request)
        return not request.keep_alive

    def on_last_answer(self) -> None:
        self._close()

    def on_answered_later(self) -> None:
        self._step()

    # What the reader calls, besides step_soon.

    def on_full(self) -> None:
        self._hold_or_read()

    def on_finished(self) -> None:
        self._open(discard)

    def on_body_wanted(self) -> None:
        self._responder.send_continue()
        if self._reader.held:
            self._step()

    # The work.

    def _open(self, door: Callable[[bytes], None]) -> None:
        """What takes the bytes from now on: a transport looks the attribute
        up for each read."""
        self.data_received = door  # type: ignore[method-assign, assignment]

    def _step(self) -> None:
        """Do all that can be done now."""
        if self._lost:
            return
        reader, responder = self._reader, self._responder
        reader.told = False
        requests = self._requests
        answered = False
        while True:
            if self._ended and not reader.held:
                reader.finish()
            while requests and responder.is_free:
                responder.answer(requests.popleft())
                answered = True
            if not reader.held or self._is_full():
                break
            reader.go_on()

        if responder.is_free and reader.is_between and self._reading:
            # Most often: all that came is answered.
            stopping = self._service.stopping
            phase = 'last_call_seconds' if stopping else 'idle_seconds'
        else:
            if reader.finished and not self._is_busy():
                self._close()
            self._hold_or_read()
            phase = self._what_we_wait_for()
        if phase != self._phase:
            self._wait_for(phase)
        elif answered or phase == 'body_seconds':
            self._deadline.put_off()

    def _hold_or_read(self) -> None:
        """Read no more while there is too much to do. When closing we read to
        the client's end; after that end there is nothing to pause."""
        if self._is_full():
            self._reader.hold()
        reading = self._ended or not self._reader.held
        if reading is not self._reading:
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

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

    def _has_more(self, request: Request) -> bool:
        """Whether a request that has begun to arrive follows this one."""
        reader = self._reader
        if reader.held and not (self._requests or reader.receiving):
            reader.go_on()  # has it kept anything?
        if self._requests or reader.held or reader.in_head:
            return True
        if reader.finished:
            return False
        return request.body.complete and self._has_input()

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
        self._reader.finish()
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

    def _wait_for(self, phase: str) -> None:
        self._phase = phase
        self._deadline.set(self._service.seconds[phase])

    def _what_we_wait_for(self) -> str:
        if self._closing:
            return 'linger_seconds'
        if self._responder.blocked:
            return 'write_seconds'
        if self._reader.receiving is not None and self._reading:
            return 'body_seconds'
        if self._is_busy():
            return 'app_seconds'
        if self._reader.in_head:
            return 'head_seconds'
        if self._service.stopping:
            return 'last_call_seconds'
        return 'idle_seconds'

    def _on_deadline(self) -> None:
        phase, self._phase = self._phase, ''
        if self._reader.told:
            pass  # what came in time is looked at first
        elif phase in ('idle_seconds', 'last_call_seconds'):
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
