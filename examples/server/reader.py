"""From bytes to requests: the parser, and what it gathers.

RequestReader turns the parser's callbacks into Request objects in a queue. It
knows no socket and calls no app: whoever feeds it decides when a request's
turn has come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from .body import Body
from .limits import Limits
from .request import Headers, Request
from .response import HttpError


class RequestReader:
    """The parser's protocol: on_... are called by it."""

    def __init__(
        self,
        limits: Limits,
        requests: deque[Request],
        body_wanted: Callable[[], None],
    ) -> None:
        self.receiving: Request | None = None  # its body is not complete
        self.in_head = False
        self.finished = False  # no request will follow
        self.silent = 0  # bytes fed since the last head, body piece or end
        self._span = 0  # the same, if this feed had shown nothing yet
        self._limits = limits
        self._requests = requests
        self._body_wanted = body_wanted
        self._target = b''
        self._headers: Headers = []
        self._parser: HttpRequestParser | None = HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        if self.finished or self._parser is None:
            return
        self._span = self.silent = self.silent + len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self.finished = True
        except HttpParserError as error:
            self._on_error(error)
        else:
            if self.silent > self._limits.head_bytes:
                self.fail(self._head_too_big())

    def end(self) -> None:
        """The client has sent its last byte."""
        if self.in_head or self.receiving is not None:
            self.fail(HttpError(400, 'the request is not complete'))
        self.finished = True

    def fail(self, error: HttpError) -> None:
        """Read no further. `error` is the answer to what was being read."""
        if self.finished:
            return
        self.finished = True
        self.in_head = False
        request, self.receiving = self.receiving, None
        if request is not None:
            request.keep_alive = False
            request.body.fail(error)
            return
        assert self._parser is not None
        method = self._parser.get_method()  # a HEAD gets no body, even here
        request = Request(method, b'', '1.1', [], Body(self._body_wanted))
        request.refusal = error
        request.body.finish()
        self._requests.append(request)

    def release(self) -> None:
        self._parser = None  # which refers to us: no cycle is left behind
        self.finished = True

    def on_message_begin(self) -> None:
        if self.finished:
            raise HttpError(400, 'no request may follow')  # stops the parser
        self.in_head = True
        self._target = b''
        self._headers = []

    def on_url(self, piece: bytes) -> None:
        self._target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the head these are trailers. We drop them: a Host or a
        # Content-Length that comes after the decision must not change it.
        if self.in_head:
            self._headers.append((name.lower(), value.rstrip(b' \t')))

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        self._on_head(
            parser.get_method(),
            self._target,
            parser.get_http_version(),
            self._headers,
            parser.should_keep_alive(),
            parser.should_upgrade(),
        )

    def _on_head(
        self,
        method: bytes,
        target: bytes,
        version: str,
        headers: Headers,
        keep_alive: bool,
        upgrade: bool,
    ) -> None:
        """A head is complete. All above it only gathers these six."""
        if self._span > self._limits.head_bytes:  # else it cannot be too big
            size = len(target) + sum(len(n) + len(v) + 4 for n, v in headers)
            if size > self._limits.head_bytes:
                raise self._head_too_big()
        self.silent = 0
        request = Request(
            method, target, version, headers, Body(self._body_wanted)
        )
        request.keep_alive = keep_alive
        request.admit(self._limits, upgrade=upgrade)
        self.in_head = False
        self.receiving = request
        self._requests.append(request)

    def on_body(self, piece: bytes) -> None:
        self.silent = 0
        request = self.receiving
        if request is None:
            return
        request.body.feed(piece)
        if request.body.received > self._limits.body_bytes:
            raise HttpError(413, f'more than {self._limits.body_bytes} bytes')

    def on_message_complete(self) -> None:
        self.silent = 0
        request, self.receiving = self.receiving, None
        if request is not None:
            request.body.finish()
            self.finished = not request.keep_alive

    def _head_too_big(self) -> HttpError:
        return HttpError(431, f'more than {self._limits.head_bytes} bytes')

    def _on_error(self, error: HttpParserError) -> None:
        # What a callback of ours raised is the context of the parser's error.
        cause = error.__context__
        if isinstance(cause, HttpError):
            self.fail(cause)
        elif isinstance(error, HttpParserCallbackError):
            raise error  # a bug of ours
        else:
            self.fail(HttpError(400, str(error)))
