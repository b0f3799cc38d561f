"""From bytes to requests: the parser, and what it tells.

RequestReader turns the parser's callbacks into Request objects in a queue. It
knows no socket and calls no app: its owner decides when a request's turn has
come. What must not be served is refused by the parser itself: `strict` stands
for the framing, the limits for what a client may cost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from httptools import (
    HAS_BODY,
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
    def on_head_begun(self) -> None:
        """The first byte of a request is there."""

    def on_progress(self) -> None:
        """A request, more of its body, or its end: something can be done."""

    def on_body_wanted(self) -> None:
        """The app waits for more of a body."""


class RequestReader:
    """The parser's protocol: on_message_begin and so on are called by it."""

    def __init__(
        self, limits: Limits, requests: deque[Request], owner: Owner
    ) -> None:
        self.receiving: Request | None = None  # its body is not complete
        self.in_head = False
        self.finished = False  # no request will follow
        self._requests = requests
        self._owner = owner
        self._parser: HttpRequestParser | None = HttpRequestParser(
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

    # What the owner does.

    @property
    def door(self) -> Callable[[bytes], None]:
        """What takes the bytes: the parser itself, nothing in between."""
        assert self._parser is not None
        return self._parser.feed_data

    def pause(self) -> None:
        """Tell nothing more; the parser keeps what it was given."""
        if self._parser is not None:
            self._parser.pause()

    def resume(self) -> None:
        if not self.finished and self._parser is not None:
            self._parser.resume()

    def end(self) -> None:
        """The client has sent its last byte."""
        if not self.finished and self._parser is not None:
            self._parser.feed_eof()

    @property
    def is_between(self) -> bool:
        """No request is half read."""
        return not self.in_head and self.receiving is None

    def finish(self) -> None:
        self.finished = True
        self.in_head = False
        self.pause()

    def fail(self, error: HttpError) -> None:
        """Read no further. `error` is the answer to what was being read."""
        if self.finished or self._parser is None:
            return
        self.finish()
        request, self.receiving = self.receiving, None
        if request is not None:
            request.keep_alive = False
            request.body.fail(error)
            return
        method = self._parser.get_method()  # a HEAD gets no body, even here
        request = Request(method, b'', '1.1', [], 0, 0, self._body())
        request.refusal = error
        request.body.finish()
        self._requests.append(request)

    def release(self) -> None:
        self.finish()
        self._parser = None  # which refers to us: no cycle is left behind

    # What the parser calls.

    def on_message_begin(self) -> None:
        self.in_head = True
        self._owner.on_head_begun()

    def on_request(
        self,
        method: bytes,
        target: bytes,
        version: str,
        headers: Headers,
        flags: int,
    ) -> None:
        assert self._parser is not None
        length = self._parser.content_length
        request = Request(
            method, target, version, headers, flags, length, self._body()
        )
        try:
            request.admit()
        except HttpError as error:
            self.fail(error)
        else:
            self.receiving = request
            self.in_head = False
            self._requests.append(request)
        if flags & HAS_BODY:  # else its end is told next
            self._owner.on_progress()

    def on_body(self, piece: bytes) -> None:
        if self.receiving is not None:
            self.receiving.body.feed(piece)
            self._owner.on_progress()

    def on_trailers(self, trailers: Headers) -> None:
        """We drop them: a decision is not changed by what comes after it."""

    def on_message_complete(self) -> None:
        request, self.receiving = self.receiving, None
        if request is not None:
            request.body.finish()
            if not request.keep_alive:
                self.finish()
        self._owner.on_progress()

    def on_parse_error(
        self, error: HttpParserError | HttpParserUpgrade
    ) -> None:
        if isinstance(error, HttpParserUpgrade):  # CONNECT, answered as any
            self.finish()
        elif isinstance(error, HttpParserCallbackError):
            raise error  # a bug of ours
        else:
            self.fail(HttpError(error.status or 400, str(error)))
        self._owner.on_progress()

    def _body(self) -> Body:
        return Body(self._owner.on_body_wanted)
