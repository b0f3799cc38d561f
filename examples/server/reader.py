"""From bytes to requests: the parser, and what it tells.

RequestReader turns the parser's callbacks into Request objects in a queue. It
knows no socket and calls no app: its owner is told that something was found,
and decides when a request's turn has come. What must not be served is refused
by the parser itself: `strict` stands for the framing, the limits for what a
client may cost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from httptools import (
    CHUNKED,
    EXPECT_100,
    HAS_BODY,
    KEEP_ALIVE,
    UPGRADE,
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from .body import Body
from .limits import Limits
from .request import Headers, Request
from .response import HttpError


class Owner(Protocol):
    def step_soon(self) -> object:
        """See to what was found when the whole of this read is; set `told`
        back then, until which this is not called again."""

    def on_full(self) -> None:
        """Too much was found for a step to be soon enough."""

    def on_finished(self) -> None:
        """Feed us no more."""

    def on_body_wanted(self) -> None:
        """The app waits for more of a body."""


class RequestReader:
    """The parser's protocol: on_request and so on are called by it."""

    def __init__(
        self, limits: Limits, requests: deque[Request], owner: Owner
    ) -> None:
        self.receiving: Request | None = None  # its body is not complete
        self.is_between = True  # all that came is whole requests
        self.told = False  # the owner's next step is on its way
        self.held = False  # the parser keeps what it was given
        self.finished = False  # no request will follow
        self._requests = requests
        self._limits = limits
        self._owner = owner
        self._parser = HttpRequestParser(
            self,
            strict=True,
            header_names='lower',
            upgrades=(),  # an offer that we never take
            reject_trailers=False,  # we drop them all
            max_head=limits.head_bytes,
            max_headers=limits.headers,
            max_trailers=limits.head_bytes,
            max_body=limits.body_bytes,
        )
        # What takes the bytes: the parser itself, nothing in between.
        self.feed: Callable[[bytes], None] = self._parser.feed_data

    # What the owner does.

    def hold(self) -> None:
        """Tell nothing more; the parser keeps what it was given."""
        if not self.finished:
            self.held = True
            self._parser.pause()

    def go_on(self) -> None:
        self.held = False
        if not self.finished:
            self._parser.resume()

    def end(self) -> None:
        """The client has sent its last byte."""
        if not self.finished:
            self._parser.feed_eof()

    @property
    def in_head(self) -> bool:
        """A request has begun, and we know no more of it."""
        return not (self.finished or self.receiving or self.is_between)

    def finish(self) -> None:
        if not self.finished:
            self.finished = True
            self.is_between = self.held = False
            self._parser.pause()
            self._owner.on_finished()

    def fail(self, error: HttpError) -> None:
        """Read no further. `error` is the answer to what was being read."""
        if self.finished:
            return
        request, self.receiving = self.receiving, None
        if request is not None:
            self.finish()
            request.keep_alive = False
            request.body.fail(error)
            return
        method = self._parser.get_method()  # a HEAD gets no body, even here
        request = Request(method, b'', '1.1', [])
        self._refuse(request, error)
        self._requests.append(request)

    def _refuse(self, request: Request, error: HttpError) -> None:
        self.finish()
        request.keep_alive = False
        request.refusal = error

    def release(self) -> None:
        self.finish()
        del self._parser, self.feed  # which refer to us: no cycle is left

    def _tell(self) -> None:
        if not self.told:
            self.told = True
            self._owner.step_soon()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self.is_between = False
        self._tell()

    def on_request(
        self,
        method: bytes,
        target: bytes,
        version: str,
        headers: Headers,
        flags: int,
    ) -> None:
        request = Request(method, target, version, headers)
        if flags != KEEP_ALIVE or version != '1.1':
            self._look_closer(request, flags)
        self._requests.append(request)
        if not self.told:  # it began in another read
            self._tell()
        if len(self._requests) >= self._limits.pipelined:
            self._owner.on_full()

    def _look_closer(self, request: Request, flags: int) -> None:
        request.http10 = request.version == '1.0'
        # CONNECT ends what the parser can read.
        request.keep_alive = flags & (KEEP_ALIVE | UPGRADE) == KEEP_ALIVE
        if not flags & HAS_BODY:
            if not request.keep_alive:
                self.finish()
            return
        if not request.http10 and request.header(b'expect') is not None:
            if not flags & EXPECT_100:
                text = 'the only expectation is 100-continue'
                self._refuse(request, HttpError(417, text))
                return
            request.expects_continue = True
        request.body = Body(self._owner.on_body_wanted)
        if flags & CHUNKED:
            request.length = None
        else:
            request.length = self._parser.content_length
        self.receiving = request

    def on_body(self, piece: bytes) -> None:
        if self.receiving is not None:
            body = self.receiving.body
            body.feed(piece)
            self._tell()
            if body.waiting >= self._limits.buffer_bytes:
                self._owner.on_full()

    def on_trailers(self, trailers: Headers) -> None:
        """We drop them: a decision is not changed by what comes after it."""

    def on_message_complete(self) -> None:
        self.is_between = not self.finished
        request = self.receiving
        if request is not None:
            self.receiving = None
            self._tell()
            request.body.finish()
            if not request.keep_alive:
                self.finish()

    def on_parse_error(
        self, error: HttpParserError | HttpParserUpgrade
    ) -> None:
        if isinstance(error, HttpParserUpgrade):  # CONNECT, answered as any
            self.finish()
        elif isinstance(error, HttpParserCallbackError):
            raise error  # a bug of ours
        else:
            self.fail(HttpError(error.status or 400, str(error)))
        self._tell()
