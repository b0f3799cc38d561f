"""What a request is, and which ones are refused before the app sees them."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from httptools import HttpParserInvalidURLError, parse_url

from .body import Body
from .limits import Limits
from .response import HttpError

Headers = list[tuple[bytes, bytes]]


class Request:
    __slots__ = (
        '_path',
        'body',
        'expects_continue',
        'fields',
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
        body: Body,
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers  # in the client's order, names in lower case
        self.fields = dict(headers)  # to look one up
        self.body = body
        self.length: int | None = None  # of the body; None: chunked
        self.keep_alive = False  # another request may follow
        self.expects_continue = False  # the client waits for our 100
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
            if b'%' in path:
                path = unquote_to_bytes(path)
            self._path = path.decode('latin-1')
        return self._path

    def admit(self, limits: Limits, *, upgrade: bool) -> None:
        """Look at the framing, refuse what cannot be served safely."""
        if self.version not in ('1.1', '1.0'):
            raise HttpError(505, 'only HTTP/1.1 and HTTP/1.0')
        fields = self.fields
        if len(self.headers) > limits.headers:
            raise HttpError(431, f'more than {limits.headers} headers')
        if len(fields) < len(self.headers):  # some name came twice
            names = [name for name, _ in self.headers]
            for name in (b'host', b'transfer-encoding'):
                if names.count(name) > 1:
                    raise HttpError(400, f'{name.decode()} comes twice')
        if b'host' not in fields and not self.http10:
            raise HttpError(400, 'no Host header')
        coding = fields.get(b'transfer-encoding')
        if coding is not None:
            # HTTP/1.0 knows no chunks: whoever relayed this framed it by other
            # rules than ours, the first half of a request smuggling.
            if self.http10:
                raise HttpError(400, 'Transfer-Encoding in HTTP/1.0')
            if coding.lower() != b'chunked':
                raise HttpError(501, 'the only transfer coding is chunked')
        else:
            self.length = int(fields.get(b'content-length', 0))
            if self.length > limits.body_bytes:
                raise HttpError(413, f'more than {limits.body_bytes} bytes')
        if upgrade:
            # An upgrade is an offer, we answer as if it were not there. But
            # the parser stops at the head, the body would be read as the next
            # request: so no request may follow, and no body can be had.
            self.keep_alive = False
            if self.length != 0:
                raise HttpError(501, 'no body together with an upgrade')
        expected = fields.get(b'expect')
        if expected is not None and not self.http10:
            if expected.lower() != b'100-continue':
                raise HttpError(417, 'the only expectation is 100-continue')
            self.expects_continue = self.length != 0
