"""data_received = parser.feed_data: nobody between to catch exceptions."""

from __future__ import annotations

import asyncio
import socket

import pytest

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
    HttpResponseParser,
)

GET = b'GET /a HTTP/1.1\r\nHost: h\r\n\r\n'
UPGRADE = b'GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'


class Urls:
    def __init__(self) -> None:
        self.urls: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self.urls.append(url)


def test_error_goes_to_on_error_and_what_follows_is_inert() -> None:
    errors: list[Exception] = []
    urls = Urls()
    parser = HttpRequestParser(urls, on_error=errors.append)

    parser.feed_data(b'\0')
    parser.feed_data(GET)
    parser.feed_eof()

    assert [type(error) for error in errors] == [HttpParserInvalidMethodError]
    assert urls.urls == []


def test_protocol_may_have_on_parse_error() -> None:
    class Protocol(Urls):
        def on_parse_error(self, error: Exception) -> None:
            self.error = error

    protocol = Protocol()
    HttpRequestParser(protocol).feed_data(b'\0')

    assert protocol.error.name == 'HPE_INVALID_METHOD'


def test_upgrade_goes_to_on_error_with_the_rest() -> None:
    errors: list[Exception] = []
    parser = HttpRequestParser(None, on_error=errors.append)

    parser.feed_data(GET + UPGRADE + b'rest')
    parser.feed_data(GET)

    assert [type(error) for error in errors] == [HttpParserUpgrade]
    assert errors[0].args == (len(GET + UPGRADE),)
    assert errors[0].rest == b'rest'
    assert parser.consumed == len(GET + UPGRADE)


def test_rest_of_an_upgrade_is_there_without_on_error_too() -> None:
    for data in (UPGRADE + b'rest', bytearray(UPGRADE + b'rest')):
        with pytest.raises(HttpParserUpgrade) as caught:
            HttpRequestParser(None).feed_data(data)
        assert caught.value.rest == b'rest'


def test_on_error_may_reset_and_feed_the_parser() -> None:
    urls = Urls()

    def again(error: Exception) -> None:
        parser.reset()
        parser.feed_data(GET)

    parser = HttpRequestParser(urls, on_error=again)
    parser.feed_data(b'\0')

    assert urls.urls == [b'/a']


def test_callback_error_goes_to_on_error() -> None:
    class Wrong:
        def on_url(self, url: bytes) -> None:
            raise LookupError('no')

    errors: list[Exception] = []
    HttpRequestParser(Wrong(), on_error=errors.append).feed_data(GET)

    assert type(errors[0]) is HttpParserCallbackError
    assert isinstance(errors[0].__cause__, LookupError)


def test_keyboard_interrupt_does_not_go_to_on_error() -> None:
    class Wrong:
        def on_url(self, url: bytes) -> None:
            raise KeyboardInterrupt

    errors: list[Exception] = []
    parser = HttpRequestParser(Wrong(), on_error=errors.append)
    with pytest.raises(KeyboardInterrupt):
        parser.feed_data(GET)

    assert errors == []


def test_what_on_error_raises_comes_out() -> None:
    def wrong(error: Exception) -> None:
        raise LookupError('no')

    with pytest.raises(LookupError):
        HttpRequestParser(None, on_error=wrong).feed_data(b'\0')


def test_wrong_argument_is_raised_all_the_same() -> None:
    parser = HttpRequestParser(None, on_error=print)

    with pytest.raises(TypeError):
        parser.feed_data('text')


def test_without_on_error_the_error_is_raised_again() -> None:
    parser = HttpRequestParser(None)

    for _ in range(2):
        with pytest.raises(HttpParserError):
            parser.feed_data(b'\0')


def test_pause_keeps_the_rest_in_order() -> None:
    class Pausing(Urls):
        def on_message_complete(self) -> None:
            parser.pause()

    urls = Pausing()
    parser = HttpRequestParser(urls)
    requests = [b'GET /%d HTTP/1.1\r\n\r\n' % i for i in range(5)]
    parser.feed_data(requests[0] + requests[1] + requests[2][:7])
    parser.feed_data(bytearray(requests[2][7:] + requests[3]))
    parser.feed_data(requests[4])
    seen = [len(urls.urls)]
    while parser.paused:
        parser.resume()
        seen.append(len(urls.urls))

    assert b''.join(urls.urls) == b'/0/1/2/3/4'
    assert seen[:2] == [1, 2]
    assert parser.consumed == sum(map(len, requests))


NAMES = [
    'on_message_begin',
    'on_url',
    'on_header',
    'on_headers_complete',
    'on_body',
    'on_chunk_header',
    'on_chunk_complete',
    'on_message_complete',
]


@pytest.mark.parametrize('size', [1, 3, 1000])
@pytest.mark.parametrize('names', [*([name] for name in NAMES), NAMES])
def test_pause_in_any_callback_loses_nothing(
    names: list[str], size: int
) -> None:
    data = (
        b'POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n'
        b'3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n'
        b'POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyz' + GET
    )

    def collect(pausing: list[str]) -> list[object]:
        class Protocol:
            pass

        def add(name: str) -> None:
            def callback(*args: bytes) -> None:
                if name not in NAMES or name not in pausing:
                    log.append((name, *args))
                    return
                log.append((name, *args))
                parser.pause()

            setattr(Protocol, name, staticmethod(callback))

        log: list[object] = []
        for name in NAMES:
            add(name)
        parser = HttpRequestParser(Protocol())
        for i in range(0, len(data), size):
            parser.feed_data(data[i : i + size])
        while parser.paused:
            parser.resume()
        assert parser.consumed == len(data)
        return log

    def joined(log: list[object]) -> list[object]:
        result: list[object] = []
        for name, *args in log:
            if name in ('on_url', 'on_body') and result[-1][0] == name:
                result[-1] = (name, result[-1][1] + args[0])
            elif args != [b'']:
                result.append((name, *args))
        return result

    assert joined(collect(names)) == joined(collect([]))


def test_no_callback_is_called_while_paused() -> None:
    urls = Urls()
    parser = HttpRequestParser(urls)
    parser.pause()

    parser.feed_data(GET)
    assert urls.urls == []

    parser.resume()
    assert urls.urls == [b'/a']


def test_exact_bytes_are_kept_without_a_copy() -> None:
    bodies: list[bytes] = []

    class Protocol:
        def on_body(self, body: bytes) -> None:
            bodies.append(body)

    parser = HttpRequestParser(Protocol())
    parser.feed_data(b'POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n')
    parser.pause()
    body = bytes(range(9))
    parser.feed_data(body)
    parser.resume()

    assert bodies[0] is body


def test_resume_in_the_callback_undoes_pause() -> None:
    class Protocol(Urls):
        def on_message_begin(self) -> None:
            parser.pause()
            parser.resume()

    urls = Protocol()
    parser = HttpRequestParser(urls)
    parser.feed_data(GET)

    assert urls.urls == [b'/a']


def test_error_in_what_was_kept_comes_out_of_resume() -> None:
    parser = HttpRequestParser(None)
    parser.pause()
    parser.feed_data(b'\0')

    with pytest.raises(HttpParserInvalidMethodError):
        parser.resume()


def test_rest_of_an_upgrade_found_by_resume_is_all_that_was_fed() -> None:
    parser = HttpRequestParser(None)
    parser.pause()
    parser.feed_data(UPGRADE + b'a')
    parser.feed_data(b'b')
    parser.feed_data(b'c')

    with pytest.raises(HttpParserUpgrade) as caught:
        parser.resume()

    assert caught.value.rest == b'abc'


def test_eof_while_paused_comes_last() -> None:
    complete: list[int] = []

    class Protocol:
        def on_message_complete(self) -> None:
            complete.append(1)

    parser = HttpResponseParser(Protocol())
    parser.feed_data(b'HTTP/1.1 200 OK\r\n\r\n')
    parser.pause()
    parser.feed_data(b'body')
    parser.feed_eof()
    assert complete == []

    parser.resume()
    assert complete == [1]


def test_feed_data_is_data_received() -> None:
    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            parser = HttpRequestParser(self, header_names='lower')
            self.data_received = parser.feed_data

        def on_request(self, method, target, version, headers, flags):
            self.transport.write(target + b' ' + headers[0][0])

        def on_parse_error(self, error: Exception) -> None:
            self.transport.write(b' %d' % error.status)
            self.transport.close()

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        await loop.connect_accepted_socket(Server, ours)
        reader, writer = await asyncio.open_connection(sock=theirs)
        writer.write(GET + b'\0')
        answer = await reader.read()
        writer.close()
        return answer

    assert asyncio.run(main()) == b'/a host 400'
