"""What a request is."""

from __future__ import annotations

from urllib.parse import unquote

from httptools import HttpParserInvalidURLError, parse_url

from .body import NO_BODY
from .response import HttpError

Headers = list[tuple[bytes, bytes]]


class Request:
    """What a client asks for. Where no more is said, it is as most are: of
    HTTP/1.1, without a body, and not the last one."""

    http10 = False
    keep_alive = True  # another request may follow
    body = NO_BODY
    length: int | None = 0  # of the body; None: chunked
    expects_continue = False  # the client waits for our 100
    refusal: HttpError | None = None  # set: this is the answer

    def __init__(
        self, method: bytes, target: bytes, version: str, headers: Headers
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers  # in the client's order, names in lower case
        self._path: str | None = None

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
