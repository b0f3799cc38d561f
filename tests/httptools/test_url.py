"""parse_url and URL."""

from __future__ import annotations

import ast
import copy
import gc
import pickle
from pathlib import Path

import pytest

from httptools import HttpParserInvalidURLError, parse_url
from httptools.parser.url_parser import URL

FIELDS = ['schema', 'host', 'port', 'path', 'query', 'fragment', 'userinfo']
LINES = Path(__file__).with_name('urls.txt').read_text().splitlines()


def outcome(url: bytes) -> str:
    try:
        return repr(parse_url(url))
    except HttpParserInvalidURLError as error:
        return f'HttpParserInvalidURLError: {error}'


@pytest.mark.parametrize('line', LINES)
def test_url_gives_what_httptools_gives(line: str) -> None:
    url, expected = line.split(' -> ', 1)

    assert outcome(ast.literal_eval(url)) == expected


def test_url_has_all_parts() -> None:
    url = parse_url(b'http://u:p@h:80/p?q#f')

    assert [getattr(url, name) for name in FIELDS] == [
        b'http',
        b'h',
        80,
        b'/p',
        b'q',
        b'f',
        b'u:p',
    ]
    assert repr(url) == (
        "<URL schema: b'http', host: b'h', port: 80, path: b'/p', "
        "query: b'q', fragment: b'f', userinfo: b'u:p'>"
    )


@pytest.mark.parametrize('make', [bytearray, memoryview])
def test_any_contiguous_buffer_is_taken(make: object) -> None:
    url = parse_url(url=make(b'/p?q'))

    assert (url.path, url.query) == (b'/p', b'q')
    assert type(url.path) is bytes


def test_path_that_is_the_whole_url_is_that_object() -> None:
    url = b'/a/path'

    assert parse_url(url).path is url


@pytest.mark.parametrize('length', [65534, 65535])
def test_long_url_is_taken(length: int) -> None:
    url = b'/' + b'a' * (length - 1)

    assert parse_url(url).path == url


def test_longer_url_is_refused_with_its_length() -> None:
    with pytest.raises(HttpParserInvalidURLError) as caught:
        parse_url(b'/' * 65536)

    assert str(caught.value) == (
        'url is too long: url length of 65536 bytes exceeds the maximum of '
        '65535 bytes'
    )


def test_message_shows_the_object_that_was_given() -> None:
    with pytest.raises(HttpParserInvalidURLError) as caught:
        parse_url(bytearray(b'bad url'))

    assert str(caught.value) == "invalid url bytearray(b'bad url')"


@pytest.mark.parametrize('url', ['/', None, 5])
def test_what_is_no_buffer_is_a_type_error(url: object) -> None:
    with pytest.raises(TypeError, match='a bytes-like object is required'):
        parse_url(url)


def test_strided_view_is_a_buffer_error() -> None:
    with pytest.raises(BufferError):
        parse_url(memoryview(b'/a/b')[::2])


def test_released_view_is_a_value_error() -> None:
    view = memoryview(b'/a/b')
    view.release()

    with pytest.raises(ValueError, match='released'):
        parse_url(view)


@pytest.mark.parametrize('name', FIELDS)
def test_field_cannot_be_set(name: str) -> None:
    url = parse_url(b'/')

    with pytest.raises(AttributeError) as caught:
        setattr(url, name, None)

    assert str(caught.value) == (
        f"attribute '{name}' of 'httptools.parser.url_parser.URL' objects "
        'is not writable'
    )


def test_urls_are_equal_only_to_themselves() -> None:
    url = parse_url(b'/')

    assert url == url
    assert url != parse_url(b'/')
    assert len({url, parse_url(b'/')}) == 2


@pytest.mark.parametrize('copier', [pickle.dumps, copy.copy, copy.deepcopy])
def test_url_cannot_be_copied(copier: object) -> None:
    with pytest.raises(TypeError, match='no default __reduce__ due to'):
        copier(parse_url(b'/'))


def test_url_is_made_of_seven_arguments() -> None:
    assert URL(b'a', b'b', 3, b'c', b'd', b'e', b'f').userinfo == b'f'
    assert URL(*[None] * 7).host is None
    for count in (0, 6, 8):
        with pytest.raises(TypeError):
            URL(*[b''] * count)


@pytest.mark.parametrize('name', [f for f in FIELDS if f != 'port'])
def test_url_is_made_of_bytes(name: str) -> None:
    fields = dict.fromkeys(FIELDS, b'') | {name: 'text'}

    with pytest.raises(TypeError) as caught:
        URL(**fields)

    assert str(caught.value) == (
        f"Argument '{name}' has incorrect type (expected bytes, got str)"
    )


def test_subclass_in_a_cycle_is_collected() -> None:
    class Port:
        pass

    class Url(URL):
        pass

    port = Port()
    port.url = Url(None, None, port, None, None, None, None)
    import weakref

    gone = weakref.ref(port)
    del port
    gc.collect()

    assert gone() is None
