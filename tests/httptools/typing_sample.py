"""Uses every stub; mypy --strict and pyright accept it (see test_typing)."""

from __future__ import annotations

import array

import httptools
from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserInvalidStatusError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
    HTTPProtocol,
    HttpRequestParser,
    HttpResponseParser,
    parse_url,
)
from httptools._http import __version__ as compiled_version
from httptools._http import llhttp_version
from httptools.parser.errors import HttpParserError as SameError
from httptools.parser.url_parser import URL


class Partial:
    """A protocol needs only the callbacks that it wants."""

    def __init__(self) -> None:
        self.url = b''

    def on_url(self, url: bytes) -> None:
        self.url += url


class Whole(HTTPProtocol):
    def __init__(self) -> None:
        self.log: list[bytes] = []

    def on_message_begin(self) -> None:
        self.log.clear()

    def on_url(self, url: bytes) -> None:
        self.log.append(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.log += [name, value]

    def on_headers_complete(self) -> None:
        self.log.append(b'')

    def on_body(self, body: bytes) -> None:
        self.log.append(body)

    def on_message_complete(self) -> None:
        self.log.append(b'')

    def on_chunk_header(self) -> None:
        self.log.append(b'')

    def on_chunk_complete(self) -> None:
        self.log.append(b'')

    def on_status(self, status: bytes) -> None:
        self.log.append(status)


class Subclass(HttpRequestParser):
    def __init__(self) -> None:
        super().__init__(self)


def use_request(data: bytes) -> tuple[bytes, str, bool, bool]:
    parser = HttpRequestParser(Partial())
    parser.set_dangerous_leniencies(
        lenient_headers=False, lenient_data_after_close=True
    )
    for piece in (data, bytearray(data), memoryview(data)):
        parser.feed_data(piece)
    parser.feed_data(array.array('B', data))
    return (
        parser.get_method(),
        parser.get_http_version(),
        parser.should_keep_alive(),
        parser.should_upgrade(),
    )


def use_response(protocol: HTTPProtocol, data: bytes) -> int:
    parser = HttpResponseParser(protocol)
    try:
        parser.feed_data(data)
    except HttpParserUpgrade as upgrade:
        offset: int = upgrade.args[0]
        return offset
    except (HttpParserInvalidMethodError, HttpParserInvalidStatusError):
        raise
    except HttpParserCallbackError as error:
        raise SameError from error.__cause__
    except HttpParserError as error:
        code: int | None = error.errno
        name: str | None = error.name
        where: int | None = error.offset
        print(code, name, where)
    return parser.get_status_code()


def use_url(data: bytes) -> int:
    try:
        url: URL = parse_url(data)
    except HttpParserInvalidURLError:
        return 0
    host: bytes | None = url.host
    length = len(host) if host is not None else 0
    parts = (url.schema, url.path, url.query, url.fragment, url.userinfo)
    return length + sum(len(part) for part in parts if part) + (url.port or 0)


def use_module() -> str:
    parser = httptools.parser.HttpRequestParser(Subclass())
    return httptools.__version__ + parser.get_http_version()


class Batch:
    def __init__(self) -> None:
        self.parser = HttpRequestParser(
            self,
            on_error=self.on_error,
            header_names='lower',
            strip_ows=True,
            upgrades=(b'websocket',),
            strict=True,
            max_body=None,
            max_head=65536,
            require_host=False,
        )

    def on_request(
        self,
        method: bytes,
        target: bytes,
        version: str,
        headers: list[tuple[bytes, bytes]],
        flags: int,
    ) -> None:
        if flags & (httptools.KEEP_ALIVE | httptools.HAS_BODY):
            self.parser.pause()

    def on_error(self, error: HttpParserError | HttpParserUpgrade) -> None:
        if isinstance(error, HttpParserUpgrade):
            rest: bytes = error.rest
            print(rest)
        elif isinstance(error, httptools.HttpParserLimitError):
            status: int = error.status
            print(status)
        self.parser.reset()


def use_state(parser: HttpResponseParser) -> tuple[int | None, bool, bytes]:
    parser.skip_body()
    parser.resume()
    parser.feed_eof()
    numbers: list[int] = [parser.consumed, parser.chunk_size]
    flags: list[bool] = [parser.message_complete, parser.paused]
    print(numbers, flags)
    return parser.content_length, parser.keep_alive, parser.chunk_extensions


def use_options() -> HttpResponseParser:
    return HttpResponseParser(
        None,
        on_error=print,
        header_names='raw',
        strip_ows=False,
        upgrades=None,
        strict=False,
        max_head=None,
        max_url=None,
        max_headers=128,
        max_header_name=256,
        max_header_value=32768,
        max_trailers=None,
        max_chunk_extensions=None,
        max_body=1 << 20,
        reject_http09=True,
        reject_versions=True,
        reject_te_in_http10=True,
        reject_codings=True,
        reject_duplicates=True,
        reject_obs_text=True,
        reject_spaces=True,
        reject_trailers=True,
        require_host=False,
    )


def use_leniencies(parser: HttpRequestParser) -> None:
    parser.set_dangerous_leniencies(
        lenient_headers=None,
        lenient_chunked_length=True,
        lenient_keep_alive=True,
        lenient_transfer_encoding=True,
        lenient_version=True,
        lenient_data_after_close=True,
        lenient_optional_lf_after_cr=True,
        lenient_optional_cr_before_lf=True,
        lenient_optional_crlf_after_chunk=True,
        lenient_spaces_after_chunk_size=True,
        lenient_header_value_relaxed=False,
    )


def use_flags(flags: int) -> list[str]:
    names: dict[int, str] = {
        httptools.KEEP_ALIVE: 'keep-alive',
        httptools.UPGRADE: 'upgrade',
        httptools.CHUNKED: 'chunked',
        httptools.HAS_BODY: 'body',
        httptools.EXPECT_100: 'expect',
    }
    return [name for flag, name in names.items() if flags & flag]


def make_url() -> tuple[str, bytes | None, int | None]:
    url = URL(b'http', b'h', 80, b'/', None, None, None)
    return llhttp_version + compiled_version, url.host, url.port


def use_writer() -> int:
    buffers = httptools.build_response(
        200,
        [(b'a', b'b')],
        [b'c', bytearray(b'd')],
        reason=b'OK',
        date=False,
        chunked=True,
    )
    buffers += httptools.build_chunk(b'e')
    return sum(len(memoryview(buffer)) for buffer in buffers)
