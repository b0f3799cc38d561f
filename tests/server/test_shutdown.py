"""SIGTERM and SIGINT: what was begun is finished, nothing is cut off."""

from __future__ import annotations

import signal
import socket
import threading
import time
from math import inf

import pytest


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_idle_server_with_0(start, number):
    server = start()

    server.signal(number)

    assert server.wait() == 0


def test_no_connection_is_accepted_after_the_signal(start):
    server = start()

    server.signal()
    server.wait()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(('127.0.0.1', server.port))


def test_a_response_under_way_is_sent_in_full(start, connect):
    server = start()
    client = connect(server)
    client.get('/bytes/60000000')
    client.file.peek(1)  # it has begun

    server.signal()

    answer = client.answer()
    assert len(answer.body) == 60000000
    assert client.at_end()
    client.close()
    assert server.wait() == 0


def test_an_upload_under_way_is_answered_in_full(start, connect):
    server = start()
    client = connect(server)
    expect = ('Content-Length: 6', 'Expect: 100-continue')
    client.get('/echo', *expect, method='POST')
    assert client.answer().status == 100  # so the head was read

    server.signal()
    wait_until_it_refuses(server)
    client.send(b'abc')
    client.send(b'def')

    answer = client.answer()
    assert answer.body == b'abcdef'
    assert answer.headers['connection'] == 'close'
    assert client.at_end()


def test_a_head_under_way_is_finished_and_answered(start, connect):
    server = start()
    client, other = connect(server), connect(server)
    client.send(b'GET /bytes/5 HTTP/1.1\r\n')
    other.get('/bytes/1')
    other.answer()  # so the server has also read what came before

    server.signal()
    wait_until_it_refuses(server)
    time.sleep(0.5)  # not to synchronise: to be later than the last call
    client.send(b'Host: x\r\n\r\n')

    answer = client.answer()
    assert answer.body == bytes(range(5))
    assert answer.headers['connection'] == 'close'


def test_requests_in_the_socket_at_the_signal_are_answered(
    start, connect, request_head
):
    server = start()
    clients = [connect(server) for _ in range(20)]
    for client in clients:
        client.get('/bytes/1')
        client.answer()
    requests = b''.join(request_head(f'/bytes/{n}') for n in range(20))

    # Stopped, it reads nothing: all of it waits in the kernel, the signal too.
    server.signal(signal.SIGSTOP)
    for client in clients:
        client.send(requests)
    server.signal()
    server.signal(signal.SIGCONT)

    for client in clients:
        answers = [client.answer() for _ in range(20)]
        assert [len(answer.body) for answer in answers] == list(range(20))
        assert client.at_end()


def test_requests_that_back_pressure_held_back_are_answered(
    start, connect, request_head
):
    server = start('--pipelined', '2')
    client = connect(server, receive_buffer=4096)
    client.send(request_head('/bytes/20000000') + request_head('/bytes/1') * 2)
    client.file.peek(1)  # it has begun, and now nothing more is read

    client.send(request_head('/bytes/2') * 10)
    server.signal()
    wait_until_it_refuses(server)

    assert len(client.answer().body) == 20000000
    sizes = [len(client.answer().body) for _ in range(11)]
    last = client.answer()
    assert [*sizes, len(last.body)] == [1] * 2 + [2] * 10
    assert last.headers['connection'] == 'close'
    assert client.at_end()


def test_a_late_signal_changes_nothing(start):
    server = start()

    server.signal()
    # Not so many that Python's wakeup socket is full, which it complains of.
    while server.process.poll() is None:
        server.signal()
        time.sleep(0.01)

    # The second one does not wait, but there was nothing to cut off.
    assert server.wait() == 0


def test_connections_not_accepted_at_the_signal_are_served(start, connect):
    server = start()

    server.signal(signal.SIGSTOP)
    clients = [connect(server) for _ in range(20)]
    for client in clients:
        client.get('/bytes/7')
    server.signal()
    server.signal(signal.SIGCONT)

    for client in clients:
        assert len(client.answer().body) == 7
        assert client.at_end()


def test_idle_connections_end_without_a_reset(start, connect):
    server = start()
    used, fresh = connect(server), connect(server)
    used.get('/bytes/1')
    used.answer()

    server.signal()

    assert used.at_end()
    assert fresh.at_end()
    assert server.wait() == 0


def test_what_does_not_end_is_cut_off_after_the_grace(start, connect):
    server = start('--grace-seconds', '0.5')
    client = connect(server)
    client.get('/echo', 'Content-Length: 5', 'Expect: 100-continue',
               method='POST')  # fmt: skip
    client.answer()

    server.signal()

    assert server.wait() == 1
    assert server.take_stderr() == (
        'examples.server: stopped with 1 connections cut off\n'
    )


def test_a_second_signal_does_not_wait(start, connect):
    server = start()
    client = connect(server)
    client.get('/echo', 'Content-Length: 5', 'Expect: 100-continue',
               method='POST')  # fmt: skip
    client.answer()
    began = time.monotonic()

    server.signal()
    wait_until_it_refuses(server)
    server.signal()

    assert server.wait() == 1
    assert time.monotonic() - began < 20  # the grace is 30 seconds
    assert 'cut off' in server.take_stderr()


def wait_until_it_refuses(server) -> None:
    """The signal has been seen when the listener is closed."""
    while True:
        try:
            socket.create_connection(('127.0.0.1', server.port)).close()
        except ConnectionRefusedError:
            return
        except OSError:
            continue


class Poster(threading.Thread):
    """POSTs numbered requests until the connection ends, and keeps count.

    Sent means that the kernel had all of it: on the loopback that is the
    server's receive buffer, unless Nagle's algorithm waits for the server to
    acknowledge what came before.
    """

    def __init__(self, client, number, pipelined) -> None:
        super().__init__()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client = client
        self.number = number
        self.pipelined = pipelined
        self.sent: list[tuple[float, bytes]] = []
        self.answered: list[bytes] = []
        self.closed = False  # the server said that it would close
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self.closed:
                for _ in range(self.pipelined):
                    self.post()
                for _ in range(self.pipelined):
                    answer = self.client.answer()
                    if answer.status == 0:
                        return
                    assert answer.status == 200 and answer.complete
                    self.answered.append(answer.body)
                    self.closed = answer.headers.get('connection') == 'close'
                    if self.closed:
                        assert self.client.at_end()
                        return
        except Exception as error:
            self.error = error

    def post(self) -> None:
        body = b'%d.%d ' % (self.number, len(self.sent)) * 50
        head = b'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n'
        self.client.send(head % len(body) + body)
        self.sent.append((time.monotonic(), body))


@pytest.mark.parametrize('pipelined', [1, 5])
@pytest.mark.parametrize(
    'rounds', [3, pytest.param(12, marks=[pytest.mark.slow,
                                           pytest.mark.timeout(900)])]
)  # fmt: skip
def test_under_load_all_that_was_sent_before_the_signal_is_answered(
    start, connect, rounds, pipelined
):
    for _ in range(rounds):
        server = start('--linger-seconds', '0.2')
        idle = connect(server)
        posters = [
            Poster(connect(server), number, pipelined) for number in range(20)
        ]
        for poster in posters:
            poster.start()
        posters[-1].join(0.2)  # some load, for some time

        at = time.monotonic()
        server.signal()

        for poster in posters:
            poster.join()
            assert_all_answered(poster, at)
        assert idle.at_end()
        assert server.wait() == 0


@pytest.mark.parametrize(
    'rounds', [3, pytest.param(20, marks=[pytest.mark.slow,
                                          pytest.mark.timeout(900)])]
)  # fmt: skip
def test_connections_that_come_with_the_signal_are_not_lost(
    start, connect, rounds
):
    for _ in range(rounds):
        server = start('--linger-seconds', '0.1')
        unanswered: list[float] = []
        callers = [
            threading.Thread(
                target=call_until_refused, args=(server, connect, unanswered)
            )
            for _ in range(8)
        ]
        for caller in callers:
            caller.start()
        callers[0].join(0.05)  # some load, for some time

        at = time.monotonic()
        server.signal()

        for caller in callers:
            caller.join()
        assert [sent for sent in unanswered if sent < at] == []
        assert server.wait() == 0


def call_until_refused(server, connect, unanswered) -> None:
    """A connection for each request; notes when those were sent that got no
    answer."""
    while True:
        try:
            client = connect(server)
        except OSError:
            return
        sent = inf  # it was not
        try:
            client.get('/bytes/3')
            sent = time.monotonic()
            if client.answer().body != bytes(range(3)):
                unanswered.append(sent)
        except OSError:
            unanswered.append(sent)
        client.close()


def assert_all_answered(poster, at) -> None:
    """In order, in full, and every one that was sent before the signal."""
    assert poster.error is None, poster.error
    bodies = [body for _, body in poster.sent]
    assert poster.answered == bodies[: len(poster.answered)]
    before = sum(sent < at for sent, _ in poster.sent)
    assert before > 0
    assert len(poster.answered) >= before
    # One that sends no request before the last was answered loses none at
    # all: its last call comes in good time.
    if poster.pipelined == 1:
        assert poster.closed
        assert poster.answered == bodies
