"""The parsers' surface: names, types, callbacks, getters."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle

import pytest

import httptools
import httptools.parser.parser
from httptools import HttpRequestParser, HttpResponseParser

GET = b'GET /a HTTP/1.1\r\nHost: h\r\n\r\n'
CALLBACKS = [
    'on_header',
    'on_headers_complete',
    'on_body',
    'on_message_begin',
    'on_message_complete',
    'on_chunk_header',
    'on_chunk_complete',
]


def test_every_name_of_httptools_is_there() -> None:
    from httptools.parser import errors, protocol, url_parser

    assert set(httptools.__all__) >= {
        'parser',
        'HTTPProtocol',
        'HttpRequestParser',
        'HttpResponseParser',
        'HttpParserError',
        'HttpParserCallbackError',
        'HttpParserInvalidStatusError',
        'HttpParserInvalidMethodError',
        'HttpParserInvalidURLError',
        'HttpParserUpgrade',
        'parse_url',
        '__version__',
    }
    assert httptools.HTTPProtocol is protocol.HTTPProtocol
    assert httptools.parse_url is url_parser.parse_url
    assert httptools.HttpParserError is errors.HttpParserError
    assert httptools.parser.parser.HttpRequestParser is HttpRequestParser
    assert (
        httptools.parser.parser.HttpParserUpgrade is errors.HttpParserUpgrade
    )
    assert not hasattr(httptools, 'URL')
    assert isinstance(url_parser.URL, type)


def test_version_is_that_of_the_compiled_module() -> None:
    from httptools import _http

    assert httptools.__version__ == _http.__version__
    assert _http.llhttp_version == '9.4.3'


@pytest.mark.parametrize('cls', [HttpRequestParser, HttpResponseParser])
def test_type_is_immutable_and_keeps_its_upstream_name(cls: type) -> None:
    assert cls.__module__ == 'httptools.parser.parser'
    assert cls.__mro__[1].__qualname__ == 'HttpParser'
    assert 'HttpParser' not in vars(httptools.parser.parser)
    with pytest.raises(TypeError, match='immutable type'):
        cls.extra = 1


def test_parser_has_no_dict_and_no_weak_references() -> None:
    import weakref

    parser = HttpRequestParser(None)

    assert gc.is_tracked(parser)
    with pytest.raises(AttributeError):
        parser.extra = 1
    with pytest.raises(TypeError, match='cannot create weak reference'):
        weakref.ref(parser)


def test_subclass_has_a_dict_and_weak_references() -> None:
    import weakref

    class Parser(HttpRequestParser):
        pass

    parser = Parser(None)
    parser.extra = 1

    assert weakref.ref(parser)() is parser
    parser.feed_data(GET)
    assert parser.get_method() == b'GET'


def test_parser_can_be_one_base_of_a_protocol() -> None:
    class Server(asyncio.Protocol, HttpRequestParser):
        def __init__(self) -> None:
            super().__init__(self)
            self.urls: list[bytes] = []

        def on_url(self, url: bytes) -> None:
            self.urls.append(url)

    server = Server()
    server.data_received = server.feed_data
    server.data_received(GET)

    assert server.urls == [b'/a']


def test_class_may_have_both_parsers_as_bases() -> None:
    class Both(HttpRequestParser, HttpResponseParser):
        pass

    both = Both(None)
    both.feed_data(GET)
    HttpResponseParser.__init__(both, None)
    both.feed_data(b'HTTP/1.1 404 N\r\n\r\n')

    assert both.get_status_code() == 404


@pytest.mark.parametrize('copier', [pickle.dumps, copy.copy, copy.deepcopy])
def test_parser_cannot_be_copied(copier: object) -> None:
    with pytest.raises(TypeError, match='no default __reduce__ due to'):
        copier(HttpRequestParser(None))


def test_getters_before_any_data() -> None:
    request = HttpRequestParser(None)
    response = HttpResponseParser(protocol=None)

    assert request.get_method() == b'DELETE'
    assert request.get_http_version() == '0.0'
    assert request.should_keep_alive() is False
    assert request.should_upgrade() is False
    assert response.get_status_code() == 0


def test_method_is_that_of_no_message_after_an_invalid_one() -> None:
    parser = HttpRequestParser(None)

    with pytest.raises(httptools.HttpParserInvalidMethodError):
        parser.feed_data(b'SPAM / HTTP/1.1')

    assert parser.get_method() == b'DELETE'


METHODS = """DELETE GET HEAD POST PUT CONNECT OPTIONS TRACE COPY LOCK MKCOL
    MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND UNBIND ACL REPORT
    MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH
    PURGE MKCALENDAR LINK UNLINK SOURCE QUERY""".split()
RTSP = """ANNOUNCE DESCRIBE FLUSH GET_PARAMETER PAUSE PLAY RECORD REDIRECT
    SETUP SET_PARAMETER TEARDOWN""".split()


@pytest.mark.parametrize('name', METHODS + RTSP)
def test_method_is_returned_as_it_was_sent(name: str) -> None:
    method = name.encode()
    protocol = b'RTSP/1.0' if name in RTSP else b'HTTP/1.1'
    parser = HttpRequestParser(None)

    parser.feed_data(method + b' /x ' + protocol + b'\r\n')

    assert parser.get_method() == method
    assert parser.get_method() is parser.get_method()


@pytest.mark.parametrize('name', RTSP)
def test_rtsp_method_is_refused_with_http(name: str) -> None:
    parser = HttpRequestParser(None)

    with pytest.raises(httptools.HttpParserError, match='Invalid method for'):
        parser.feed_data(name.encode() + b' /x HTTP/1.1\r\n')


@pytest.mark.parametrize('version', ['0.9', '1.0', '1.1', '2.0'])
def test_version_is_returned_as_it_was_sent(version: str) -> None:
    parser = HttpRequestParser(None)

    parser.feed_data(f'GET / HTTP/{version}\r\n'.encode())

    assert parser.get_http_version() == version


def test_callbacks_are_looked_up_once_and_in_order() -> None:
    asked = []

    class Protocol:
        def __getattr__(self, name: str) -> object:
            asked.append(name)
            raise AttributeError(name)

    HttpRequestParser(Protocol())
    assert asked == [*CALLBACKS, 'on_url']

    asked.clear()
    HttpResponseParser(Protocol()).feed_data(b'HTTP/1.1 200 OK\r\n\r\n')
    assert asked == [*CALLBACKS, 'on_status']


def test_error_of_the_lookup_is_raised_by_the_constructor() -> None:
    class Protocol:
        @property
        def on_body(self) -> object:
            raise LookupError('no')

    with pytest.raises(LookupError, match='no'):
        HttpRequestParser(Protocol())


def test_callback_that_is_rebound_later_is_not_seen() -> None:
    urls = []

    class Protocol:
        def on_url(self, url: bytes) -> None:
            urls.append(url)

    protocol = Protocol()
    parser = HttpRequestParser(protocol)
    protocol.on_url = None
    parser.feed_data(GET)

    assert urls == [b'/a']


def test_callbacks_may_be_anything_that_can_be_called() -> None:
    seen = []

    class Protocol:
        on_message_begin = staticmethod(lambda: seen.append('begin'))
        on_url = seen.append
        on_headers_complete = None

        @classmethod
        def on_header(cls, name: bytes, value: bytes) -> None:
            seen.append((cls, name, value))

    HttpRequestParser(Protocol).feed_data(GET)

    assert seen == ['begin', b'/a', (Protocol, b'Host', b'h')]


def test_callback_may_be_a_method_of_another_object() -> None:
    class Other:
        def on_url(self, url: bytes) -> None:
            seen.append((self, url))

    class Protocol:
        pass

    seen: list[tuple[object, bytes]] = []
    protocol, other = Protocol(), Other()
    protocol.on_url = other.on_url
    HttpRequestParser(protocol).feed_data(GET)

    assert seen == [(other, b'/a')]


def test_what_a_callback_returns_is_ignored() -> None:
    class Protocol:
        complete = 0

        def on_url(self, url: bytes) -> int:
            return 21  # HPE_PAUSED

        def on_header(self, name: bytes, value: bytes) -> object:
            return object()

        def on_headers_complete(self) -> int:
            return 1

        def on_message_complete(self) -> int:
            self.complete += 1
            return -1

    protocol = Protocol()
    HttpRequestParser(protocol).feed_data(GET * 2)

    assert protocol.complete == 2


def test_on_header_alone_is_called() -> None:
    class Protocol:
        headers = ()

        def on_header(self, name: bytes, value: bytes) -> None:
            self.headers += ((name, value),)

    protocol = Protocol()
    HttpRequestParser(protocol).feed_data(GET)

    assert protocol.headers == ((b'Host', b'h'),)


def test_on_header_is_called_when_the_next_one_begins() -> None:
    headers = []

    class Protocol:
        def on_header(self, name: bytes, value: bytes) -> None:
            headers.append(name)

    parser = HttpRequestParser(Protocol())
    parser.feed_data(b'GET / HTTP/1.1\r\nA: b\r\n')
    assert headers == []

    parser.feed_data(b'C')
    assert headers == [b'A']


def test_pieces_of_a_url_may_be_empty() -> None:
    urls = []

    class Protocol:
        on_url = staticmethod(urls.append)

    parser = HttpRequestParser(Protocol())
    for piece in (b'GET ', b'/', b'', b'a', b' '):
        parser.feed_data(piece)

    assert urls == [b'/', b'', b'a', b'']


@pytest.mark.parametrize(
    ('head', 'inside'),
    [
        (b'GET / HTTP/1.1\r\nConnection: close\r\n\r\n', False),
        (b'GET / HTTP/1.1\r\n\r\n', True),
    ],
)
def test_keep_alive_of_a_request_is_right_inside_and_true_after(
    head: bytes, inside: bool
) -> None:
    seen = []

    class Protocol:
        def on_message_complete(self) -> None:
            seen.append(parser.should_keep_alive())

    parser = HttpRequestParser(Protocol())
    parser.feed_data(head)

    assert seen == [inside]
    assert parser.should_keep_alive() is True


def test_init_again_starts_afresh() -> None:
    class Protocol:
        def on_url(self, url: bytes) -> None:
            urls.append(url)

    urls: list[bytes] = []
    parser = HttpRequestParser(None)
    parser.set_dangerous_leniencies(lenient_version=True)
    parser.feed_data(b'GET / HTTP/1.1\r\nHost: hal')
    parser.__init__(Protocol())
    parser.feed_data(GET)

    assert urls == [b'/a']
    with pytest.raises(httptools.HttpParserError, match='Invalid HTTP versi'):
        parser.feed_data(b'GET / HTTP/7.3\r\n\r\n')


def test_init_that_fails_changes_nothing() -> None:
    class Protocol:
        on_url = None

        @property
        def on_chunk_header(self) -> object:
            raise LookupError

    urls: list[bytes] = []

    class Listener:
        on_url = staticmethod(urls.append)

    parser = HttpRequestParser(Listener())
    with pytest.raises(LookupError):
        parser.__init__(Protocol())
    parser.feed_data(GET)

    assert urls == [b'/a']


@pytest.mark.parametrize('args', [(), (1, 2)])
def test_constructor_takes_exactly_one_argument(args: tuple) -> None:
    with pytest.raises(TypeError):
        HttpRequestParser(*args)


def test_arguments_may_be_named() -> None:
    parser = HttpRequestParser(protocol=None)

    parser.feed_data(data=GET)

    assert parser.get_method() == b'GET'


@pytest.mark.parametrize(
    'call',
    [
        lambda parser: parser.feed_data(),
        lambda parser: parser.feed_data(b'', b''),
        lambda parser: parser.feed_data(b'', data=b''),
        lambda parser: parser.feed_data(other=b''),
        lambda parser: parser.get_method(1),
        lambda parser: parser.set_dangerous_leniencies(lenient_other=True),
        lambda parser: parser.set_dangerous_leniencies(*[True] * 12),
        lambda parser: parser.set_dangerous_leniencies(
            True, lenient_headers=True
        ),
    ],
)
def test_wrong_arguments_are_type_errors(call: object) -> None:
    with pytest.raises(TypeError):
        call(HttpRequestParser(None))


@pytest.mark.parametrize('value', [1, 'yes', [], 0.0])
def test_leniency_needs_a_bool(value: object) -> None:
    parser = HttpRequestParser(None)

    with pytest.raises(TypeError) as caught:
        parser.set_dangerous_leniencies(lenient_headers=value)

    assert str(caught.value) == (
        "Argument 'lenient_headers' has incorrect type (expected bool, got "
        f'{type(value).__name__})'
    )


def test_leniencies_by_position_are_in_the_order_of_httptools() -> None:
    data = b'GET / HTTP/1.1\r\nConnection: close\r\n\r\nmore'
    swallows = HttpRequestParser(None)
    swallows.set_dangerous_leniencies(None, None, None, None, None, True)
    swallows.feed_data(data)

    refuses = HttpRequestParser(None)
    refuses.set_dangerous_leniencies(True, True, False, True, True, False)
    with pytest.raises(httptools.HttpParserError, match='Data after'):
        refuses.feed_data(data)


def test_leniency_of_none_stays_as_it_was() -> None:
    parser = HttpRequestParser(None)
    parser.set_dangerous_leniencies(lenient_version=True)
    parser.set_dangerous_leniencies(lenient_version=None)
    parser.set_dangerous_leniencies()

    parser.feed_data(b'GET / HTTP/7.3\r\n\r\n')
    assert parser.get_http_version() == '7.3'

    parser.set_dangerous_leniencies(lenient_version=False)
    with pytest.raises(httptools.HttpParserError):
        parser.feed_data(b'GET / HTTP/7.3\r\n\r\n')


def test_same_host_is_the_same_object_until_another_comes() -> None:
    hosts = []

    class Protocol:
        def on_header(self, name: bytes, value: bytes) -> None:
            hosts.append(value)

    parser = HttpRequestParser(Protocol())
    for host in (b'one.example', b'one.example', b'two.example', b'one'):
        parser.feed_data(b'GET / HTTP/1.1\r\nHost: ' + host + b'\r\n\r\n')

    assert hosts == [b'one.example', b'one.example', b'two.example', b'one']
    assert hosts[0] is hosts[1]


def test_common_names_are_shared_objects() -> None:
    names = []

    class Protocol:
        def on_header(self, name: bytes, value: bytes) -> None:
            names.append(name)

    parser = HttpRequestParser(Protocol())
    parser.feed_data(GET * 2)

    assert names[0] is names[1]
