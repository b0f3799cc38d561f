"""build_response and build_chunk: nothing in them can split a response."""

from __future__ import annotations

import ctypes
import email.utils
import re
import sys
import time

import pytest

import httptools
from httptools import build_chunk, build_response


def text(*args: object, **options: object) -> bytes:
    return b''.join(build_response(*args, **{'date': False, **options}))


def parsed(data: bytes) -> tuple[object, ...]:
    class Protocol:
        def on_response(self, *args: object) -> None:
            seen.append(args)

        def on_body(self, body: bytes) -> None:
            bodies.append(body)

    seen: list[tuple[object, ...]] = []
    bodies: list[bytes] = []
    parser = httptools.HttpResponseParser(Protocol(), strict=True)
    parser.feed_data(data)
    assert parser.message_complete
    return (*seen[0], b''.join(bodies))


def test_small_response_is_one_buffer() -> None:
    buffers = build_response(
        200, [(b'Content-Type', b'text/plain')], b'Hello', date=False
    )

    assert buffers == [
        b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n'
        b'Content-Length: 5\r\n\r\nHello'
    ]


@pytest.mark.parametrize('hold', [bytes, memoryview, bytes.decode])
def test_a_response_that_is_held_stays_as_it_is(hold: object) -> None:
    held = hold(build_response(200, (), b'a' * 2000, date=False)[0])
    again = build_response(200, (), b'b' * 2000, date=False)[0]

    assert held == hold(text(200, (), b'a' * 2000))
    assert again == text(200, (), b'b' * 2000)


def test_a_response_in_the_memory_of_another_has_its_own_hash() -> None:
    before = hash(build_response(200, (), b'a' * 2000, date=False)[0])
    after = build_response(200, (), b'b' * 1999, date=False)[0]

    assert hash(after) == hash(bytes(bytearray(after))) != before


def test_large_body_is_a_buffer_of_its_own() -> None:
    body = b'x' * 100_000

    buffers = build_response(200, (), body)

    assert len(buffers) == 2
    assert buffers[1] is body


def test_chunks_are_framed_and_not_copied() -> None:
    parts = [b'a' * 300, b'', bytearray(b'b')]

    buffers = build_response(200, (), parts, chunked=True, date=False)

    assert b''.join(buffers) == (
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
        b'12c\r\n' + b'a' * 300 + b'\r\n1\r\nb\r\n'
    )
    assert buffers[2] is parts[0]
    assert b''.join(build_chunk(b'x' * 16)) == b'10\r\n' + b'x' * 16 + b'\r\n'
    assert build_chunk(b'') == []


@pytest.mark.parametrize(
    'body', [b'', b'a', [b'a', b'b' * 20_000], bytearray(b'c'), (b'x', b'y')]
)
def test_what_is_written_is_read(body: object) -> None:
    joined = body if isinstance(body, bytes | bytearray) else b''.join(body)

    read = parsed(
        text(404, [[b'X-Name', b'a\tb \xe9']], body).replace(b'\xe9', b'e')
    )

    assert read[:3] == (404, b'Not Found', '1.1')
    assert read[3] == [
        (b'X-Name', b'a\tb e'),
        (b'Content-Length', b'%d' % len(joined)),
    ]
    assert read[-1] == joined


@pytest.mark.parametrize('status', [100, 101, 204, 304])
def test_bodiless_status_has_no_length(status: int) -> None:
    assert b'Content-Length' not in text(status, (), b'')
    with pytest.raises(ValueError, match='no body'):
        text(status, (), b'a')


def test_no_body_leaves_the_framing_to_the_headers() -> None:
    assert text(200, [(b'Content-Length', b'5')]).endswith(
        b'\r\nContent-Length: 5\r\n\r\n'
    )
    for name in (b'content-length', b'Transfer-Encoding'):
        with pytest.raises(ValueError, match='from the body'):
            text(200, [(name, b'5')], b'hello')


@pytest.mark.parametrize(
    ('status', 'reason'),
    [
        (200, b'OK'),
        (404, b'Not Found'),
        (500, b'Internal Server Error'),
        (299, b'Miscellaneous Persistent Warning'),
        (777, b''),
    ],
)
def test_reason(status: int, reason: bytes) -> None:
    assert text(status).startswith(b'HTTP/1.1 %d %s\r\n' % (status, reason))
    assert text(status, reason=b'Mine') == b'HTTP/1.1 %d Mine\r\n\r\n' % status


def test_every_status_has_a_line() -> None:
    for status in range(100, 1000):
        line = text(status).partition(b'\r\n')[0]

        assert re.fullmatch(rb"HTTP/1\.1 %d [\w' -]*" % status, line)


BAD_VALUES = [b'a\r\nX: y', b'a\n', b'\r', b'a\0b', b'\x7f', b'\x01']


@pytest.mark.parametrize('value', BAD_VALUES)
def test_no_value_can_split_a_response(value: bytes) -> None:
    with pytest.raises(ValueError, match='invalid header value'):
        text(200, [(b'A', value)])
    with pytest.raises(ValueError, match='invalid reason'):
        text(200, reason=value)


@pytest.mark.parametrize(
    'name', [b'', b'a b', b'a:', b'a\r\n', b'\xe9', b'a\0', b'(a)']
)
def test_no_name_can_split_a_response(name: bytes) -> None:
    with pytest.raises(ValueError, match='invalid header name'):
        text(200, [(name, b'x')])


NAME_BYTES = frozenset(
    b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
    b'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
)
VALUE_BYTES = frozenset(range(256)) - frozenset(range(32)) - {127} | {9}


@pytest.mark.parametrize('size', [1, 7, 8, 9, 15, 16, 17, 24, 25, 33])
def test_a_byte_is_judged_alike_wherever_it_stands(size: int) -> None:
    for at in range(size):
        for byte in range(256):
            token = b'a' * at + bytes([byte]) + b'a' * (size - at - 1)
            for header, good in (
                ((token, b'v'), NAME_BYTES),
                ((b'n', token), VALUE_BYTES),
            ):
                try:
                    build_response(200, (header,))
                    accepted = True
                except ValueError:
                    accepted = False
                assert accepted == (byte in good), (header, at)


@pytest.mark.parametrize(
    'call',
    [
        lambda: text(),
        lambda: text('200'),
        lambda: text(200, [('A', b'x')]),
        lambda: text(200, [(b'A', 'x')]),
        lambda: text(200, [(b'A', b'x', b'y')]),
        lambda: text(200, [b'AB']),
        lambda: text(200, 5),
        lambda: text(200, (), 'body'),
        lambda: text(200, (), ['body']),
        lambda: text(200, date=1),
        lambda: text(200, reason='OK'),
        lambda: build_chunk('x'),
    ],
)
def test_wrong_arguments_are_type_errors(call: object) -> None:
    with pytest.raises(TypeError):
        call()


@pytest.mark.parametrize('status', [99, 1000, -1])
def test_wrong_status_is_a_value_error(status: int) -> None:
    with pytest.raises(ValueError, match='100 to 999'):
        text(status)


@pytest.mark.parametrize('count', [2, 4])
@pytest.mark.parametrize('chunked', [False, True])
def test_body_without_a_size_is_an_overflow_error(
    chunked: bool, count: int
) -> None:
    """Nobody reads it: an array may say that it is of any size."""
    byte = ctypes.c_char()
    half = ctypes.c_char * (sys.maxsize // 2 + 1)
    part = half.from_address(ctypes.addressof(byte))

    with pytest.raises(OverflowError, match='too large'):
        build_response(200, (), [part] * count, chunked=chunked)


def test_date_is_now_and_not_twice() -> None:
    for _ in range(3):
        before = int(time.time())
        headers = dict(parsed(text(200, (), b'', date=True))[3])
        date = email.utils.parsedate_to_datetime(headers[b'Date'].decode())
        assert before <= date.timestamp() <= time.time()
        assert headers[b'Date'].decode() == email.utils.formatdate(
            date.timestamp(), usegmt=True
        )

    assert text(200, [(b'date', b'x')], date=True).count(b'ate:') == 1
