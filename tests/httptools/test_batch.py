"""on_request, on_response, on_trailers: one call a head."""

from __future__ import annotations

from unittest import mock

import pytest
from httptools_cases import Case, read_all, ways

import httptools
from httptools import HttpRequestParser, HttpResponseParser

HEAD = (
    b'POST /a?b HTTP/1.1\r\nHost: h\r\nX-Odd: a b \t\r\n'
    b'Content-Length: 2\r\nExpect: 100-Continue\r\n\r\n'
)


class Batch:
    """Writes down what is called."""

    def __init__(self) -> None:
        self.log: list[tuple[object, ...]] = []

    def on_request(self, *args: object) -> None:
        self.log.append(('on_request', *args))

    def on_response(self, *args: object) -> None:
        self.log.append(('on_response', *args))

    def on_trailers(self, trailers: list[tuple[bytes, bytes]]) -> None:
        self.log.append(('on_trailers', trailers))

    def on_body(self, body: bytes) -> None:
        if self.log and self.log[-1][0] == 'on_body':
            body = self.log.pop()[1] + body
        self.log.append(('on_body', body))

    def on_message_complete(self) -> None:
        self.log.append(('on_message_complete',))


class Everything(Batch):
    """And all callbacks that tell of no head."""

    def on_message_begin(self) -> None:
        self.log.append(('on_message_begin',))

    def on_headers_complete(self) -> None:
        self.log.append(('on_headers_complete',))

    def on_chunk_header(self) -> None:
        self.log.append(('on_chunk_header',))

    def on_chunk_complete(self) -> None:
        self.log.append(('on_chunk_complete',))


def run(
    case: Case,
    pieces: list[bytes],
    make_batch: type[Batch] = Batch,
    **options: object,
) -> list[object]:
    make = {
        'request': HttpRequestParser,
        'response': HttpResponseParser,
    }[case.kind]
    batch = make_batch()
    parser = make(batch, **options)
    parser.set_dangerous_leniencies(**dict.fromkeys(case.flags, True))
    try:
        for piece in pieces:
            parser.feed_data(piece)
    except httptools.HttpParserError as error:
        batch.log.append((type(error), str(error), error.name))
    except httptools.HttpParserUpgrade:
        batch.log.append(('upgrade', parser.consumed))
    return batch.log


def test_request_is_one_call() -> None:
    batch = Batch()

    HttpRequestParser(batch).feed_data(HEAD)

    assert batch.log == [
        (
            'on_request',
            b'POST',
            b'/a?b',
            '1.1',
            [
                (b'Host', b'h'),
                (b'X-Odd', b'a b \t'),
                (b'Content-Length', b'2'),
                (b'Expect', b'100-Continue'),
            ],
            httptools.KEEP_ALIVE | httptools.HAS_BODY | httptools.EXPECT_100,
        )
    ]


def test_names_in_lower_case_and_values_stripped() -> None:
    batch = Batch()

    HttpRequestParser(batch, header_names='lower', strip_ows=True).feed_data(
        HEAD
    )

    assert batch.log[0][4][:3] == [
        (b'host', b'h'),
        (b'x-odd', b'a b'),
        (b'content-length', b'2'),
    ]


@pytest.mark.parametrize('name', [b'HOST', b'x-' + b'A' * 80, b'X-Odd'])
def test_any_name_is_lowered(name: bytes) -> None:
    batch = Batch()

    HttpRequestParser(batch, header_names='lower').feed_data(
        b'GET / HTTP/1.1\r\n' + name + b': A\r\n\r\n'
    )

    assert batch.log[0][4] == [(name.lower(), b'A')]


@pytest.mark.parametrize(
    ('data', 'flags'),
    [
        (b'GET / HTTP/1.1\r\n\r\n', httptools.KEEP_ALIVE),
        (b'GET / HTTP/1.0\r\n\r\n', 0),
        (b'GET / HTTP/1.1\r\nConnection: close\r\n\r\n', 0),
        (
            b'GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n',
            httptools.KEEP_ALIVE | httptools.CHUNKED | httptools.HAS_BODY,
        ),
        (
            b'GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n',
            httptools.KEEP_ALIVE,
        ),
    ],
)
def test_flags_tell_about_the_message(data: bytes, flags: int) -> None:
    batch = Batch()

    HttpRequestParser(batch).feed_data(data)

    assert batch.log[0][5] == flags


def test_upgrade_is_a_flag() -> None:
    batch = Batch()

    with pytest.raises(httptools.HttpParserUpgrade):
        HttpRequestParser(batch).feed_data(
            b'GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'
        )

    assert batch.log[0][5] & httptools.UPGRADE


def test_target_may_be_empty() -> None:
    protocol = Batch()
    with pytest.raises(httptools.HttpParserUpgrade):
        HttpRequestParser(protocol).feed_data(b'CONNECT \r\nHost: h\r\n\r\n')
    headers = [(b'Host', b'h')]
    assert protocol.log[0] == (
        *('on_request', b'CONNECT', b'', '0.9', headers),
        httptools.UPGRADE,
    )


def test_response_is_one_call() -> None:
    batch = Batch()

    HttpResponseParser(batch).feed_data(
        b'HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\nall'
    )

    assert batch.log == [
        (
            'on_response',
            404,
            b'Not Found',
            '1.0',
            [(b'Server', b'x')],
            httptools.HAS_BODY,
        ),
        ('on_body', b'all'),
    ]


def test_trailers_are_apart() -> None:
    batch = Batch()

    HttpRequestParser(batch).feed_data(
        b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n'
        b'1\r\na\r\n0\r\nHost: evil\r\nX: y\r\n\r\n'
    )

    assert batch.log[0][4] == [(b'Transfer-Encoding', b'chunked')]
    assert batch.log[1:] == [
        ('on_body', b'a'),
        ('on_trailers', [(b'Host', b'evil'), (b'X', b'y')]),
        ('on_message_complete',),
    ]


@pytest.mark.parametrize('count', [0, 1, 31, 32, 33, 1000])
def test_any_number_of_headers(count: int) -> None:
    headers = [(b'X-%d' % i, b'%d' % i) for i in range(count)]
    lines = b''.join(b'%s: %s\r\n' % header for header in headers)
    batch = Batch()
    parser = HttpRequestParser(batch)

    for _ in range(3):
        parser.feed_data(b'GET / HTTP/1.1\r\n' + lines + b'\r\n')

    assert [e[4] for e in batch.log if e[0] == 'on_request'] == [headers] * 3


def test_heads_that_differ_do_not_mix() -> None:
    batch = Batch()
    parser = HttpRequestParser(batch)
    expected = []
    for i in range(200):
        headers = [
            (b'Host', b'h'),
            *([(b'Cookie', b'c' * (i * 37 % 1000))] if i % 3 else []),
            (b'X-Number', b'%d' % (i // 5)),
            (b'accept', b'*/*'),
        ]
        lines = b''.join(b'%s: %s\r\n' % header for header in headers)
        parser.feed_data(b'GET / HTTP/1.1\r\n' + lines + b'\r\n')
        expected.append(headers)

    assert [e[4] for e in batch.log if e[0] == 'on_request'] == expected


def test_what_a_protocol_keeps_stays_as_it_was() -> None:
    class Keeper:
        def on_request(self, *args: object) -> None:
            pairs = args[3]
            kept.append([args[1], *pairs[:2], pairs[2][1], {pairs[3]}])

    kept: list[list[object]] = []
    parser = HttpRequestParser(Keeper())
    for i in range(10, 50):
        parser.feed_data(
            b'GET /%d HTTP/1.1\r\nA: a%d\r\nX-B: b%d\r\nX-C: c%d\r\n'
            b'X-D: d%d\r\n\r\n' % (i, i, i, i, i)
        )

    assert kept == [
        [b'/%d' % i, (b'A', b'a%d' % i), (b'X-B', b'b%d' % i)]
        + [b'c%d' % i, {(b'X-D', b'd%d' % i)}]
        for i in range(10, 50)
    ]


def test_what_is_used_again_forgets_its_hash() -> None:
    class Hasher:
        def on_request(self, *args: object) -> None:
            (pair,) = args[3]
            hashes.append([hash(args[1]), hash(pair), hash(pair[1])])

    hashes: list[list[int]] = []
    parser = HttpRequestParser(Hasher())
    values = [b'/value-%d' % i for i in range(10)]
    for value in values:
        parser.feed_data(b'GET %b HTTP/1.1\r\nX: %b\r\n\r\n' % (value, value))

    assert hashes == [[hash(v), hash((b'X', v)), hash(v)] for v in values]


def test_second_init_forgets_the_names_of_the_first() -> None:
    batch = Batch()
    parser = HttpRequestParser(batch)
    parser.feed_data(HEAD)

    parser.__init__(batch, header_names='lower')
    parser.feed_data(HEAD)

    assert batch.log[-1][4][0] == (b'host', b'h')


def test_list_is_the_protocols_own() -> None:
    batch = Batch()
    parser = HttpRequestParser(batch)

    for _ in range(2):
        parser.feed_data(HEAD + b'ab')
        batch.log[-3][4].clear()
    parser.feed_data(HEAD)

    assert len(batch.log[-1][4]) == 4


@pytest.mark.parametrize(
    'options', [{}, {'strict': True}], ids=['plain', 'strict']
)
def test_any_way_of_cutting_gives_the_same_events(options: object) -> None:
    for case in read_all():
        whole = run(case, [case.data], Everything, **options)

        for pieces in ways(case.data):
            events = run(case, pieces, Everything, **options)
            assert events == whole, (case.name, pieces)


def test_batch_gathers_what_the_classic_callbacks_tell() -> None:
    class Classic:
        def on_message_begin(self) -> None:
            self.url, self.headers = b'', []

        def on_url(self, url: bytes) -> None:
            self.url += url

        def on_header(self, name: bytes, value: bytes) -> None:
            self.headers.append((name, value))

        def on_headers_complete(self) -> None:
            log.append((self.url, list(self.headers)))

    for case in read_all():
        if case.kind == 'request' and case.ends_well:
            log: list[object] = []
            parser = HttpRequestParser(Classic())
            parser.set_dangerous_leniencies(**dict.fromkeys(case.flags, True))
            parser.feed_data(case.data)
            heads = [e for e in run(case, [case.data]) if len(e) == 6]
            assert [(e[2], e[4]) for e in heads] == log, case.name


def test_mock_is_no_batch_protocol() -> None:
    protocol = mock.Mock()

    HttpRequestParser(protocol).feed_data(HEAD)

    assert protocol.on_header.call_count == 4
    assert not protocol.on_request.called


def test_message_that_cannot_be_framed_is_not_reported() -> None:
    batch = Batch()

    with pytest.raises(httptools.HttpParserError):
        HttpRequestParser(batch).feed_data(
            b'GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n'
        )

    assert batch.log == []


def test_classic_callbacks_of_the_head_are_not_called_beside() -> None:
    class Both(Batch):
        def on_url(self, url: bytes) -> None:
            self.log.append(('on_url',))

        def on_header(self, name: bytes, value: bytes) -> None:
            self.log.append(('on_header',))

        def on_headers_complete(self) -> None:
            self.log.append(('on_headers_complete',))

    both = Both()
    HttpRequestParser(both).feed_data(HEAD)

    assert [e[0] for e in both.log] == ['on_request', 'on_headers_complete']


def test_error_in_on_request_is_the_cause() -> None:
    class Wrong:
        def on_request(self, *args: object) -> None:
            raise LookupError('no')

    with pytest.raises(httptools.HttpParserCallbackError) as caught:
        HttpRequestParser(Wrong()).feed_data(HEAD)

    assert isinstance(caught.value.__cause__, LookupError)
    assert caught.value.status == 500
