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


def test_head_limit_is_for_what_follows_a_closed_connection_too() -> None:
    parser = HttpRequestParser(None, max_head=100)
    parser.set_dangerous_leniencies(lenient_keep_alive=True)
    parser.feed_data(request(b'Connection: close'))
    parser.set_dangerous_leniencies(lenient_keep_alive=False)

    with pytest.raises(HttpParserLimitError) as caught:
        parser.feed_data(request(b'A: ' + b'x' * 100))

    assert caught.value.name == 'LIMIT_HEAD'


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
    'cl_twice_unlike': (
        request(CL + b'5', CL + b'6'),
        'HPE_UNEXPECTED_CONTENT_LENGTH',
        None,
    ),
    **{
        f'cl_{value!r}': (
            request(CL + value),
            CONTENT_LENGTH,
            CONTENT_LENGTH,
        )
        for value in (b'5, 5', b'+5', b'-5', b'0x5', b'5 5', b'', b'9' * 30)
    },
    'cl_nul': (request(CL + b'5\0'), CONTENT_LENGTH, None),
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
    'bare_lf_after_header': (
        b'GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n',
        'HPE_CR_EXPECTED',
        None,
    ),
    'bare_lf_at_end': (b'GET / HTTP/1.1\r\nHost: h\r\n\n', TOKEN, None),
    'bare_cr': (request(b'A: b\rC'), 'HPE_LF_EXPECTED', None),
    'bare_cr_after_version': (
        b'GET / HTTP/1.1\rHost: h\r\n\r\n',
        'HPE_STRICT',
        None,
    ),
    'bare_cr_in_target': (
        request(first=b'GET /\rx HTTP/1.1'),
        'HPE_INVALID_URL',
        None,
    ),
    'obs_fold': (request(b'A: b\r\n c'), TOKEN, None),
    'space_before_colon': (request(b'A : b'), TOKEN, None),
    'leading_space': (
        b'GET / HTTP/1.1\r\n A: b\r\n\r\n',
        'HPE_UNEXPECTED_SPACE',
        None,
    ),
    'leading_tab': (b'GET / HTTP/1.1\r\n\tA: b\r\n\r\n', TOKEN, None),
    'nul_in_name': (request(b'A\0: b'), TOKEN, None),
    'control_in_name': (request(b'A\x01: b'), TOKEN, None),
    'del_in_name': (request(b'A\x7f: b'), TOKEN, None),
    'nul_in_value': (request(b'A: \0'), TOKEN, None),
    'control_in_value': (request(b'A: \x01'), TOKEN, None),
    'del_in_value': (request(b'A: \x7f'), TOKEN, None),
    'lf_in_chunk_size': (chunked(b'1\na\r\n'), 'HPE_CR_EXPECTED', None),
    'lf_in_chunk_extension': (
        chunked(b'1;a\nb\r\na\r\n'),
        'HPE_CR_EXPECTED',
        None,
    ),
    'lf_after_chunk_data': (chunked(b'1\r\na\n'), 'HPE_CR_EXPECTED', None),
    'http09_with_headers': (
        b'GET /x\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
        '',
        'STRICT_HTTP09',
    ),
    'http09': (b'GET /x\r\n\r\n', '', 'STRICT_HTTP09'),
    'http09_goes_on': (
        b'GET /x\nConnection: keep-alive\r\n\r\n' + request(),
        '',
        'STRICT_HTTP09',
    ),
    'http_2': (request(first=b'GET / HTTP/2.0'), '', 'STRICT_VERSION'),
    'http_2_goes_on': (
        request(b'Connection: keep-alive', first=b'GET / HTTP/2.0') * 2,
        '',
        'STRICT_VERSION',
    ),
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
    'control_in_target': (
        request(first=b'GET /\x01 HTTP/1.1'),
        'HPE_INVALID_URL',
        None,
    ),
    'space_in_target': (
        request(first=b'GET /a b HTTP/1.1'),
        'HPE_INVALID_CONSTANT',
        None,
    ),
    'connect_path': (request(first=b'CONNECT / HTTP/1.1'), 'upgrade', None),
    'host_with_spaces': (b'GET / HTTP/1.1\r\nHost: h \t\r\n\r\n', '', ''),
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
    'trailer_transfer_encoding': (
        chunked(b'0\r\nTransfer-Encoding: chunked\r\n\r\n'),
        CODING,
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


# With lenient_headers, and then one that needs another beside it. A leniency
# is asked for by its name, so it counts in the strict parser, too.
LENIENT_ROWS = {
    'nul_in_value': (request(b'A: \0'), 'headers', ''),
    'control_in_value': (request(b'A: \x01\x7f'), 'headers', ''),
    'obs_fold': (request(b'A: b\r\n c'), 'headers', ''),
    'leading_space': (
        b'GET / HTTP/1.1\r\n Host: h\r\n\r\n',
        'headers',
        '',
    ),
    'folded_te': (
        request(b'Transfer-Encoding:\r\n chunked') + b'0\r\n\r\n' + request(),
        'headers',
        '',
    ),
    'bare_lf': (
        b'GET / HTTP/1.1\nHost: h\n\n',
        'optional_cr_before_lf',
        'HPE_STRICT',
    ),
    'bare_lf_allowed': (
        b'GET / HTTP/1.1\nHost: h\n\n',
        'optional_cr_before_lf optional_lf_after_cr',
        '',
    ),
}


@pytest.mark.parametrize('strict', [False, True])
@pytest.mark.parametrize('row', LENIENT_ROWS)
def test_what_a_leniency_lets_through(row: str, strict: bool) -> None:
    data, flags, expected = LENIENT_ROWS[row]
    parser = HttpRequestParser(None, strict=strict)
    for flag in flags.split():
        parser.set_dangerous_leniencies(**{f'lenient_{flag}': True})

    error = None
    try:
        parser.feed_data(data)
    except HttpParserError as raised:
        error = raised

    assert (error.name if error else '') == expected


@pytest.mark.parametrize('strict', [False, True])
@pytest.mark.parametrize(
    ('header', 'keeps'),
    [
        (b'Connection: close;x', True),
        (b'Connection: "close"', True),
        (b'Connection: closed', True),
        (b'Connection: , close', False),
        (b'Proxy-Connection: close', False),
    ],
)
def test_which_headers_close(header: bytes, keeps: bool, strict: bool) -> None:
    parser = HttpRequestParser(None, strict=strict)

    parser.feed_data(request(header))

    assert parser.keep_alive is keeps


@pytest.mark.parametrize('strict', [False, True])
def test_reason_holds_any_byte(strict: bool) -> None:
    parser = HttpResponseParser(None, strict=strict)

    parser.feed_data(
        b'HTTP/1.1 200 \0\x01\x7f\xff\tx\r\nContent-Length: 0\r\n\r\n'
    )

    assert parser.message_complete


@pytest.mark.parametrize('strict', [False, True])
def test_wrong_coding_is_found_before_or_after_the_head_is_told(
    strict: bool,
) -> None:
    recorder = Recorder()
    recorder.parser = HttpRequestParser(recorder, strict=strict)

    with pytest.raises(HttpParserError):
        recorder.parser.feed_data(request(TE + b'xchunked'))

    told = [event[0] for event in recorder.log]
    assert ('on_headers_complete' in told) is not strict


def test_trailers_of_a_plain_parser_are_told_as_headers() -> None:
    recorder = Recorder()
    recorder.parser = HttpRequestParser(recorder)

    recorder.parser.feed_data(chunked(b'0\r\nHost: evil\r\n\r\n'))

    told = [event[:2] for event in recorder.log]
    head = [event[0] for event in told].index('on_headers_complete')
    assert told.index(('on_header', b'Host'), head) > head


@pytest.mark.parametrize('strict', [False, True])
def test_body_of_an_h2c_upgrade_is_a_request_to_a_plain_parser_only(
    strict: bool,
) -> None:
    recorder = Recorder()
    recorder.parser = HttpRequestParser(recorder, strict=strict)
    smuggled = request(first=b'GET /smuggled HTTP/1.1')
    head = request(
        b'Connection: upgrade', b'Upgrade: h2c', CL + b'%d' % len(smuggled)
    )

    for piece in (head, smuggled):
        try:
            recorder.parser.feed_data(piece)
        except HttpParserUpgrade:
            assert not strict

    assert (('on_url', b'/smuggled') in recorder.log) is not strict


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
    parser.set_dangerous_leniencies(**dict.fromkeys(case.flags, True))
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
