"""Parser cases as data: cases/*.md, their format and how they are run.

A case is a heading, a block of bytes and a block of events::

    ## Name of the case
    ```request lenient_headers
    GET / HTTP/1.1

    ```
    ```events
    on_message_begin
    on_url b'/'
    ...
    ```

The block's first word is the parser to use, the rest are leniencies. Each of
its lines ends in CRLF, also the last, unless it ends in a backslash;
\\r \\n \\t \\xNN \\\\ are escapes. The events are what httptools 0.9.0 does
when fed the bytes whole; the digest is of its events for every other way of
feeding them (see ``ways``). Nobody writes the events by hand: ``record.py``
does, run with httptools 0.9.0.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools

FOLDER = Path(__file__).with_name('cases')
BLOCK = re.compile(
    r'^## (?P<name>.+)\n```(?P<kind>request|response)(?P<flags>.*)\n'
    r'(?P<text>(?:.*\n)*?)```\n(?:```events\n(?P<events>(?:.*\n)*?)```\n)?',
    re.M,
)
ESCAPES = {'r': b'\r', 'n': b'\n', 't': b'\t', '\\': b'\\'}
JOINED = ('on_url', 'on_status', 'on_body')


@dataclass(frozen=True)
class Case:
    name: str
    kind: str
    flags: tuple[str, ...]
    data: bytes
    events: tuple[str, ...] = field(default=(), repr=False)

    @property
    def log(self) -> list[str]:
        """The expected events, without the digest."""
        return [line for line in self.events if not line.startswith('digest')]

    @property
    def ends_well(self) -> bool:
        """Whether feeding it raises nothing."""
        return not any(line.startswith('HttpParser') for line in self.events)


def read_bytes(text: str) -> bytes:
    data = b''
    for line in text.splitlines():
        goes_on = line.endswith('\\') and not line.endswith('\\\\')
        parts = re.split(
            r'\\(x[0-9a-f]{2}|[rnt\\])', line[:-1] if goes_on else line
        )
        for i, part in enumerate(parts):
            if i % 2 == 0:
                data += part.encode('ascii')
            elif part[0] == 'x':
                data += bytes([int(part[1:], 16)])
            else:
                data += ESCAPES[part]
        data += b'' if goes_on else b'\r\n'
    return data


def read_file(path: Path) -> Iterator[Case]:
    for found in BLOCK.finditer(path.read_text()):
        yield Case(
            name=f'{path.stem}: {found["name"]}',
            kind=found['kind'],
            flags=tuple(found['flags'].split()),
            data=read_bytes(found['text']),
            events=tuple((found['events'] or '').splitlines()),
        )


def read_all() -> list[Case]:
    return [
        case
        for path in sorted(FOLDER.glob('*.md'))
        for case in read_file(path)
    ]


class Recorder:
    """A protocol that writes down what is called."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def on_message_begin(self) -> None:
        self.log.append(('on_message_begin',))

    def on_url(self, url: bytes) -> None:
        self.log.append(('on_url', url))

    def on_status(self, status: bytes) -> None:
        self.log.append(('on_status', status))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.log.append(('on_header', name, value))

    def on_headers_complete(self) -> None:
        self.log.append(('on_headers_complete', *self.state()))

    def on_body(self, body: bytes) -> None:
        self.log.append(('on_body', body))

    def on_chunk_header(self) -> None:
        self.log.append(('on_chunk_header',))

    def on_chunk_complete(self) -> None:
        self.log.append(('on_chunk_complete',))

    def on_message_complete(self) -> None:
        self.log.append(('on_message_complete', *self.state()))

    def state(self) -> tuple[Any, ...]:
        parser = self.parser
        if isinstance(parser, httptools.HttpRequestParser):
            first = parser.get_method()
        else:
            first = parser.get_status_code()
        flags = (parser.should_keep_alive(), parser.should_upgrade())
        return first, parser.get_http_version(), flags


def run(case: Case, pieces: Iterable[bytes]) -> list[Any]:
    """Feeds the pieces up to the first exception, returns the events."""
    recorder = Recorder()
    make = {
        'request': httptools.HttpRequestParser,
        'response': httptools.HttpResponseParser,
    }[case.kind]
    parser = make(recorder)
    recorder.parser = parser
    parser.set_dangerous_leniencies(**dict.fromkeys(case.flags, True))
    fed = 0
    try:
        for piece in pieces:
            parser.feed_data(piece)
            fed += len(piece)
    except httptools.HttpParserError as error:
        recorder.log.append((type(error).__name__, *error.args))
    except httptools.HttpParserUpgrade as upgrade:
        recorder.log.append(('HttpParserUpgrade', fed + upgrade.args[0]))
    recorder.log.append(('state', *recorder.state()))
    return recorder.log


def ways(data: bytes) -> Iterator[list[bytes]]:
    """Byte by byte, and cut in two at every place."""
    yield [data[i : i + 1] for i in range(len(data))]
    for i in range(len(data) + 1):
        yield [data[:i], data[i:]]


def lines(log: Iterable[Any]) -> list[str]:
    """The events as they are written in the file."""
    return [
        ' '.join([event[0], *(repr(value) for value in event[1:])])
        for event in log
    ]


def joined(log: Iterable[Any]) -> list[Any]:
    """The events with pieces of one URL, status or body put together."""
    result: list[Any] = []
    for event in log:
        if event[0] not in JOINED:
            result.append(event)
        elif result and result[-1][0] == event[0]:
            result[-1] = (event[0], result[-1][1] + event[1])
        else:
            result.append(event)
    # A piece may be empty, and then stand alone.
    return [event for event in result if event[1:] != (b'',)]


def digest(case: Case) -> str:
    """Of the events for every way of feeding, so that none is forgotten."""
    state = hashlib.sha256()
    for pieces in ways(case.data):
        state.update(repr(lines(run(case, pieces))).encode())
    return f'digest {state.hexdigest()[:32]}'
