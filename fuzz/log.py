"""python -m fuzz.log: what one httptools does with random messages.

Run by differential.py, with ours and with the original: it imports whatever
`httptools` is there, and uses only what both have. A line a message, a digest
of its events, or with --show the events.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from random import Random
from typing import Any

import httptools

from . import messages

NOTICES = (
    *('on_message_begin', 'on_headers_complete', 'on_message_complete'),
    *('on_chunk_header', 'on_chunk_complete'),
)
PIECES = ('on_url', 'on_status', 'on_body')
LENIENCIES = (
    *('headers', 'chunked_length', 'keep_alive', 'transfer_encoding'),
    *('version', 'data_after_close', 'optional_lf_after_cr'),
    *('optional_cr_before_lf', 'optional_crlf_after_chunk'),
    'spaces_after_chunk_size',
)


class Wrong(Exception):
    """What a callback raises."""


class Connection:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.log: list[Any] = []
        self.raises_at = random.choice([0] * 9 + [random.randrange(1, 12)])
        self.asks = random.random() < 0.5
        self.is_request, self.data = messages.connection(random)
        self.parts = messages.cut(random, self.data)
        self.parser = self.make_parser()

    def make_parser(self) -> Any:
        protocol = type('Protocol', (), {})()
        missing: list[str] = []
        names = [*NOTICES, *PIECES, 'on_header']
        if self.random.random() < 0.3:
            missing = self.random.sample(
                names, self.random.choice([1, 3, 8, 9])
            )
        for name in names:
            if name not in missing:
                setattr(protocol, name, self.callback(name))
        make = (
            httptools.HttpRequestParser
            if self.is_request
            else httptools.HttpResponseParser
        )
        parser = make(protocol)
        if self.random.random() < 0.35:
            self.set_leniencies(parser)
        return parser

    def set_leniencies(self, parser: Any) -> None:
        count = self.random.choice([1, 1, 3, 10])
        for name in self.random.sample(LENIENCIES, count):
            given = {f'lenient_{name}': self.random.random() < 0.7}
            parser.set_dangerous_leniencies(**given)

    def callback(self, name: str) -> Any:
        def called(*args: bytes) -> int:
            self.log.append((name, *args))
            if self.asks:
                self.log.append(self.state())
            self.raises_at -= 1
            if self.raises_at == 0:
                raise Wrong(name)
            return 21  # without effect

        return called

    def state(self) -> tuple[Any, ...]:
        parser = self.parser
        first = (
            parser.get_method()
            if self.is_request
            else parser.get_status_code()
        )
        flags = (parser.should_keep_alive(), parser.should_upgrade())
        return first, parser.get_http_version(), *flags

    def run(self) -> list[Any]:
        errors = 0
        for part in self.parts:
            make = self.random.choice([bytes, bytes, bytearray, memoryview])
            self.log.append('feed')
            try:
                self.parser.feed_data(make(part))
            except Exception as error:
                context = error.__context__
                self.log.append((type(error).__name__, error.args))
                self.log.append((type(context).__name__, str(context)))
                errors += 1
                if errors > 2:
                    break
            self.log.append(self.state())
            if self.random.random() < 0.01:
                self.set_leniencies(self.parser)
        return self.log


def url_log(random: Random) -> list[Any]:
    url = messages.url(random)
    try:
        return [url, repr(httptools.parse_url(url))]
    except Exception as error:
        return [url, type(error).__name__, error.args]


def one(seed: int, number: int, urls: bool) -> list[Any]:
    random = Random(f'{seed} {number}')
    if urls:
        return url_log(random)
    connection = Connection(random)
    return [connection.parts, *connection.run()]


def main() -> None:
    parser = argparse.ArgumentParser(prog='python -m fuzz.log')
    parser.add_argument('seed', type=int)
    parser.add_argument('first', type=int)
    parser.add_argument('end', type=int)
    parser.add_argument('--urls', action='store_true')
    parser.add_argument('--show', action='store_true')
    given = parser.parse_args()
    for number in range(given.first, given.end):
        log = repr(one(given.seed, number, given.urls))
        if not given.show:
            log = hashlib.md5(log.encode()).hexdigest()
        sys.stdout.write(log + '\n')


if __name__ == '__main__':
    main()
