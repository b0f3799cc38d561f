"""One row of the parser's benchmark: python parser_rows.py ROW [COUNT].

It imports whatever `httptools` is there, and prints one line of JSON: the
nanoseconds that one message takes, the least of several tries, and what was
measured. With COUNT it does the work so many times and prints nothing, for
counting instructions.
"""

from __future__ import annotations

import gc
import json
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import httptools

SHORT = (
    b'GET /bytes/1024 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n'
    b'User-Agent: wrk\r\n\r\n'
)
BROWSER = (
    b'GET /products/list?page=3&sort=price HTTP/1.1\r\n'
    b'Host: www.example.com\r\nConnection: keep-alive\r\n'
    b'Cache-Control: max-age=0\r\n'
    b'sec-ch-ua: "Chromium";v="128", "Not;A=Brand";v="24"\r\n'
    b'sec-ch-ua-mobile: ?0\r\nUpgrade-Insecure-Requests: 1\r\n'
    b'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 '
    b'(KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36\r\n'
    b'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,'
    b'image/avif,image/webp,*/*;q=0.8\r\n'
    b'Accept-Encoding: gzip, deflate, br, zstd\r\n'
    b'Accept-Language: en-US,en;q=0.9\r\n'
    b'Referer: https://www.example.com/products/list?page=2\r\n'
    b'Cookie: session=d41d8cd98f00b204e9800998ecf8427e; theme=dark\r\n\r\n'
)
POST = (
    b'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n'
    + b'x' * 1024
)
CHUNKED = (
    b'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
    b'100\r\n' + b'x' * 256 + b'\r\n80\r\n' + b'x' * 128 + b'\r\n0\r\n\r\n'
)
RESPONSE = (
    b'HTTP/1.1 200 OK\r\nDate: Mon, 23 May 2005 22:38:34 GMT\r\n'
    b'Server: Apache\r\nContent-Type: text/html\r\nContent-Length: 13\r\n'
    b'Connection: keep-alive\r\n\r\nHello, World!'
)
URL = b'/products/list?page=3&sort=price'
# A client's next head is not the last one's copy.
SHORTS = [SHORT.replace(b'1024', b'%d' % (1000 + i)) for i in range(16)]
BROWSERS = [
    BROWSER.replace(b'page=3', b'page=%d' % i)
    .replace(b'page=2', b'page=%d' % (i - 1))
    .replace(b'd41d8cd98f', b'd41d8cd9%02d' % i)
    .replace(b'max-age=0', b'no-cache' if i % 3 == 0 else b'max-age=0')
    for i in range(16)
]


class Full:
    def on_message_begin(self) -> None:
        pass

    def on_url(self, url: bytes) -> None:
        pass

    def on_header(self, name: bytes, value: bytes) -> None:
        pass

    def on_headers_complete(self) -> None:
        pass

    def on_body(self, body: bytes) -> None:
        pass

    def on_message_complete(self) -> None:
        pass


class OnHeader:
    def on_header(self, name: bytes, value: bytes) -> None:
        pass


class Gather:
    """What a server needs of a head, by httptools' callbacks."""

    def __init__(self) -> None:
        self.parser: Any = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.url = b''
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self.parser
        self.head = (
            parser.get_method(),
            self.url,
            parser.get_http_version(),
            self.headers,
            parser.should_keep_alive(),
        )


class Batch:
    """The same by ours, where there is one."""

    def __init__(self) -> None:
        self.parser: Any = httptools.HttpRequestParser(
            self, header_names='lower'
        )

    def on_request(self, *head: Any) -> None:
        self.head = head


def gather() -> Any:
    ours = hasattr(httptools, 'KEEP_ALIVE')
    return Batch() if ours else Gather()


def repeat(call: Callable[[Any], Any], *data: bytes) -> Callable[[int], None]:
    many = data * (16 // len(data))  # or the loop itself would be measured

    def run(count: int) -> None:
        for _ in range(count // len(many)):
            for one in many:
                call(one)

    return run


def feed(protocol: Any, *data: bytes) -> Callable[[int], None]:
    return repeat(httptools.HttpRequestParser(protocol).feed_data, *data)


def new_parser(data: bytes) -> None:
    httptools.HttpRequestParser(FULL).feed_data(data)


FULL = Full()
ROWS: dict[str, Callable[[], Callable[[int], None]]] = {
    'short': lambda: feed(FULL, SHORT),
    'browser': lambda: feed(FULL, BROWSER),
    'on_header only': lambda: feed(OnHeader(), BROWSER),
    'no callback, short': lambda: feed(None, SHORT),
    'no callback, browser': lambda: feed(None, BROWSER),
    'new parser': lambda: repeat(new_parser, SHORT),
    '1 KB POST': lambda: feed(FULL, POST),
    'chunked': lambda: feed(FULL, CHUNKED),
    'response': lambda: repeat(
        httptools.HttpResponseParser(FULL).feed_data, RESPONSE
    ),
    '16 pipelined': lambda: feed(FULL, SHORT * 16),
    'parse_url': lambda: repeat(httptools.parse_url, URL),
    'head, short': lambda: repeat(gather().parser.feed_data, *SHORTS),
    'head, browser': lambda: repeat(gather().parser.feed_data, *BROWSERS),
    'same head, short': lambda: repeat(gather().parser.feed_data, SHORT),
    'same head, browser': lambda: repeat(gather().parser.feed_data, BROWSER),
}


def nanoseconds(run: Callable[[int], None]) -> float:
    """Of one: the least of the tries, each of about 10 ms."""
    count, taken = 16, 0.0
    while taken < 0.01:
        count *= 2
        began = time.perf_counter()
        run(count)
        taken = time.perf_counter() - began
    tries = []
    for _ in range(7):
        began = time.perf_counter()
        run(count)
        tries.append(time.perf_counter() - began)
    return min(tries) / count * 1e9


if __name__ == '__main__':
    gc.disable()
    work = ROWS[sys.argv[1]]()
    if len(sys.argv) > 2:
        work(int(sys.argv[2]))
    else:
        told = {
            'nanoseconds': nanoseconds(work),
            'version': httptools.__version__,
            'file': httptools.__file__,
            'python': platform.python_version(),
        }
        print(json.dumps(told))
