"""What a request is."""

from __future__ import annotations

from urllib.parse import unquote

from httptools import (
    CHUNKED,
    EXPECT_100,
    HAS_BODY,
    KEEP_ALIVE,
    UPGRADE,
    HttpParserInvalidURLError,
    parse_url,
)

from .body import Body
from .response import HttpError

Headers = list[tuple[bytes, bytes]]


class Request:
    __slots__ = (
        '_path',
        'body',
        'expects_continue',
        'headers',
        'keep_alive',
        'length',
        'method',
        'refusal',
        'target',
        'version',
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        version: str,
        headers: Headers,
        flags: int,
        length: int | None,
        body: Body,
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers  # in the client's order, names in lower case
        self.body = body
        # Of the body; None: chunked.
        self.length = None if flags & CHUNKED else length or 0
        # Another request may follow. CONNECT ends what the parser can read.
        self.keep_alive = bool(flags & KEEP_ALIVE) and not flags & UPGRADE
        # The client waits for our 100.
        self.expects_continue = bool(
            flags & EXPECT_100 and flags & HAS_BODY and not self.http10
        )
        self.refusal: HttpError | None = None  # set: this is the answer
        self._path: str | None = None

    @property
    def http10(self) -> bool:
        return self.version == '1.0'

    @property
    def path(self) -> str:
        """The path in any form of target, %-escapes decoded."""
        if self._path is None:
            try:
                path = parse_url(self.target).path or b'/'
            except HttpParserInvalidURLError:
                raise HttpError(400, 'this is no request target') from None
            text = path.decode('latin-1')
            self._path = unquote(text, 'latin-1') if '%' in text else text
        return self._path

    def header(self, name: bytes) -> bytes | None:
        """The value of the first header of this name, in lower case."""
        for known, value in self.headers:
            if known == name:
                return value
        return None

    def admit(self) -> None:
        """Refuse what the parser accepts and we do not."""
        expected = self.header(b'expect')
        if expected is None or self.http10:
            return
        if expected.lower() != b'100-continue':
            raise HttpError(417, 'the only expectation is 100-continue')
