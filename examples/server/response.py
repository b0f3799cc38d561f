"""From a Response to the bytes that go out.

The app says status, headers and body; framing (Content-Length, chunks) and
Connection are decided here and nowhere else, so no app can get them wrong.
httptools writes the head, with its Date, and refuses header bytes that could
split it in two.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from httptools import build_chunk, build_response

CONTINUE = b'HTTP/1.1 100 Continue\r\n\r\n'
TEXT = 'text/plain; charset=utf-8'
LAST_CHUNK = b'0\r\n\r\n'

# The statuses that there are, and whether their responses have a body.
_HAS_BODY = {
    status.value: status.value not in (204, 304) for status in HTTPStatus
}
_OURS = frozenset(
    {'content-length', 'transfer-encoding', 'connection', 'date'}
)

_WHOLE = (bytes, memoryview)

Headers = tuple[tuple[bytes, bytes], ...]
Buffers = list[Any]  # bytes, or what the app gave for them


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
        'has_body',
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
        try:
            self.has_body = _HAS_BODY[status]
        except KeyError:
            raise ValueError(f'{status} is no HTTP status') from None
        self.body = body
        self.status = status
        self.content_type = content_type
        self.headers = headers
        self.length = length
        self.is_whole = isinstance(body, _WHOLE)

    def head(self, close: bool, http10: bool) -> Buffers:
        """The head alone, for a body that comes in pieces or not at all."""
        content_type = self.content_type if self.has_body else None
        headers = _usual_headers(content_type, close, http10)
        if self.headers:
            headers += tuple(map(_checked, self.headers))
        length = len(self.body) if self.is_whole else self.length  # type: ignore[arg-type]
        if length is not None and self.has_body:
            headers += ((b'Content-Length', b'%d' % length),)
        return build_response(
            self.status, headers, chunked=self._is_chunked(http10)
        )

    def whole(self, close: bool, http10: bool) -> Buffers:
        """Head and body: one buffer, or two if the body is large."""
        headers = _usual_headers(self.content_type, close, http10)
        if self.headers:
            headers += tuple(map(_checked, self.headers))
        return build_response(self.status, headers, self.body)  # type: ignore[arg-type]

    def _is_chunked(self, http10: bool) -> bool:
        return (
            self.has_body
            and not self.is_whole
            and self.length is None
            and not http10
        )

    async def frames(self, http10: bool) -> AsyncGenerator[Buffers, None]:
        """The pieces of the body as they go over the wire."""
        assert isinstance(self.body, AsyncIterable)
        if self._is_chunked(http10):
            async for piece in self.body:
                if piece:  # an empty chunk would be the last one
                    yield build_chunk(piece)
            yield [LAST_CHUNK]
            return
        left = self.length
        async for piece in self.body:
            if left is not None:
                left -= len(piece)
                if left < 0:
                    raise RuntimeError('the body is longer than its length')
            yield [piece]
        if left:
            raise RuntimeError('the body is shorter than its length')


def _checked(header: tuple[str, str]) -> tuple[bytes, bytes]:
    name, value = header
    if name.lower() in _OURS:
        raise ValueError(f'{name} is set by the server')
    return _encoded(name), _encoded(value)


# Cached, since the same few lines go out over and over.


@lru_cache(maxsize=256)
def _usual_headers(
    content_type: str | None, close: bool, http10: bool
) -> Headers:
    headers: Headers = ()
    if content_type is not None:
        headers += ((b'Content-Type', _encoded(content_type)),)
    if close:
        headers += ((b'Connection', b'close'),)
    elif http10:
        headers += ((b'Connection', b'keep-alive'),)
    return headers


@lru_cache(maxsize=256)
def _encoded(text: str) -> bytes:
    try:
        return text.encode('latin-1')
    except UnicodeEncodeError:
        raise ValueError(f'invalid header text {text!r}') from None
