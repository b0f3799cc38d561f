"""Ordinary heads are found by scan.c: whatever happens is what llhttp does.

A parser with a leniency has llhttp look at each head, and this one makes no
difference to any head: so each test compares a parser that has it with one
that has not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import httptools

HEAD = (
    b'POST /a/b?c=d HTTP/1.1\r\nHost: example.org\r\nA: b\r\n'
    b'Connection: keep-alive\r\nX-Long: ' + b'v' * 40 + b'\r\n'
    b'Content-Length: 3\r\n\r\nxyz'
)
NAMES = (
    *('on_message_begin', 'on_url', 'on_header', 'on_headers_complete'),
    *('on_body', 'on_message_complete'),
)


class Log:
    """Joins the pieces of what is told, and acts in one of the calls."""

    def __init__(self, act: Callable[[Log], None] | None = None, at: int = 0):
        self.told: list[tuple[Any, ...]] = []
        self.parser: Any = None
        self.act = act
        self.left = at
        for name in NAMES:
            setattr(self, name, self._make(name))

    def _make(self, name: str) -> Callable[..., None]:
        def method(*args: Any) -> None:
            if not args or args[0] or name == 'on_header':
                self._tell(name, args)

        return method

    def _tell(self, name: str, args: tuple[Any, ...]) -> None:
        parser = self.parser
        state = (
            *(parser.get_method(), parser.get_http_version()),
            *(parser.should_keep_alive(), parser.should_upgrade()),
        )
        if name in ('on_url', 'on_body') and self.told[-1][0] == name:
            args = (self.told.pop()[1] + args[0],)
        self.told.append((name, *args, state))
        self.left -= 1
        if self.left == 0 and self.act is not None:
            self.act(self)


def told(data: bytes, log: Log, scans: bool, **options: Any) -> list[Any]:
    """All that can be known of the parser that was fed data, in the end."""
    log.parser = parser = httptools.HttpRequestParser(log, **options)
    if not scans:
        parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
    end: tuple[Any, ...] = ()
    try:
        parser.feed_data(data)
    except httptools.HttpParserError as error:
        end = (type(error), str(error), error.name, error.offset)
        end += (repr(error.__cause__),)
    except httptools.HttpParserUpgrade as upgrade:
        end = (upgrade.args, upgrade.rest)
    return [*log.told, end, *state_of(parser)]


def state_of(parser: Any) -> list[Any]:
    return [
        *(parser.consumed, parser.message_complete, parser.keep_alive),
        *(parser.content_length, parser.paused, parser.get_method()),
        *(parser.get_http_version(), parser.should_keep_alive()),
    ]


def assert_same(data: bytes, **options: Any) -> None:
    by_scan = told(data, Log(), True, **options)

    assert by_scan == told(data, Log(), False, **options)


@pytest.mark.parametrize('options', [{}, {'strict': True}], ids=['', 'strict'])
@pytest.mark.parametrize('place', [b'/a/b', b'c=d', b'Host', b'vvv', b'org'])
def test_any_byte_in_any_part(place: bytes, options: dict[str, bool]) -> None:
    for byte in range(256):
        one = bytes([byte])
        for changed in (place[:1] + one + place[2:], place + one):
            assert_same(HEAD.replace(place, changed, 1), **options)


@pytest.mark.parametrize('size', [*range(12, 20), *range(28, 36), 100])
@pytest.mark.parametrize('byte', [b'\x00', b'\t', b'\x7f', b'\n', b'\xff'])
def test_a_byte_anywhere_in_a_long_value(size: int, byte: bytes) -> None:
    for at in range(size):
        value = b'v' * at + byte + b'v' * (size - at)

        assert_same(HEAD.replace(b'v' * 40, value), strict=True)


@pytest.mark.parametrize(
    'line',
    [
        *(b'A: ', b'A:b', b'A:  b', b'A:\tb', b'A: b ', b'A: b\t', b': b'),
        *(b'A : b', b' A: b', b'A', b'A: b\r\n c', b'Upgrade: x', b'TE: x'),
        *(b'Connection: close', b'connection: Keep-Alive', b'Connection: x'),
        *(b'Connection: keep-alive, x', b'Proxy-Connection: close'),
        *(b'Transfer-Encoding: chunked', b'Content-Length: 3'),
        *(b'Content-Length: 99999999999999999999', b'Connectiom: close'),
        *(b'Upgrade: x\r\nConnection: upgrade', b'Expect: 100-continue'),
    ],
)
def test_a_line_that_is_not_quite_ordinary(line: bytes) -> None:
    for options in ({}, {'strict': True}):
        assert_same(HEAD.replace(b'A: b', line), **options)


@pytest.mark.parametrize(
    'start',
    [
        *(b'GET / HTTP/1.1', b'GET  / HTTP/1.1', b'GET /  HTTP/1.1'),
        *(b'GET / HTTP/1.0', b'GET / HTTP/1.2', b'GET / HTTP/2.0', b'GET /'),
        *(b'GET / HTTP/1.1 ', b'GET * HTTP/1.1', b'get / HTTP/1.1'),
        *(
            b'GET http://h/ HTTP/1.1',
            b'CONNECT /a HTTP/1.1',
            b'PUT / RTSP/1.0',
        ),
        *(b'PATCH / HTTP/1.1', b'DELETE /#a HTTP/1.1', b'OPTIONS /? HTTP/1.1'),
        *(
            b'HEAD / HTTP/1.1',
            b'PRI * HTTP/2.0',
            b'G',
            b'',
            b'\r\nGET / HTTP/1.1',
        ),
    ],
)
def test_a_start_line_of_any_kind(start: bytes) -> None:
    rest = HEAD[HEAD.index(b'\r\n') :]

    for options in ({}, {'strict': True}):
        assert_same(start + rest, **options)
        assert_same(HEAD + start + rest, **options)


@pytest.mark.parametrize(
    'limit', ['head', 'url', 'headers', 'header_name', 'header_value', 'body']
)
def test_every_limit_is_met_at_the_same_byte(limit: str) -> None:
    for most in range(len(HEAD) + 1):
        assert_same(b'\r\n' + HEAD + HEAD, **{f'max_{limit}': most})


def fail(log: Log) -> None:
    raise ValueError(log.told[-1])


def pause(log: Log) -> None:
    log.parser.pause()


def calls() -> int:
    log = Log()
    told(HEAD, log, False)
    return len(log.told)


@pytest.mark.parametrize('strict', [False, True])
@pytest.mark.parametrize('at', range(1, 2 * calls() + 1))
def test_a_callback_may_raise_in_any_call(at: int, strict: bool) -> None:
    by_scan, by_llhttp = Log(fail, at), Log(fail, at)

    result = told(HEAD * 2, by_scan, True, strict=strict)

    assert result == told(HEAD * 2, by_llhttp, False, strict=strict)
    with pytest.raises(httptools.HttpParserCallbackError):
        by_scan.parser.feed_data(b'')


@pytest.mark.parametrize('strict', [False, True])
@pytest.mark.parametrize('at', range(1, 2 * calls() + 1))
def test_a_callback_may_pause_in_any_call(at: int, strict: bool) -> None:
    by_scan, by_llhttp = Log(pause, at), Log(pause, at)

    result = told(HEAD * 2, by_scan, True, strict=strict)

    assert result == told(HEAD * 2, by_llhttp, False, strict=strict)
    by_scan.parser.resume()
    by_llhttp.parser.resume()
    assert by_scan.told == by_llhttp.told
    assert state_of(by_scan.parser) == state_of(by_llhttp.parser)


def test_a_large_head_goes_on_after_a_pause_in_it() -> None:
    head = HEAD.replace(b'v' * 40, b'v' * 70_000)
    log = Log(pause, 4)
    told(head, log, True)

    log.parser.resume()

    assert log.told[-1][0] == 'on_message_complete'


HEADERS_COMPLETE = 8  # the call
LINES = b'\r\n' * (len(HEAD) // 2) + b'\r\n'[: len(HEAD) % 2]
FEWER = (
    b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n'
).ljust(len(HEAD), b'0')


@pytest.mark.parametrize('new', [LINES, b'?' * len(HEAD), FEWER])
@pytest.mark.parametrize(
    ('act', 'cause'), [(fail, ValueError), (pause, RuntimeError)]
)
def test_a_head_that_a_callback_writes_over_is_an_error(
    act: Callable[[Log], None], cause: type[Exception], new: bytes
) -> None:
    data = bytearray(HEAD)

    def change(log: Log) -> None:
        data[:] = new
        act(log)

    log = Log(change, HEADERS_COMPLETE)
    log.parser = httptools.HttpRequestParser(log)
    with pytest.raises(httptools.HttpParserCallbackError) as caught:
        log.parser.feed_data(data)

    assert type(caught.value.__cause__) is cause
    assert not log.parser.paused
    log.parser.reset()
    log.told.clear()
    log.parser.feed_data(HEAD)
    assert len(log.told) == calls()


class Batch:
    def __init__(self) -> None:
        self.heads: list[Any] = []

    def on_request(self, *head: Any) -> None:
        self.heads.append(head)


@pytest.mark.parametrize('count', [0, 1, 16, 63, 64, 65, 200])
def test_any_number_of_headers(count: int) -> None:
    head = b'GET / HTTP/1.1\r\n'
    head += b''.join(b'N%d: v%d\r\n' % (i, i) for i in range(count)) + b'\r\n'
    batch = Batch()

    httptools.HttpRequestParser(batch).feed_data(head * 3)

    headers = [(b'N%d' % i, b'v%d' % i) for i in range(count)]
    flags = httptools.KEEP_ALIVE
    assert batch.heads == [(b'GET', b'/', '1.1', headers, flags)] * 3


def test_heads_of_two_buffers_and_a_cut_one() -> None:
    batch = Batch()
    parser = httptools.HttpRequestParser(batch)

    for cut in range(len(HEAD)):
        parser.feed_data(HEAD + HEAD[:cut])
        parser.feed_data(HEAD[cut:] + HEAD)

    assert len(batch.heads) == 3 * len(HEAD)
    assert all(head == batch.heads[0] for head in batch.heads)
