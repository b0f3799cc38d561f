"""bench/peers: the servers answer right; those that need nothing installed.

The others are held to the same by each round of the bench, which compares
every byte of an echo, and a hundred HTTP answers before and after wrk.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from bench.cases import Case
from bench.loads import Connection, check_answers, head
from bench.measure import Server, serving
from bench.peers import Peer, Unavailable, all_peers

SIZES = [1, 900, 1024, 10 * 1024, 100 * 1024]
HTTP_SIZES = [0, *SIZES]
PATIENCE = 10
VALUES = bytes(range(256))

Serve = Callable[[Case], AbstractContextManager[Server]]


def needs_nothing(peer: Peer) -> bool:
    return not peer.requirements and peer.name not in ('Node.js', 'Go')


def each(kind: str) -> pytest.MarkDecorator:
    peers = [
        pytest.param(peer, id=peer.name)
        for peer in all_peers()
        if kind in peer.servers and needs_nothing(peer)
    ]
    return pytest.mark.parametrize('peer', peers)


@pytest.fixture
def serve(peer: Peer, program: str) -> Serve:
    try:
        prefix = peer.install()
    except Unavailable as unavailable:
        pytest.skip(str(unavailable))
    return lambda case: serving(program, peer, case, prefix)


def case_of(kind: str, endpoint: str = 'tcp', **more) -> Case:
    load = 'wrk' if kind == 'http' else 'client'
    return Case('case', 'A case', kind, load, endpoint, **more)


@each('echo')
@pytest.mark.parametrize('endpoint', ['tcp', 'unix'])
def test_an_echo_is_right_in_every_byte(serve, endpoint):
    with serve(case_of('echo', endpoint)) as server:
        for size in SIZES:
            server.case = case_of('echo', endpoint, size=size)

            server.ask(105, PATIENCE)


@each('echo')
def test_300_connections_are_served(serve):
    with serve(case_of('echo', connections=300)) as server:
        server.ask(900, PATIENCE)


@each('echo')
def test_a_client_that_does_not_read_gets_all_in_the_end(serve):
    text = VALUES * (32 * 1024)
    with serve(case_of('echo')) as server:
        address = ('127.0.0.1', server.port)
        with socket.create_connection(address, PATIENCE) as client:
            client.setblocking(False)
            sent = 0
            try:
                while sent < len(text):
                    sent += client.send(text[sent:])
            except BlockingIOError:
                pass  # the server has stopped to read
            client.settimeout(PATIENCE)
            client.shutdown(socket.SHUT_WR)

            with client.makefile('rb') as file:
                got = file.read()

    assert got == text[:sent]


@each('echo-tls')
def test_an_echo_over_tls_is_right_in_every_byte(serve):
    try:
        with serve(case_of('echo-tls')) as server:
            for size in SIZES:
                server.case = case_of('echo-tls', size=size)

                server.ask(105, PATIENCE)
    except Unavailable as unavailable:
        pytest.skip(str(unavailable))


@each('http')
@pytest.mark.parametrize('script', ['short.lua', 'browser.lua'])
def test_an_http_answer_is_right_in_every_byte(serve, script):
    with serve(case_of('http')) as server:
        for size in HTTP_SIZES:
            case = case_of('http', size=size, script=script)

            check_answers(case, server.port, 25, PATIENCE)


@each('http')
def test_pipelined_requests_are_answered_in_their_order(serve):
    sizes = HTTP_SIZES * 20
    requests = [head(case_of('http', size=n), i) for i, n in enumerate(sizes)]
    answers = b''.join(VALUES * (n // 256) + VALUES[: n % 256] for n in sizes)
    with serve(case_of('http')) as server:
        connection = Connection(server.port, PATIENCE)
        connection.ask(b''.join(requests))

        bodies = [body_of(connection, size) for size in sizes]
        connection.socket.close()

    assert b''.join(bodies) == answers


def body_of(connection: Connection, size: int) -> bytes:
    """The next answer's, which must be of that size."""
    while b'\r\n\r\n' not in connection.data:
        connection.receive('a head', 0)
    text, _, connection.data = connection.data.partition(b'\r\n\r\n')
    assert text.startswith(b'HTTP/1.1 200 OK\r\n')
    assert b'content-length: %d' % size in text.lower()
    while len(connection.data) < size:
        connection.receive('a body', 0)
    body = connection.data[:size]
    connection.data = connection.data[size:]
    return body


@each('http')
def test_a_request_may_come_byte_by_byte(serve):
    request = head(case_of('http', size=900, script='browser.lua'), 1)
    with serve(case_of('http')) as server:
        connection = Connection(server.port, PATIENCE)
        for i in range(len(request)):
            connection.ask(request[i : i + 1])

        assert body_of(connection, 900) == (VALUES * 4)[:900]
        connection.socket.close()


@each('http')
@pytest.mark.parametrize(
    ('request_line', 'status'),
    [
        (b'GET /bytes/x HTTP/1.1', b'404'),
        (b'GET /bytes/ HTTP/1.1', b'404'),
        (b'GET / HTTP/1.1', b'404'),
        (b'GET /bytes/99999999999999999999 HTTP/1.1', b'404'),
        (b'GET /bytes/1 HTTP/3.7', b'400'),
        (b'GET /bytes/1 HTTP/1.0', b'200'),
    ],
)
def test_the_status_says_what_it_thinks_of_a_request(
    serve, request_line, status
):
    with serve(case_of('http')) as server:
        address = ('127.0.0.1', server.port)
        with socket.create_connection(address, PATIENCE) as client:
            client.sendall(
                request_line + b'\r\nHost: x\r\nConnection: close\r\n\r\n'
            )
            with client.makefile('rb') as file:
                answer = file.read()  # to the end of the connection

    assert answer.split(b' ', 2)[1] == status
