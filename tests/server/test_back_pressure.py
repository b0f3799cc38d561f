"""Neither a slow reader nor a fast writer makes the server grow."""

from __future__ import annotations

import threading

MEGABYTE = 1_000_000


def test_an_upload_whose_echo_is_not_read_is_held_back(server, connect):
    client = connect(server)
    client.get('/echo', f'Content-Length: {50 * MEGABYTE}', method='POST')
    before = server.rss()
    piece = bytes(range(256)) * 4096
    sent = 0

    client.socket.settimeout(1)
    try:
        while sent < 50 * MEGABYTE:
            sent += client.socket.send(piece[: 50 * MEGABYTE - sent])
    except TimeoutError:
        pass

    # What the kernel's four buffers hold is all that went.
    assert sent < 40 * MEGABYTE
    assert server.rss() - before < 10 * MEGABYTE


def test_an_upload_held_back_goes_on_when_the_echo_is_read(server, connect):
    client = connect(server)
    body = bytes(range(256)) * 200_000
    client.get('/echo', f'Content-Length: {len(body)}', method='POST')
    before = server.rss()

    writer = threading.Thread(target=client.send, args=(body,))
    writer.start()
    answer = client.answer()
    writer.join()

    assert answer.body == body
    assert server.rss() - before < 10 * MEGABYTE


def test_a_slow_reader_costs_little_memory(server, connect):
    clients = [connect(server, receive_buffer=4096) for _ in range(10)]
    before = server.rss()

    for client in clients:
        client.get('/bytes/60000000')
        client.file.peek(1)  # it has begun

    assert server.rss() - before < 10 * MEGABYTE


def test_the_same_bytes_come_whole_in_the_end(server, connect):
    client = connect(server, receive_buffer=4096)

    client.get('/bytes/8000000')

    assert client.answer().body == bytes(range(256)) * (8000000 // 256)


def test_others_are_served_while_one_does_not_read(server, connect):
    slow, quick = connect(server, receive_buffer=4096), connect(server)

    slow.get('/bytes/60000000')
    slow.file.peek(1)
    quick.get('/bytes/1')

    assert quick.answer().body == b'\0'
