"""Sizes and times that a client may not exceed."""

from __future__ import annotations

import time

import pytest


def test_a_head_may_be_as_long_as_the_limit(start, connect, request_head):
    server = start('--head-bytes', '4000')
    client = connect(server)
    value = 'x' * 3800

    client.send(request_head('/bytes/1', f'A: {value}') * 20)

    for _ in range(20):
        assert client.answer().status == 200


def test_a_head_over_the_limit_is_refused_in_one_piece(
    start, connect, request_head
):
    server = start('--head-bytes', '4000')
    client = connect(server)
    value = 'x' * 4000

    client.send(request_head('/bytes/1') + request_head('/', f'A: {value}'))

    assert client.answer().status == 200
    assert client.answer().status == 431
    assert client.at_end()


def test_a_head_without_end_is_refused_before_it_is_kept(server, connect):
    client = connect(server)
    client.get('/bytes/1')
    client.answer()
    before = server.rss()

    client.send(b'GET / HTTP/1.1\r\nA: ')
    try:
        for _ in range(300):
            client.send(b'x' * 100_000)
    except ConnectionError:
        pass  # it lingered for a second and then had enough

    assert server.rss() - before < 10_000_000


def test_a_chunked_body_over_the_limit_is_refused(start, connect):
    server = start('--body-bytes', '1000')
    client = connect(server)

    client.get('/echo', 'Transfer-Encoding: chunked', method='POST')
    client.send(b'400\r\n')  # the size is enough to know

    assert client.answer().status == 413
    assert client.at_end()


def test_a_chunked_body_that_exceeds_the_limit_breaks_the_echo_off(
    start, connect
):
    server = start('--body-bytes', '1000')
    client = connect(server)

    client.get('/echo', 'Transfer-Encoding: chunked', method='POST')
    client.send(b'3e8\r\n' + b'x' * 1000 + b'\r\n')
    client.file.peek(1)  # it has begun
    client.send(b'1\r\nx\r\n')

    assert not client.answer().complete
    assert client.at_end()


def test_a_body_over_the_limit_is_refused_by_its_length(start, connect):
    server = start('--body-bytes', '1000')
    client = connect(server)

    client.get('/echo', 'Content-Length: 1001', method='POST')

    assert client.answer().status == 413
    assert client.at_end()


def test_a_connection_that_asks_nothing_is_closed(start, connect):
    server = start('--idle-seconds', '1', '--linger-seconds', '0.1')
    fresh, used = connect(server), connect(server)

    used.get('/bytes/1')

    assert used.answer().body == b'\0'
    assert used.at_end()
    assert fresh.at_end()


def test_a_busy_connection_is_not_idle(start, connect):
    server = start('--idle-seconds', '1')
    client = connect(server)
    end = time.monotonic() + 2

    while time.monotonic() < end:
        client.get('/bytes/1')
        assert client.answer().status == 200


def test_a_head_that_takes_too_long_gets_408(start, connect):
    server = start('--head-seconds', '0.3')
    client = connect(server)
    began = time.monotonic()

    # One byte after another does not help: the time is for the whole head.
    client.socket.settimeout(0.02)
    for byte in b'GET / HTTP/1.1\r\nX: ' + b'x' * 1000:
        client.send(bytes([byte]))
        try:
            line = client.socket.recv(1000)
            break
        except TimeoutError:
            continue

    assert line.startswith(b'HTTP/1.1 408 ')
    assert 0.25 < time.monotonic() - began < 10


def test_each_head_has_a_time_of_its_own(start, connect, request_head):
    server = start('--head-seconds', '1')
    client = connect(server)
    head = request_head('/bytes/1')
    end = time.monotonic() + 2

    # A head is always under way, but none of them takes long.
    client.send(head[:9])
    while time.monotonic() < end:
        client.send(head[9:] + head[:9])
        assert client.answer().status == 200


@pytest.mark.parametrize('target', ['/echo', '/'])
def test_a_body_that_stops_coming_ends_the_connection(start, connect, target):
    server = start('--body-seconds', '0.2')
    client = connect(server)

    client.get(target, 'Content-Length: 10', method='POST')

    assert client.answer().status == (408 if target == '/echo' else 405)
    assert client.at_end()


def test_a_body_may_take_long_if_it_comes_steadily(start, connect):
    server = start('--body-seconds', '1')
    client = connect(server)
    client.get('/echo', 'Content-Length: 40', method='POST')
    client.file.flush()

    client.socket.settimeout(0.05)
    for _ in range(40):
        client.send(b'x')
        # What is echoed is the clock: each byte comes back, and 50 ms pass.
        try:
            while client.socket.recv(1000):
                continue
        except TimeoutError:
            continue
    client.socket.settimeout(10)
    client.get('/bytes/1')

    assert client.answer().status == 200


def test_a_client_that_reads_nothing_is_dropped(start, connect):
    server = start('--write-seconds', '0.3')
    client = connect(server)

    client.get('/bytes/60000000')
    client.file.peek(1)  # it has begun
    # Nothing more is read until the server gives up, as its fds show.
    while server.connections():
        time.sleep(0.01)

    assert not client.answer().complete


def test_requests_in_the_pipeline_are_bounded(start, connect, request_head):
    server = start()
    client = connect(server)
    before = server.rss()
    client.socket.settimeout(2)

    # The first answer is not read, so the others wait, and so do we at last.
    client.get('/bytes/60000000')
    many = request_head('/bytes/1') * 2000
    with pytest.raises(TimeoutError):
        while True:
            client.send(many)

    assert server.rss() - before < 20_000_000
