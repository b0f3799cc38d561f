"""What is raised: classes, messages, causes, and what comes after."""

from __future__ import annotations

import asyncio
import pickle

import pytest

import httptools
from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
    HttpResponseParser,
)

CHUNKED = (
    b'POST / HTTP/1.1\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n'
    b'1\r\nx\r\n0\r\nC: d\r\nE: f\r\n\r\n'
)
RESPONSE = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'
UPGRADE = b'GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'


class Boom(Exception):
    pass


class Raising:
    """Raises in the n-th call of one callback; the others do nothing."""

    def __init__(self, name: str, exc: BaseException, n: int = 1) -> None:
        self.left = n

        def callback(*args: bytes) -> None:
            self.left -= 1
            if self.left == 0:
                raise exc

        setattr(self, name, callback)


def raising(name: str, exc: BaseException, n: int = 1) -> HttpRequestParser:
    return HttpRequestParser(Raising(name, exc, n))


@pytest.mark.parametrize(
    ('name', 'n', 'message'),
    [
        ('on_message_begin', 1, '`on_message_begin` callback error'),
        ('on_url', 1, '`on_url` callback error'),
        ('on_header', 1, '`on_header_field` callback error'),
        ('on_header', 2, 'User callback error'),
        ('on_headers_complete', 1, 'User callback error'),
        ('on_chunk_header', 1, '`on_chunk_header` callback error'),
        ('on_body', 1, '`on_body` callback error'),
        ('on_chunk_complete', 1, '`on_chunk_complete` callback error'),
        ('on_header', 3, '`on_header_field` callback error'),
        ('on_header', 4, '`on_chunk_complete` callback error'),
        ('on_message_complete', 1, '`on_message_complete` callback error'),
    ],
)
def test_exception_of_a_callback_is_wrapped(
    name: str, n: int, message: str
) -> None:
    boom = Boom()

    with pytest.raises(HttpParserCallbackError) as caught:
        raising(name, boom, n).feed_data(CHUNKED)

    assert caught.value.args == (message,)
    assert caught.value.__cause__ is boom
    assert caught.value.__context__ is boom


def test_exception_of_on_status_is_wrapped() -> None:
    parser = HttpResponseParser(Raising('on_status', Boom()))

    with pytest.raises(HttpParserCallbackError, match='`on_status` callback'):
        parser.feed_data(RESPONSE)


def test_callback_that_cannot_be_called_is_a_callback_error() -> None:
    class Protocol:
        on_url = 5

    with pytest.raises(HttpParserCallbackError) as caught:
        HttpRequestParser(Protocol()).feed_data(CHUNKED)

    assert isinstance(caught.value.__cause__, TypeError)


def test_cause_survives_a_feed_inside_an_except_block() -> None:
    boom = Boom()

    try:
        raise LookupError('outer')
    except LookupError as outer:
        with pytest.raises(HttpParserCallbackError) as caught:
            raising('on_url', boom).feed_data(CHUNKED)

        assert caught.value.__context__ is boom
        assert caught.value.__cause__ is boom
        assert boom.__context__ is outer


def test_parse_error_inside_an_except_block_has_it_as_context() -> None:
    try:
        raise LookupError('outer')
    except LookupError as outer:
        with pytest.raises(HttpParserError) as caught:
            HttpRequestParser(None).feed_data(b'\x00')

        assert caught.value.__context__ is outer


@pytest.mark.parametrize(
    'exc',
    [
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
        asyncio.CancelledError(),
    ],
)
def test_exception_that_is_no_error_passes_through(
    exc: BaseException,
) -> None:
    parser = raising('on_header', exc)

    with pytest.raises(type(exc)) as caught:
        parser.feed_data(CHUNKED)

    assert caught.value is exc
    with pytest.raises(HttpParserCallbackError, match='on_header_field'):
        parser.feed_data(CHUNKED)


def test_error_is_raised_again_by_each_later_feed() -> None:
    begun = []

    class Protocol:
        on_message_begin = staticmethod(lambda: begun.append(1))

    parser = HttpRequestParser(Protocol())
    for data in (b'SPAM / HTTP/1.1', b'GET / HTTP/1.1\r\n\r\n', b''):
        with pytest.raises(httptools.HttpParserInvalidMethodError) as caught:
            parser.feed_data(data)

        assert str(caught.value) == 'Invalid method encountered'
        assert caught.value.__context__ is None

    assert begun == [1]


def test_callback_error_is_raised_again_without_its_cause() -> None:
    parser = raising('on_url', Boom())

    with pytest.raises(HttpParserCallbackError):
        parser.feed_data(CHUNKED)
    with pytest.raises(HttpParserCallbackError) as caught:
        parser.feed_data(b'')

    assert caught.value.args == ('`on_url` callback error',)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_init_recovers_from_an_error() -> None:
    parser = HttpRequestParser(None)
    with pytest.raises(HttpParserError):
        parser.feed_data(b'\x00')

    parser.__init__(None)
    parser.feed_data(CHUNKED)

    assert parser.get_method() == b'POST'


def test_error_tells_code_name_and_offset() -> None:
    parser = HttpRequestParser(None)

    with pytest.raises(HttpParserError) as caught:
        parser.feed_data(b'GET / HTTP/1.1\r\nBad header: x\r\n\r\n')
    error = caught.value

    assert (error.errno, error.name) == (10, 'HPE_INVALID_HEADER_TOKEN')
    assert error.offset == len(b'GET / HTTP/1.1\r\nBad')


def test_offset_counts_from_the_data_being_fed() -> None:
    parser = HttpRequestParser(None)
    parser.feed_data(b'GET / HTTP/1.1\r\nHost: a\r\n')

    with pytest.raises(HttpParserError) as first:
        parser.feed_data(b'B d: x\r\n')
    with pytest.raises(HttpParserError) as again:
        parser.feed_data(b'B d: x\r\n')

    assert first.value.offset == 1
    assert again.value.offset is None
    assert again.value.errno == first.value.errno


def test_callback_error_tells_code_and_name() -> None:
    with pytest.raises(HttpParserCallbackError) as caught:
        raising('on_url', Boom()).feed_data(CHUNKED)

    assert (caught.value.errno, caught.value.name) == (24, 'HPE_USER')


def test_errors_have_the_hierarchy_of_httptools() -> None:
    for name in ('Callback', 'InvalidStatus', 'InvalidMethod', 'InvalidURL'):
        cls = getattr(httptools, f'HttpParser{name}Error')
        assert cls.__bases__ == (HttpParserError,)

    assert HttpParserError.__bases__ == (Exception,)
    assert HttpParserUpgrade.__bases__ == (Exception,)


def test_errors_can_be_pickled() -> None:
    with pytest.raises(HttpParserError) as caught:
        HttpRequestParser(None).feed_data(b'\x00')

    again = pickle.loads(pickle.dumps(caught.value))

    assert type(again) is type(caught.value)
    assert again.args == caught.value.args
    assert again.errno == caught.value.errno


def test_upgrade_tells_where_the_rest_begins() -> None:
    parser = HttpRequestParser(None)

    with pytest.raises(HttpParserUpgrade) as caught:
        parser.feed_data(UPGRADE + b'rest')

    assert caught.value.args == (len(UPGRADE),)


def test_upgrade_offset_is_in_the_last_data() -> None:
    parser = HttpRequestParser(None)
    parser.feed_data(UPGRADE[:-1])

    with pytest.raises(HttpParserUpgrade) as caught:
        parser.feed_data(UPGRADE[-1:] + b'rest')

    assert caught.value.args == (1,)


def test_parser_goes_on_after_an_upgrade() -> None:
    parser = HttpRequestParser(None)

    for _ in range(3):
        with pytest.raises(HttpParserUpgrade):
            parser.feed_data(UPGRADE)


@pytest.mark.parametrize(
    ('parser', 'data', 'message'),
    [
        (
            HttpResponseParser,
            b'HTTP/1.1 101 S\r\n\r\n',
            'Pause on CONNECT/Upgrade',
        ),
        (
            HttpRequestParser,
            b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
            'Pause on PRI/Upgrade',
        ),
    ],
)
def test_other_pauses_are_errors_for_ever(
    parser: type, data: bytes, message: str
) -> None:
    stuck = parser(None)

    for piece in (data, b'', data):
        with pytest.raises(HttpParserError) as caught:
            stuck.feed_data(piece)
        assert caught.value.args == (message,)
