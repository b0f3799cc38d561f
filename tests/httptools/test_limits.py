"""Limits and strict switches; each row of what is known to be sent."""

from __future__ import annotations

import pytest
from httptools_cases import Case, Recorder, joined, read_all, ways

import httptools
from httptools import (
    HttpParserError,
    HttpParserLimitError,
    HttpParserUpgrade,
    HttpRequestParser,
    HttpResponseParser,
)


def outcome(data: bytes, **options: object) -> str:
    """'' if a request is accepted, else the error's name."""
    try:
        HttpRequestParser(None, **options).feed_data(data)
    except HttpParserError as error:
        return error.name or ''
    except HttpParserUpgrade:
        return 'upgrade'
    return ''


def request(*lines: bytes, first: bytes = b'GET / HTTP/1.1') -> bytes:
    return b'\r\n'.join([first, b'Host: h', *lines, b'', b''])


def chunked(body: bytes) -> bytes:
    return request(b'Transfer-Encoding: chunked') + body


LIMITS = {
    'max_head': ('LIMIT_HEAD', 431, request(b'A: ' + b'x' * 100)),
    'max_url': ('LIMIT_URL', 414, b'GET /' + b'x' * 100),
    'max_headers': ('LIMIT_HEADERS', 431, request(*[b'A: b'] * 100)),
    'max_header_name': ('LIMIT_HEADER_NAME', 431, request(b'x' * 100)[:-4]),
    'max_header_value': (
        'LIMIT_HEADER_VALUE',
        431,
        request(b'A: ' + b'x' * 100),
    ),
    'max_trailers': (
        'LIMIT_TRAILERS',
        431,
        chunked(b'0\r\nA: ' + b'x' * 100 + b'\r\n\r\n'),
    ),
    'max_chunk_extensions': (
        'LIMIT_CHUNK_EXTENSIONS',
        413,
        chunked(b'1;' + b'x' * 100 + b'\r\na\r\n'),
    ),
    'max_body': (
        'LIMIT_BODY',
        413,
        request(b'Content-Length: 100'),
    ),
}


@pytest.mark.parametrize('limit', LIMITS)
def test_limit_is_an_error_with_the_status_to_answer(limit: str) -> None:
    name, status, data = LIMITS[limit]

    with pytest.raises(HttpParserLimitError) as caught:
        HttpRequestParser(None, **{limit: 50}).feed_data(data)

    assert (caught.value.name, caught.value.status) == (name, status)
    assert isinstance(caught.value, HttpParserError)
    assert outcome(data, **{limit: None}) == ''
    assert outcome(data, **{limit: 1000}) == ''


@pytest.mark.parametrize('limit', LIMITS)
def test_limit_does_not_depend_on_the_pieces(limit: str) -> None:
    name, _, data = LIMITS[limit]

    for pieces in ways(data):
        parser = HttpRequestParser(None, **{limit: 50})
        with pytest.raises(HttpParserLimitError) as caught:
            for piece in pieces:
                parser.feed_data(piece)
        assert caught.value.name == name


@pytest.mark.parametrize('limit', LIMITS)
def test_limit_comes_before_any_callback_for_the_part(limit: str) -> None:
    _, _, data = LIMITS[limit]
    recorder = Recorder()
    recorder.parser = HttpRequestParser(recorder, **{limit: 50})

    with pytest.raises(HttpParserLimitError):
        recorder.parser.feed_data(data)

    assert b'x' * 51 not in str(recorder.log).encode()


def exact(limit: str, size: int) -> bytes:
    return {
        'max_url': b'GET ' + b'/' * size + b' HTTP/1.1\r\n\r\n',
        'max_header_name': request(b'x' * size + b': y'),
        'max_header_value': request(b'A: ' + b'y' * size),
        'max_body': request(b'Content-Length: %d' % size),
        'max_headers': request(*[b'A: b'] * (size - 1)),
        'max_head': request(b'A: ' + b'x' * (size - 32)),
    }[limit]


@pytest.mark.parametrize(
    'limit', ['max_url', 'max_header_name', 'max_header_value', 'max_body']
)
def test_limit_is_the_most_that_is_accepted(limit: str) -> None:
    assert outcome(exact(limit, 50), **{limit: 50}) == ''
    assert outcome(exact(limit, 51), **{limit: 50}) == LIMITS[limit][0]


def test_number_of_headers_is_the_most_that_is_accepted() -> None:
    assert outcome(exact('max_headers', 50), max_headers=50) == ''
    assert outcome(exact('max_headers', 51), max_headers=50) != ''


def test_head_counts_whitespace_and_empty_lines() -> None:
    for data in (b'\r\n' * 60, b'GET ' + b' ' * 100, b'GET /' + b' ' * 100):
        assert outcome(data, max_head=100) == 'LIMIT_HEAD'


def test_head_limit_is_for_each_message() -> None:
    data = request(b'A: ' + b'x' * 50) + b'\r\n'

    assert outcome(data * 50, max_head=len(data)) == ''


def test_body_limit_counts_chunks() -> None:
    seen = []

    class Protocol:
        def on_body(self, body: bytes) -> None:
            seen.append(body)

    parser = HttpRequestParser(Protocol(), max_body=5)
    with pytest.raises(HttpParserLimitError):
        parser.feed_data(chunked(b'3\r\nabc\r\n3\r\ndef\r\n'))

    assert seen == [b'abc']


def test_body_until_the_end_is_delivered_up_to_the_limit() -> None:
    class Protocol:
        def on_body(self, body: bytes) -> None:
            seen.append(body)

    seen: list[bytes] = []
    for pieces in ways(b'HTTP/1.1 200 OK\r\n\r\n0123456789'):
        seen.clear()
        parser = HttpResponseParser(Protocol(), max_body=5)
        with pytest.raises(HttpParserLimitError):
            for piece in pieces:
                parser.feed_data(piece)
        assert b''.join(seen) == b'01234'


@pytest.mark.parametrize('value', [-1, 'a', 1.5, 1 << 70])
def test_wrong_limit_is_an_error(value: object) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        HttpRequestParser(None, max_head=value)


@pytest.mark.parametrize(
    'options',
    [
        {'strict': 1},
        {'strip_ows': 'yes'},
        {'require_host': None},
        {'header_names': 'upper'},
        {'header_names': b'raw'},
        {'upgrades': 'websocket'},
        {'upgrades': 5},
        {'other': 1},
    ],
)
def test_wrong_option_is_an_error(options: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        HttpRequestParser(None, **options)
    with pytest.raises((TypeError, ValueError)):
        type('Derived', (HttpRequestParser,), {})(None, **options)


def test_options_win_over_the_preset() -> None:
    data = b'GET / HTTP/1.1\r\n\r\n'

    assert outcome(data, strict=True) == 'STRICT_HOST'
    assert outcome(data, strict=True, require_host=False) == ''
    assert (
        outcome(request(b'A: ' + b'x' * 40000), strict=True)
        == 'LIMIT_HEADER_VALUE'
    )
    assert (
        outcome(
            request(b'A: ' + b'x' * 40000), strict=True, max_header_value=None
        )
        == ''
    )


# What comes, what the plain parser does, what the strict one does: '' is that
# it is accepted. A plain '' is what httptools does.
CONTENT_LENGTH = 'HPE_INVALID_CONTENT_LENGTH'
CODING = 'HPE_INVALID_TRANSFER_ENCODING'
TOKEN = 'HPE_INVALID_HEADER_TOKEN'
CL, TE = b'Content-Length: ', b'Transfer-Encoding: '
ROWS = {
    'cl_te': (
        request(CL + b'5', TE + b'chunked'),
        CODING,
        CODING,
    ),
    'te_cl': (
        request(TE + b'chunked', CL + b'5'),
        CONTENT_LENGTH,
        CONTENT_LENGTH,
    ),
    'cl_twice': (
        request(CL + b'5', CL + b'5'),
        'HPE_UNEXPECTED_CONTENT_LENGTH',
        'HPE_UNEXPECTED_CONTENT_LENGTH',
    ),
    **{
        f'cl_{value!r}': (
            request(CL + value),
            CONTENT_LENGTH,
            CONTENT_LENGTH,
        )
        for value in (b'5, 5', b'+5', b'-5', b'0x5', b'5 5', b'', b'9' * 30)
    },
    **{
        f'cl_{value!r}': (request(CL + value) + b'hello', '', '')
        for value in (b'0005', b'5\t', b' 5')
    },
    **{
        f'te_{value!r}': (request(TE + value), CODING, CODING)
        for value in (
            b'chunked, chunked',
            b'chunked,',
            b'chunked, identity',
        )
    },
    **{
        f'te_{value!r}': (request(TE + value), CODING, 'STRICT_CODING')
        for value in (b'xchunked', b'identity', b'chunked;q=1', b'"chunked"')
    },
    'te_tab': (request(TE + b'chunked\t'), CODING, 'STRICT_CODING'),
    'te_twice': (
        request(TE + b'chunked', TE + b'chunked'),
        CODING,
        CODING,
    ),
    **{
        f'te_{value!r}': (request(TE + value), '', 'STRICT_CODING')
        for value in (b',chunked', b'gzip, chunked')
    },
    'te_two_lines': (
        request(TE + b'gzip', TE + b'chunked'),
        '',
        'STRICT_CODING',
    ),
    'te_upper': (request(TE + b'CHUNKED'), '', ''),
    'te_in_http10': (
        request(TE + b'chunked', first=b'GET / HTTP/1.0'),
        '',
        'STRICT_TE_IN_HTTP10',
    ),
    'bare_lf': (b'GET / HTTP/1.1\nHost: h\n\n', 'HPE_INVALID_VERSION', None),
    'bare_cr': (request(b'A: b\rC'), 'HPE_LF_EXPECTED', None),
    'obs_fold': (request(b'A: b\r\n c'), TOKEN, None),
    'space_before_colon': (request(b'A : b'), TOKEN, None),
    'leading_space': (
        b'GET / HTTP/1.1\r\n A: b\r\n\r\n',
        'HPE_UNEXPECTED_SPACE',
        None,
    ),
    'nul_in_name': (request(b'A\0: b'), TOKEN, None),
    'control_in_value': (request(b'A: \x01'), TOKEN, None),
    'del_in_value': (request(b'A: \x7f'), TOKEN, None),
    'lf_in_chunk_size': (chunked(b'1\na\r\n'), 'HPE_CR_EXPECTED', None),
    'lf_after_chunk_data': (chunked(b'1\r\na\n'), 'HPE_CR_EXPECTED', None),
    'http09_with_headers': (
        b'GET /x\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
        '',
        'STRICT_HTTP09',
    ),
    'http09': (b'GET /x\r\n\r\n', '', 'STRICT_HTTP09'),
    'http_2': (request(first=b'GET / HTTP/2.0'), '', 'STRICT_VERSION'),
    'obs_text': (request(b'A: \xff'), '', 'STRICT_OBS_TEXT'),
    'tab_in_value': (request(b'A: a\tb'), '', ''),
    'spaces_before_target': (
        request(first=b'GET  / HTTP/1.1'),
        '',
        'STRICT_SPACES',
    ),
    'spaces_after_target': (
        request(first=b'GET /  HTTP/1.1'),
        '',
        'STRICT_SPACES',
    ),
    'odd_target': (request(first=b'GET /<>"{}|^`#x HTTP/1.1'), '', ''),
    'star_target': (request(first=b'GET * HTTP/1.1'), '', ''),
    'absolute_target': (request(first=b'GET http://u:p@h/ HTTP/1.1'), '', ''),
    'high_target': (
        request(first=b'GET /\xe9 HTTP/1.1'),
        'HPE_INVALID_URL',
        None,
    ),
    'no_host': (b'GET / HTTP/1.1\r\n\r\n', '', 'STRICT_HOST'),
    'no_host_http10': (b'GET / HTTP/1.0\r\n\r\n', '', ''),
    'two_hosts': (request(b'Host: i'), '', 'STRICT_HOST'),
    'two_content_types': (
        request(b'Content-Type: a', b'content-type: b'),
        '',
        'STRICT_DUPLICATE',
    ),
    **{
        f'trailer_{name!r}': (
            chunked(b'0\r\n' + name + b': x\r\n\r\n'),
            '',
            'STRICT_TRAILER',
        )
        for name in (b'Host', b'X-Forwarded-For', b'authorization', b'Cookie')
    },
    'trailer_content_length': (
        chunked(b'0\r\nContent-Length: 5\r\n\r\n'),
        CONTENT_LENGTH,
        None,
    ),
    'trailer_other': (chunked(b'0\r\nX-Checksum: x\r\n\r\n'), '', ''),
    'h2c_with_body': (
        request(b'Connection: upgrade', b'Upgrade: h2c', CL + b'5')
        + b'hello'
        + request(),
        'upgrade',
        '',
    ),
    'websocket': (
        request(b'Connection: upgrade', b'Upgrade: websocket'),
        'upgrade',
        'upgrade',
    ),
    'crlf_before': (
        b'\r\n' * 2_000_000,
        'LIMIT_WHITESPACE',
        'LIMIT_HEAD',
    ),
    'spaces_after_method': (
        b'GET ' + b' ' * 4_000_000,
        'LIMIT_WHITESPACE',
        'LIMIT_HEAD',
    ),
    'spaces_after_target_many': (
        b'GET /' + b' ' * 4_000_000,
        'LIMIT_WHITESPACE',
        'LIMIT_HEAD',
    ),
    'spaces_after_colon': (
        b'GET / HTTP/1.1\r\nA:' + b' ' * 4_000_000,
        'LIMIT_WHITESPACE',
        'LIMIT_HEAD',
    ),
    'chunk_extension': (
        chunked(b'1;' + b'a' * 4_000_000),
        'LIMIT_CHUNK_EXTENSIONS',
        'LIMIT_CHUNK_EXTENSIONS',
    ),
    'chunk_extensions': (
        chunked(b'1' + b';a' * 2_000_000),
        'LIMIT_CHUNK_EXTENSIONS',
        'LIMIT_CHUNK_EXTENSIONS',
    ),
    'zeros_of_chunk_size': (
        chunked(b'0' * 4_000_000),
        'LIMIT_CHUNK_EXTENSIONS',
        'LIMIT_CHUNK_EXTENSIONS',
    ),
    'long_name': (
        request(b'x' * 1_000_000 + b': y'),
        '',
        'LIMIT_HEADER_NAME',
    ),
    'long_value': (
        request(b'A: ' + b'x' * 1_000_000),
        '',
        'LIMIT_HEADER_VALUE',
    ),
    'many_headers': (request(*[b'A: b'] * 100_000), '', 'LIMIT_HEADERS'),
    'long_url': (b'GET /' + b'x' * 1_000_000, '', 'LIMIT_URL'),
    'connection_close_x': (request(b'Connection: close;x'), '', ''),
}


@pytest.mark.parametrize('row', ROWS)
def test_what_the_plain_and_the_strict_parser_do(row: str) -> None:
    data, plain, strict = ROWS[row]

    assert outcome(data) == plain
    assert outcome(data, strict=True) == (plain if strict is None else strict)


def test_connection_close_with_a_parameter_does_not_close() -> None:
    for value, expected in ((b'close;x', True), (b', close', False)):
        for strict in (False, True):
            parser = HttpRequestParser(None, strict=strict)
            parser.feed_data(request(b'Connection: ' + value))
            assert parser.keep_alive is expected


def test_body_of_an_h2c_upgrade_is_no_request() -> None:
    data, _, _ = ROWS['h2c_with_body']
    urls = []

    class Protocol:
        def on_url(self, url: bytes) -> None:
            urls.append(url)

    parser = HttpRequestParser(Protocol(), strict=True)
    for i in range(len(data)):
        parser.feed_data(data[i : i + 1])

    assert urls == [b'/', b'/']


@pytest.mark.parametrize('status', [b'200', b'404'])
def test_strict_responses_need_no_host(status: bytes) -> None:
    HttpResponseParser(None, strict=True).feed_data(
        b'HTTP/1.1 ' + status + b' OK\r\nContent-Length: 0\r\n\r\n'
    )


def strict_events(case: Case, pieces: list[bytes]) -> list[object]:
    make = {
        'request': HttpRequestParser,
        'response': HttpResponseParser,
    }[case.kind]
    recorder = Recorder()
    parser = make(recorder, strict=True, require_host=False)
    recorder.parser = parser
    try:
        for piece in pieces:
            parser.feed_data(piece)
    except HttpParserError as error:
        recorder.log.append((type(error), str(error)))
    except httptools.HttpParserUpgrade:
        recorder.log.append(('upgrade', parser.consumed))
    return joined(recorder.log)


def test_strict_events_do_not_depend_on_the_pieces() -> None:
    cases = read_all()
    cases += [
        Case(name, 'request', (), data)
        for name, (data, _, _) in ROWS.items()
        if len(data) < 300
    ]
    for case in cases:
        whole = strict_events(case, [case.data])

        for pieces in ways(case.data):
            assert strict_events(case, pieces) == whole, (case.name, pieces)
