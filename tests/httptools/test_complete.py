"""What a parser tells beside its callbacks, and how it ends."""

from __future__ import annotations

import pytest
from httptools_cases import ways

from httptools import (
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
    HttpResponseParser,
)

GET = b'GET /a HTTP/1.1\r\nHost: h\r\n\r\n'


class Log:
    def __init__(self) -> None:
        self.log: list[object] = []

    def on_body(self, body: bytes) -> None:
        self.log.append(body)

    def on_message_complete(self) -> None:
        self.log.append('complete')


def test_eof_completes_a_response_without_length() -> None:
    log = Log()
    parser = HttpResponseParser(log)
    parser.feed_data(b'HTTP/1.1 200 OK\r\n\r\nbody')
    assert not parser.message_complete

    parser.feed_eof()

    assert log.log == [b'body', 'complete']
    assert parser.message_complete


@pytest.mark.parametrize(
    'data',
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc',
        b'HTTP/1.1 200 OK\r\nA: b\r\n',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n',
    ],
)
def test_eof_inside_a_message_is_an_error(data: bytes) -> None:
    parser = HttpResponseParser(None)
    parser.feed_data(data)

    for _ in range(2):
        with pytest.raises(HttpParserError) as caught:
            parser.feed_eof()
        assert caught.value.name == 'HPE_INVALID_EOF_STATE'


def test_eof_between_messages_is_fine() -> None:
    parser = HttpRequestParser(None)
    parser.feed_eof()
    parser.reset()
    parser.feed_data(GET)

    parser.feed_eof()

    with pytest.raises(HttpParserError, match='Data after the end'):
        parser.feed_data(GET)


def test_reset_starts_afresh_and_keeps_what_was_set() -> None:
    log = Log()
    parser = HttpResponseParser(log, max_body=3)
    parser.set_dangerous_leniencies(lenient_version=True)
    with pytest.raises(HttpParserError):
        parser.feed_data(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n')

    parser.reset()
    parser.feed_data(b'HTTP/7.3 200 OK\r\nContent-Length: 3\r\n\r\nabc')

    assert log.log == [b'abc', 'complete']
    with pytest.raises(HttpParserError):
        parser.feed_data(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n')


def test_reset_inside_a_callback_is_a_runtime_error() -> None:
    class Protocol:
        def on_url(self, url: bytes) -> None:
            parser.reset()

    parser = HttpRequestParser(Protocol())
    with pytest.raises(HttpParserError) as caught:
        parser.feed_data(GET)

    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize('size', [1, 1000])
def test_skip_body_is_for_the_next_final_response(size: int) -> None:
    log = Log()
    parser = HttpResponseParser(log)
    data = (
        b'HTTP/1.1 100 Continue\r\n\r\n'
        b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'
        b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab'
    )

    parser.skip_body()
    for i in range(0, len(data), size):
        parser.feed_data(data[i : i + size])

    assert log.log[:2] == ['complete', 'complete']
    assert b''.join(log.log[2:-1]) == b'ab'


def test_skip_body_in_on_headers_complete() -> None:
    class Protocol(Log):
        def on_headers_complete(self) -> None:
            parser.skip_body()

    log = Protocol()
    parser = HttpResponseParser(log)
    parser.feed_data(
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
        b'HTTP/1.1 200 OK\r\n\r\n'
    )

    assert log.log == ['complete', 'complete']


def test_keep_alive_stays_after_the_message() -> None:
    for line, expected in ((b'', True), (b'Connection: close\r\n', False)):
        parser = HttpRequestParser(None)
        parser.feed_data(b'GET / HTTP/1.1\r\n' + line + b'\r\n')
        assert parser.keep_alive is expected
        response = HttpResponseParser(None)
        response.feed_data(
            b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n' + line + b'\r\n'
        )
        assert response.keep_alive is expected


def test_content_length() -> None:
    parser = HttpRequestParser(None)
    assert parser.content_length is None
    parser.feed_data(b'GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab')
    assert parser.content_length == 3
    parser.feed_data(b'c' + GET)
    assert parser.content_length is None


@pytest.mark.parametrize('size', [1, 1000])
def test_chunk_sizes_and_extensions(size: int) -> None:
    seen = []

    class Protocol:
        def on_chunk_header(self) -> None:
            seen.append((parser.chunk_size, parser.chunk_extensions))

    parser = HttpRequestParser(Protocol())
    data = (
        b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n'
        b'3;name=value;flag;q="a;b"\r\nabc\r\n1\r\na\r\n0;end\r\n\r\n'
    )
    for i in range(0, len(data), size):
        parser.feed_data(data[i : i + size])

    assert seen == [(3, b'name=value;flag;q="a;b"'), (1, b''), (0, b'end')]


def test_consumed_counts_all_that_was_parsed() -> None:
    parser = HttpRequestParser(None)
    parser.feed_data(GET)
    parser.feed_data(b'GE')
    assert parser.consumed == len(GET) + 2

    with pytest.raises(HttpParserError) as caught:
        parser.feed_data(b'T\0')
    assert parser.consumed == len(GET) + 2 + caught.value.offset


def test_message_complete() -> None:
    parser = HttpRequestParser(None)
    assert parser.message_complete
    parser.feed_data(GET[:9])
    assert not parser.message_complete
    parser.feed_data(GET[9:])
    assert parser.message_complete


def test_trailers_have_a_callback_of_their_own() -> None:
    log = []

    class Protocol:
        def on_header(self, name: bytes, value: bytes) -> None:
            log.append(('header', name, value))

        def on_trailer(self, name: bytes, value: bytes) -> None:
            log.append(('trailer', name, value))

    HttpRequestParser(Protocol()).feed_data(
        b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n'
        b'0\r\nHost: evil\r\nX: y\r\n\r\n'
    )

    assert log == [
        ('header', b'Transfer-Encoding', b'chunked'),
        ('trailer', b'Host', b'evil'),
        ('trailer', b'X', b'y'),
    ]


def test_header_value_relaxed_is_the_last_leniency() -> None:
    parser = HttpRequestParser(None)
    parser.set_dangerous_leniencies(*[None] * 10, True)

    parser.feed_data(b'GET / HTTP/1.1\r\nA: a\x01b\r\n\r\n')


RELAXED = {'lenient_header_value_relaxed': True}


@pytest.mark.parametrize(
    'lines',
    [b'A:\0', b'A: a\0b', b'Connection: close\0', b'\r\n0\r\nA: \0'],
)
def test_relaxed_header_value_holds_no_nul(lines: bytes) -> None:
    """llhttp by itself would look at the NUL again for ever."""
    head = b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n'

    for pieces in ways(head + lines + b'\r\n\r\n'):
        parser = HttpRequestParser(None)
        parser.set_dangerous_leniencies(**RELAXED)
        with pytest.raises(HttpParserError) as caught:
            for piece in pieces:
                parser.feed_data(piece)
        assert caught.value.args == ('Invalid header value char',)


def test_relaxed_header_values_leave_the_nuls_of_bodies_alone() -> None:
    data = (
        b'POST / HTTP/1.1\r\nA: \x01\r\nContent-Length: 4\r\n\r\n\0a\0\0'
        b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n'
        b'3\r\n\0\0b\r\n0\r\nA: \x01\r\n\r\n'
    )

    for pieces in ways(data):
        log = Log()
        parser = HttpRequestParser(log)
        parser.set_dangerous_leniencies(**RELAXED)
        for piece in pieces:
            parser.feed_data(piece)
        parts = [part for part in log.log if part != 'complete']
        assert b''.join(parts) == b'\0a\0\0\0\0b'


def test_relaxed_header_values_begin_and_end_with_a_feed() -> None:
    class Protocol:
        def on_message_begin(self) -> None:
            parser.set_dangerous_leniencies(**RELAXED)

    parser = HttpRequestParser(Protocol())

    with pytest.raises(HttpParserError):
        parser.feed_data(b'GET / HTTP/1.1\r\nA: a\0b\r\n\r\n')


H2C = (
    b'POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n'
    b'Content-Length: 5\r\n\r\nhello'
)


def test_other_upgrades_than_those_of_the_policy_have_a_body() -> None:
    log = Log()
    parser = HttpRequestParser(log, upgrades=[b'websocket'])

    parser.feed_data(H2C[:-5])
    parser.feed_data(H2C[-5:])

    assert log.log == [b'hello', 'complete']
    assert not parser.should_upgrade()


@pytest.mark.parametrize('value', [b'WebSocket', b'h2c, websocket/13', b'x'])
def test_upgrades_of_the_policy_stop_the_parser(value: bytes) -> None:
    parser = HttpRequestParser(None, upgrades=(b'websocket', b'X'))

    with pytest.raises(HttpParserUpgrade):
        parser.feed_data(
            b'GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: '
            + value
            + b'\r\n\r\n'
        )


def test_connect_always_stops_the_parser() -> None:
    with pytest.raises(HttpParserUpgrade):
        HttpRequestParser(None, upgrades=()).feed_data(
            b'CONNECT a:1 HTTP/1.1\r\n\r\n'
        )


def test_class_derived_from_a_parser_may_use_the_names() -> None:
    class Server(HttpRequestParser):
        def __init__(self) -> None:
            super().__init__(self)
            self.keep_alive = 'mine'

    server = Server()
    assert server.keep_alive == 'mine'
    del server.keep_alive
    assert server.keep_alive is False
    with pytest.raises(AttributeError, match='not writable'):
        HttpRequestParser(None).keep_alive = True
