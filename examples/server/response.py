"""From a Response to the bytes that go out.

The app says status, headers and body; framing (Content-Length, chunks), Date
and Connection are decided here and nowhere else, so no app can get them wrong.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

CONTINUE = b'HTTP/1.1 100 Continue\r\n\r\n'
TEXT = 'text/plain; charset=utf-8'

_STATUS_LINES = {
    status.value: f'HTTP/1.1 {status.value} {status.phrase}\r\n'.encode()
    for status in HTTPStatus
}
_BODILESS = frozenset({204, 304})
_OURS = frozenset(
    {'content-length', 'transfer-encoding', 'connection', 'date'}
)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r'[\t\x20-\x7e\x80-\xff]*')


class HttpError(Exception):
    """Raise it anywhere, in the app too: the client gets it as a response."""

    def __init__(
        self, status: int, text: str, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text
        self.headers = tuple(headers)

    def response(self) -> Response:
        body = f'{self.status} {HTTPStatus(self.status).phrase}: {self.text}\n'
        return Response(body.encode(), self.status, headers=self.headers)


class Response:
    """A body that is whole, or one that comes in pieces.

    A body in pieces goes out with the Content-Length that `length` states, or
    chunked if that is None.
    """

    __slots__ = (
        'body',
        'content_type',
        'headers',
        'is_whole',
        'length',
        'status',
    )

    def __init__(
        self,
        body: bytes | memoryview | AsyncIterable[bytes] = b'',
        status: int = 200,
        content_type: str = TEXT,
        headers: Iterable[tuple[str, str]] = (),
        length: int | None = None,
    ) -> None:
        self.body = body
        self.status = status
        self.content_type = content_type
        self.headers = headers
        self.is_whole = isinstance(body, (bytes, memoryview))
        self.length = len(body) if self.is_whole else length  # type: ignore[arg-type]

    def head(self, *, close: bool, http10: bool) -> bytes:
        parts = [_STATUS_LINES[self.status], _date_field()]
        if self.status not in _BODILESS:
            parts.append(_field('Content-Type', self.content_type))
            if self.length is not None:
                parts.append(b'Content-Length: %d\r\n' % self.length)
            elif not http10:
                parts.append(b'Transfer-Encoding: chunked\r\n')
        for name, value in self.headers:
            if name.lower() in _OURS:
                raise ValueError(f'{name} is set by the server')
            parts.append(_field(name, value))
        if close:
            parts.append(b'Connection: close\r\n')
        elif http10:
            parts.append(b'Connection: keep-alive\r\n')
        parts.append(b'\r\n')
        return b''.join(parts)

    def has_body(self, method: bytes) -> bool:
        return method != b'HEAD' and self.status not in _BODILESS

    async def frames(self, *, http10: bool) -> AsyncGenerator[bytes, None]:
        """The pieces of the body as they go over the wire."""
        assert isinstance(self.body, AsyncIterable)
        if self.length is None and not http10:
            async for piece in self.body:
                if piece:  # an empty chunk would be the last one
                    yield b'%x\r\n%b\r\n' % (len(piece), piece)
            yield b'0\r\n\r\n'
            return
        left = self.length
        async for piece in self.body:
            if left is not None:
                left -= len(piece)
                if left < 0:
                    raise RuntimeError('the body is longer than its length')
            yield piece
        if left:
            raise RuntimeError('the body is shorter than its length')


@lru_cache(maxsize=256)
def _field(name: str, value: str) -> bytes:
    """One header line. A CR or LF in it would let whoever supplied the value
    write headers, or a whole response, of their own: refused. Cached, since
    the same few lines go out over and over."""
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise ValueError(f'not a header: {name!r}: {value!r}')
    return f'{name}: {value}\r\n'.encode('latin-1')


_date = (0, b'')


def _date_field() -> bytes:
    """Formatting a date costs more than the rest of a head: once a second."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = (now, f'Date: {formatdate(now, usegmt=True)}\r\n'.encode())
    return _date[1]
