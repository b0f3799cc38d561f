"""Requests as bytes on one connection: order, framing, keep-alive."""

from __future__ import annotations

import socket

import pytest


def test_two_pipelined_requests_are_answered_in_order(
    server, connect, request_head
):
    client = connect(server)

    client.send(request_head('/bytes/1000000') + request_head('/bytes/3'))

    assert len(client.answer().body) == 1000000
    assert client.answer().body == b'\0\1\2'


def test_a_thousand_requests_in_one_write_are_answered_in_order(
    server, connect, request_head
):
    client = connect(server)

    client.send(b''.join(request_head(f'/bytes/{n}') for n in range(1000)))

    for n in range(1000):
        assert len(client.answer().body) == n


def test_pipelined_uploads_keep_to_their_requests(
    server, connect, request_head
):
    client = connect(server)
    parts = []
    for n in range(50):
        body = b'%d' % n * 1000
        length = f'Content-Length: {len(body)}'
        parts += [request_head('/echo', length, method='POST'), body]

    client.send(b''.join(parts))

    for n in range(50):
        assert client.answer().body == b'%d' % n * 1000


@pytest.mark.parametrize('step', [1, 2, 7])
def test_a_request_may_come_in_any_pieces(server, connect, request_head, step):
    client = connect(server)
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    chunked = 'Transfer-Encoding: chunked'
    data = request_head('/echo', chunked, method='POST')
    data += b'3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n' + request_head('/bytes/2')

    for start in range(0, len(data), step):
        client.send(data[start : start + step])

    assert client.answer().body == b'abcde'
    assert client.answer().body == b'\0\1'


def test_connection_close_is_honoured_and_announced(server, connect):
    client = connect(server)

    client.get('/bytes/1', 'Connection: close')

    assert client.answer().headers['connection'] == 'close'
    assert client.at_end()


def test_nothing_after_connection_close_is_answered(
    server, connect, request_head
):
    client = connect(server)

    client.send(request_head('/', 'Connection: close') + request_head('/'))

    assert client.answer().status == 200
    assert client.at_end()


def test_http_1_0_closes_unless_asked_to_keep_alive(server, connect):
    client = connect(server)

    client.send(b'GET /bytes/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
    kept = client.answer()
    client.send(b'GET /bytes/1 HTTP/1.0\r\n\r\n')
    closed = client.answer()

    assert kept.headers['connection'] == 'keep-alive'
    assert closed.headers['connection'] == 'close'
    assert client.at_end()


def test_a_half_closed_client_still_gets_its_answers(
    server, connect, request_head
):
    client = connect(server)

    client.send(request_head('/bytes/3000000') + request_head('/bytes/1'))
    client.socket.shutdown(socket.SHUT_WR)

    assert len(client.answer().body) == 3000000
    assert client.answer().body == b'\0'
    assert client.at_end()


def test_100_continue_waits_for_the_turn_of_its_request(
    server, connect, request_head
):
    client = connect(server)
    expect = ('Content-Length: 3', 'Expect: 100-continue')

    client.send(
        request_head('/bytes/500000')
        + request_head('/echo', *expect, method='POST')
    )

    assert len(client.answer().body) == 500000
    assert client.answer().status == 100
    client.send(b'abc')
    assert client.answer().body == b'abc'


def test_100_continue_is_not_sent_if_nobody_reads_the_body(server, connect):
    client = connect(server)
    expect = ('Content-Length: 3', 'Expect: 100-continue')

    client.get('/headers', *expect, method='POST')

    answer = client.answer()
    assert answer.status == 405
    # The body may come or not: only a close tells the next request from it.
    assert answer.headers['connection'] == 'close'


def test_a_body_that_nobody_reads_is_skipped(server, connect):
    client = connect(server)
    body = b'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n'

    client.get('/', f'Content-Length: {len(body)}', method='POST')
    client.send(body)
    client.get('/bytes/2')

    assert client.answer().status == 405
    assert client.answer().body == b'\0\1'


def test_an_upgrade_is_ignored(server, connect, request_head):
    client = connect(server)
    upgrade = ('Connection: Upgrade', 'Upgrade: h2c')

    client.send(request_head('/bytes/4', *upgrade) + request_head('/bytes/5'))

    assert len(client.answer().body) == 4
    assert len(client.answer().body) == 5


def test_the_body_of_an_upgrade_is_never_read_as_a_request(
    server, connect, request_head
):
    client = connect(server)
    smuggled = request_head('/bytes/5')
    upgrade = ('Connection: Upgrade', 'Upgrade: h2c')

    length = f'Content-Length: {len(smuggled)}'
    client.get('/echo', *upgrade, length, method='POST')
    client.send(smuggled)
    client.get('/bytes/1')

    assert client.answer().body == smuggled
    assert client.answer().body == b'\0'


def test_trailers_do_not_reach_the_head(server, connect):
    client = connect(server)

    client.get('/headers', 'Transfer-Encoding: chunked')
    client.send(b'0\r\nHost: evil\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n')
    answer = client.answer()
    client.get('/bytes/1')

    assert b'evil' not in answer.body
    assert client.answer().body == b'\0'


@pytest.mark.parametrize(
    ('target', 'path'),
    [
        ('/headers', '/headers'),
        ('/headers?a=/b', '/headers'),
        ('/headers#f', '/headers'),
        ('/%68eaders', '/headers'),
        ('http://test/headers', '/headers'),
        ('http://u:p@test:8080/headers?q', '/headers'),
    ],
)
def test_every_form_of_target_is_understood(server, connect, target, path):
    client = connect(server)

    client.get(target)

    answer = client.answer()
    assert answer.status == 200
    assert f'"path": "{path}"'.encode() in answer.body


def test_a_response_carries_the_date(server, connect):
    client = connect(server)

    client.get('/')

    assert client.answer().headers['date'].endswith(' GMT')
