"""Every answer that is not 200, and the server that goes on after it."""

from __future__ import annotations

import socket
import struct

import pytest

HOST = b'Host: x\r\n'
GET = b'GET / HTTP/1.1\r\n' + HOST
CHUNKED = b'Transfer-Encoding: chunked\r\n'
POST = b'POST /echo HTTP/1.1\r\n' + HOST

REFUSED = {
    'garbage': (b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n', 400),
    'unknown method': (b'BREW / HTTP/1.1\r\n' + HOST + b'\r\n', 400),
    'no host': (b'GET / HTTP/1.1\r\n\r\n', 400),
    'two hosts': (GET + HOST + b'\r\n', 400),
    'bad header name': (GET + b'A B: c\r\n\r\n', 400),
    'bad header value': (GET + b'A: \0\r\n\r\n', 400),
    'folded header': (GET + b'A: b\r\n c\r\n\r\n', 400),
    'bad length': (POST + b'Content-Length: -1\r\n\r\n', 400),
    'two lengths': (POST + b'Content-Length: 1\r\n' * 2 + b'\r\n', 400),
    'length and chunks': (
        POST + b'Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
        400,
    ),
    'chunks in 1.0': (
        b'POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n',
        400,
    ),
    'two codings': (POST + b'Transfer-Encoding: gzip, chunked\r\n\r\n', 501),
    'codings in two lines': (
        POST + CHUNKED.replace(b'chunked', b'gzip') + CHUNKED + b'\r\n',
        501,
    ),
    'bad chunk': (POST + b'Transfer-Encoding: chunked\r\n\r\nxyz\r\n', 400),
    'http 0.9': (b'GET /\r\n' + HOST + b'\r\n', 400),
    'http 2.0': (b'GET / HTTP/2.0\r\n' + HOST + b'\r\n', 505),
    'http 2 preface': (b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505),
    'bad target': (b'GET http:// HTTP/1.1\r\n' + HOST + b'\r\n', 400),
    'connect': (b'CONNECT x:80 HTTP/1.1\r\n' + HOST + b'\r\n', 400),
    'expectation': (POST + b'Content-Length: 1\r\nExpect: x\r\n\r\n', 417),
    'body too long': (POST + b'Content-Length: 9999999999\r\n\r\n', 413),
    'head too long': (GET + b'A: ' + b'b' * 40000 + b'\r\n\r\n', 431),
    'target too long': (b'GET /' + b'b' * 40000, 414),
    'too many headers': (GET + b'A: b\r\n' * 101 + b'\r\n', 431),
    'blank lines without end': (b'\r\n' * 20000, 431),
    'trailers without end': (
        POST + CHUNKED + b'\r\n0\r\n' + b'A: b\r\n' * 40000,
        431,
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', REFUSED)
def test_what_cannot_be_served_is_refused_and_closed(server, connect, name):
    data, status = REFUSED[name]
    client = connect(server)

    client.send(data)

    answer = client.answer()
    assert answer.status == status
    assert answer.complete and answer.body
    # A target is the app's business, its framing is sound: it may go on.
    if name != 'bad target':
        assert answer.headers['connection'] == 'close'
        assert client.at_end()


@pytest.mark.parametrize('name', REFUSED)
def test_what_is_refused_does_not_depend_on_the_pieces(server, connect, name):
    data, status = REFUSED[name]
    client = connect(server)
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    for start in range(0, len(data), 4000):
        client.send(data[start : start + 4000])
    if len(data) < 4000:
        client.close()
        client = connect(server)
        for byte in data:
            client.send(bytes([byte]))

    assert client.answer().status == status


@pytest.mark.parametrize(
    ('method', 'target', 'status'),
    [
        ('GET', '/nothing', 404),
        ('GET', '/bytes/', 404),
        ('GET', '/bytes/x', 404),
        ('GET', '/bytes/-1', 404),
        ('GET', '/bytes/' + '9' * 5000, 400),
        ('GET', '/bytes/67108865', 400),
        ('GET', '*', 404),
        ('POST', '/', 405),
        ('GET', '/echo', 405),
        ('HEAD', '/echo', 405),
        ('DELETE', '/bytes/1', 405),
        ('OPTIONS', '/headers', 405),
    ],
)
def test_what_is_not_there_keeps_the_connection(
    server, connect, method, target, status
):
    client = connect(server)

    client.get(target, method=method)
    answer = client.answer(method)
    client.get('/bytes/1')

    assert answer.status == status
    assert bool(answer.body) == (method != 'HEAD')
    assert client.answer().body == b'\0'


def test_405_says_what_is_allowed(server, connect):
    client = connect(server)

    client.get('/bytes/1', method='POST')

    assert client.answer().headers['allow'] == 'GET, HEAD'


def test_requests_before_a_bad_one_are_answered_first(
    server, connect, request_head
):
    client = connect(server)

    client.send(request_head('/bytes/900000') + request_head('/') + b'\0\0\0')

    assert len(client.answer().body) == 900000
    assert client.answer().status == 200
    assert client.answer().status == 400
    assert client.at_end()


def test_a_head_request_that_is_refused_gets_no_body(server, connect):
    client = connect(server)

    client.get('/', 'A: \0', method='HEAD')

    assert client.answer('HEAD').status == 400
    assert client.at_end()


def test_a_request_cut_off_is_answered_400(server, connect):
    client = connect(server)

    client.send(POST + b'Content-Length: 5\r\n\r\nabc'[:-1])
    client.socket.shutdown(socket.SHUT_WR)

    answer = client.answer()
    assert answer.status == 200 and not answer.complete
    assert client.at_end()


def test_a_head_cut_off_is_answered_400(server, connect):
    client = connect(server)

    client.send(GET)
    client.socket.shutdown(socket.SHUT_WR)

    assert client.answer().status == 400
    assert client.at_end()


def test_a_bad_chunk_after_the_response_began_breaks_it_off(server, connect):
    client = connect(server)

    client.send(POST + b'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
    head = client.file.readline()
    client.send(b'no chunk\r\n')
    rest = client.file.read()

    assert head == b'HTTP/1.1 200 OK\r\n'
    assert rest.endswith(b'\r\n3\r\nabc\r\n')  # and no last chunk


def test_an_early_refusal_reaches_a_client_that_goes_on_sending(
    server, connect
):
    client = connect(server)

    client.send(POST + b'Content-Length: 9999999999\r\n\r\n')
    for _ in range(50):
        client.send(bytes(100_000))

    assert client.answer().status == 413


def test_a_client_that_resets_does_no_harm(server, connect):
    for data in (
        b'',
        GET,
        GET + b'\r\n',
        POST + b'Content-Length: 9\r\n\r\na',
    ):
        client = connect(server)
        client.send(data)
        client.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)
        )
        client.close()
    client = connect(server)
    client.get('/bytes/1')

    assert client.answer().body == b'\0'
