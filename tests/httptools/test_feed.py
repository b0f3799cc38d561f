"""feed_data: what it takes, who may call it, and what cannot break it."""

from __future__ import annotations

import array
import contextlib
import gc
import mmap
import sys
import threading
from collections.abc import Callable

import pytest

import httptools
from httptools import (
    HttpParserCallbackError,
    HttpParserUpgrade,
    HttpRequestParser,
    HttpResponseParser,
)

GET = b'GET /a HTTP/1.1\r\nHost: h\r\n\r\n'
POST = b'POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n'
UPGRADE = b'GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'
# With extensions that grow from chunk to chunk.
CHUNKS = (
    b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n'
    + b''.join(b'1;%s\r\na\r\n' % (b'x' * size) for size in range(1, 300))
    + b'0\r\n\r\n'
)


class Bytes(bytes):
    pass


class Urls:
    def __init__(self) -> None:
        self.urls: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self.urls.append(url)


class Bodies:
    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def on_body(self, body: bytes) -> None:
        self.bodies.append(body)


def mapped(data: bytes) -> mmap.mmap:
    memory = mmap.mmap(-1, len(data))
    memory[:] = data
    return memory


@pytest.mark.parametrize(
    'make',
    [
        bytes,
        Bytes,
        bytearray,
        memoryview,
        lambda data: memoryview(bytearray(b'xx' + data))[2:],
        lambda data: array.array('B', data),
        lambda data: array.array('H', data),
        mapped,
    ],
)
def test_any_contiguous_buffer_is_taken(make: object) -> None:
    protocol = Urls()

    HttpRequestParser(protocol).feed_data(make(GET))

    assert protocol.urls == [b'/a']
    assert type(protocol.urls[0]) is bytes


@pytest.mark.parametrize('data', ['GET', None, 5, [71], object()])
def test_what_is_no_buffer_is_a_type_error(data: object) -> None:
    name = type(data).__name__

    with pytest.raises(TypeError) as caught:
        HttpRequestParser(None).feed_data(data)

    assert str(caught.value) == (
        f"a bytes-like object is required, not '{name}'"
    )


def test_wrong_argument_leaves_the_parser_as_it_was() -> None:
    protocol = Urls()
    parser = HttpRequestParser(protocol)
    parser.feed_data(GET[:6])
    for data in ('x', memoryview(GET)[::2]):
        with pytest.raises((TypeError, BufferError)):
            parser.feed_data(data)
    parser.feed_data(GET[6:])

    assert b''.join(protocol.urls) == b'/a'


@pytest.mark.parametrize('empty', [b'', bytearray(), array.array('B')])
def test_empty_data_is_taken(empty: object) -> None:
    parser = HttpRequestParser(None)

    parser.feed_data(empty)
    parser.feed_data(GET[:5])
    parser.feed_data(empty)
    parser.feed_data(GET[5:])

    assert parser.get_method() == b'GET'


def test_released_view_is_a_value_error() -> None:
    view = memoryview(bytearray(GET))
    view.release()

    with pytest.raises(ValueError, match='released'):
        HttpRequestParser(None).feed_data(view)


@pytest.mark.parametrize('step', [2, -1])
def test_strided_view_is_a_buffer_error(step: int) -> None:
    with pytest.raises(BufferError, match='contiguous'):
        HttpRequestParser(None).feed_data(memoryview(GET)[::step])


def test_view_cannot_be_released_while_it_is_parsed() -> None:
    owner = bytearray(GET)
    view = memoryview(owner)

    class Protocol(Urls):
        def on_message_begin(self) -> None:
            view.release()

    with pytest.raises(HttpParserCallbackError) as caught:
        HttpRequestParser(Protocol()).feed_data(view)

    assert isinstance(caught.value.__cause__, BufferError)
    view.release()
    owner.clear()


def test_bytearray_cannot_be_resized_while_it_is_parsed() -> None:
    data = bytearray(GET)

    class Protocol:
        def on_url(self, url: bytes) -> None:
            data.clear()

    with pytest.raises(HttpParserCallbackError) as caught:
        HttpRequestParser(Protocol()).feed_data(data)

    assert isinstance(caught.value.__cause__, BufferError)
    data.clear()


def test_bytearray_may_be_reused_with_a_header_in_flight() -> None:
    headers = []

    class Protocol:
        def on_header(self, name: bytes, value: bytes) -> None:
            headers.append((name, value))

    parser = HttpRequestParser(Protocol())
    data = bytearray(b'GET / HTTP/1.1\r\nX-Name: val')
    parser.feed_data(data)
    data[:] = b'\0' * len(data)
    parser.feed_data(b'ue\r\n\r\n')

    assert headers == [(b'X-Name', b'value')]


def test_body_that_is_all_of_the_data_is_the_data() -> None:
    protocol = Bodies()
    parser = HttpRequestParser(protocol)
    body = b'0123456789'
    parser.feed_data(POST)

    parser.feed_data(body)

    assert protocol.bodies[0] is body


@pytest.mark.parametrize('make', [Bytes, bytearray, memoryview])
def test_body_is_exact_bytes_whatever_was_fed(make: object) -> None:
    protocol = Bodies()
    parser = HttpRequestParser(protocol)
    parser.feed_data(POST)

    parser.feed_data(make(b'0123456789'))

    assert protocol.bodies == [b'0123456789']
    assert type(protocol.bodies[0]) is bytes


@pytest.mark.parametrize(
    'name', ['on_message_begin', 'on_url', 'on_header', 'on_message_complete']
)
def test_feeding_from_a_callback_is_a_runtime_error(name: str) -> None:
    seen = []

    def again(*args: bytes) -> None:
        for data in (GET, owner, memoryview(owner)):
            with pytest.raises(RuntimeError, match='while the parser is be'):
                parser.feed_data(data)
        seen.append(name)

    class Protocol:
        pass

    setattr(Protocol, name, staticmethod(again))
    owner = bytearray(GET)
    parser = HttpRequestParser(Protocol())
    parser.feed_data(owner)
    owner.clear()

    assert seen == [name]
    parser.feed_data(GET)


def test_upgrade_offset_is_right_after_a_refused_feed() -> None:
    class Protocol:
        def on_headers_complete(self) -> None:
            with pytest.raises(RuntimeError):
                parser.feed_data(GET)

    parser = HttpRequestParser(Protocol())
    with pytest.raises(HttpParserUpgrade) as caught:
        parser.feed_data(UPGRADE)

    assert caught.value.args == (len(UPGRADE),)


def test_init_from_a_callback_is_a_runtime_error() -> None:
    class Protocol:
        def on_url(self, url: bytes) -> None:
            parser.__init__(None)

    parser = HttpRequestParser(Protocol())
    with pytest.raises(HttpParserCallbackError) as caught:
        parser.feed_data(GET)

    assert isinstance(caught.value.__cause__, RuntimeError)


def test_feeding_from_the_callback_lookup_is_a_runtime_error() -> None:
    class Protocol:
        @property
        def on_body(self) -> None:
            parser.feed_data(GET)

    parser = HttpRequestParser(None)
    with pytest.raises(RuntimeError):
        parser.__init__(Protocol())
    parser.feed_data(GET)


def test_another_parser_may_be_fed_from_a_callback() -> None:
    inner_protocol = Urls()
    inner = HttpRequestParser(inner_protocol)

    class Protocol:
        def on_url(self, url: bytes) -> None:
            inner.feed_data(GET)

    HttpRequestParser(Protocol()).feed_data(GET * 3)

    assert inner_protocol.urls == [b'/a'] * 3


def test_leniency_may_be_set_from_a_callback() -> None:
    class Protocol:
        def on_headers_complete(self) -> None:
            parser.set_dangerous_leniencies(lenient_data_after_close=True)

    parser = HttpRequestParser(Protocol())

    parser.feed_data(b'GET / HTTP/1.1\r\nConnection: close\r\n\r\nmore')


class NoInit(HttpRequestParser):
    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    'make',
    [
        NoInit,
        lambda: HttpRequestParser.__new__(HttpRequestParser),
        lambda: HttpRequestParser.__new__(HttpRequestParser, 1, x=2),
        HttpRequestParser.__mro__[1],
    ],
)
def test_parser_without_init_is_a_runtime_error(make: object) -> None:
    parser = make()

    for call in (
        lambda: parser.feed_data(GET),
        parser.get_http_version,
        parser.should_keep_alive,
        parser.should_upgrade,
        parser.set_dangerous_leniencies,
    ):
        with pytest.raises(RuntimeError, match='__init__'):
            call()


@pytest.mark.parametrize(
    ('cls', 'getter'),
    [
        (HttpRequestParser, 'get_method'),
        (HttpResponseParser, 'get_status_code'),
    ],
)
def test_getter_without_init_is_a_runtime_error(
    cls: type, getter: str
) -> None:
    with pytest.raises(RuntimeError):
        getattr(cls.__new__(cls), getter)()


def test_methods_refuse_another_object() -> None:
    with pytest.raises(TypeError):
        HttpRequestParser.feed_data(object(), GET)
    with pytest.raises(TypeError):
        HttpRequestParser.get_method(HttpResponseParser(None))


def test_parser_may_be_dropped_inside_a_callback() -> None:
    class Protocol(Urls):
        def on_url(self, url: bytes) -> None:
            super().on_url(url)
            self.parser = None
            gc.collect()

    protocol = Protocol()
    protocol.parser = HttpRequestParser(protocol)
    protocol.parser.feed_data(GET * 2)

    assert protocol.urls == [b'/a'] * 2


def test_data_may_be_dropped_inside_a_callback() -> None:
    holder = [b'GET /%d HTTP/1.1\r\nA: b\r\n\r\n' % 12345]
    seen = []

    class Protocol:
        def on_url(self, url: bytes) -> None:
            holder.clear()
            seen.append(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            seen.append((name, value))

    HttpRequestParser(Protocol()).feed_data(*holder)

    assert seen == [b'/12345', (b'A', b'b')]


def test_second_thread_gets_a_runtime_error() -> None:
    inside, done = threading.Event(), threading.Event()
    errors = []

    class Protocol:
        def on_url(self, url: bytes) -> None:
            inside.set()
            assert done.wait(10)

    parser = HttpRequestParser(Protocol())
    thread = threading.Thread(target=parser.feed_data, args=(GET,))
    thread.start()
    assert inside.wait(10)
    try:
        parser.feed_data(GET)
    except RuntimeError as error:
        errors.append(error)
    done.set()
    thread.join()

    assert len(errors) == 1
    assert parser.get_method() == b'GET'


def test_two_threads_feeding_one_parser_never_corrupt_it() -> None:
    protocol = Urls()
    parser = HttpRequestParser(protocol)
    fed = []
    start = threading.Barrier(2)

    def feed() -> None:
        start.wait()
        for _ in range(2000):
            try:
                parser.feed_data(GET)
            except RuntimeError:
                continue
            fed.append(1)

    threads = [threading.Thread(target=feed) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert protocol.urls == [b'/a'] * len(fed)


ASKED = [
    *('chunk_extensions', 'chunk_size', 'consumed', 'content_length'),
    *('get_http_version', 'get_method', 'keep_alive', 'message_complete'),
    *('paused', 'should_keep_alive', 'should_upgrade'),
]


def test_what_another_thread_asks_of_a_parser_does_no_harm() -> None:
    """An answer, or RuntimeError, to whoever comes second."""
    parser = HttpRequestParser(Urls())
    fed = threading.Event()

    def ask() -> None:
        while not fed.is_set():
            for name in ASKED:
                with contextlib.suppress(RuntimeError):
                    value = getattr(parser, name)
                    if callable(value):
                        value()

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for piece in split(CHUNKS, 7):
        while not try_to_feed(parser, piece):
            continue
    fed.set()
    for thread in threads:
        thread.join()

    assert parser.message_complete


def run_beside(*calls: Callable[[], object]) -> None:
    """Each many times, in a thread of its own."""

    def repeat(call: Callable[[], object]) -> None:
        start.wait()
        for _ in range(20_000):
            with contextlib.suppress(RuntimeError):
                call()

    start = threading.Barrier(len(calls))
    threads = [threading.Thread(target=repeat, args=(c,)) for c in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_second_init_in_another_thread_may_replace_on_error() -> None:
    """What is told of an error is held until it returns."""
    told = []
    parser = HttpRequestParser(None)

    def replace() -> None:
        parser.__init__(None, on_error=lambda error: told.append(error))

    replace()
    run_beside(replace, lambda: parser.feed_data(b'\0'))

    replace()
    told.clear()
    parser.feed_data(b'\0')
    assert len(told) == 1


class Derived(HttpRequestParser):
    pass


def test_attribute_may_be_set_while_another_thread_reads_it() -> None:
    parser = Derived(None)

    def set_it() -> None:
        parser.paused = [1]

    run_beside(set_it, lambda: parser.paused)

    assert parser.paused == [1]


def split(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def try_to_feed(parser: HttpRequestParser, data: bytes) -> bool:
    try:
        parser.feed_data(data)
    except RuntimeError:
        return False
    return True


def test_many_threads_with_a_parser_each_do_not_meet() -> None:
    results = []

    def feed(number: int) -> None:
        protocol = Urls()
        parser = HttpRequestParser(protocol)
        data = b'GET /%d HTTP/1.1\r\nHost: h\r\n\r\n' % number
        for _ in range(300):
            parser.feed_data(data[:9])
            parser.feed_data(data[9:])
        results.append(b''.join(protocol.urls) == b'/%d' % number * 300)

    threads = [threading.Thread(target=feed, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == [True] * 8


def test_httptools_errors_are_not_runtime_errors() -> None:
    """A server that catches the one does not hide the other."""
    assert not issubclass(httptools.HttpParserError, RuntimeError)
