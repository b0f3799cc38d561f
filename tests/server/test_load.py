"""Many connections: not one error, and nothing is left of them."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.programs import PYTHON, needs, wrk

DIFFERENT = Path(__file__).with_name('different.lua')
BODY = bytes(range(256)) * 12
RESET = struct.pack('ii', 1, 0)

brief_and_long = pytest.mark.parametrize(
    'seconds', [2, pytest.param(10, marks=pytest.mark.slow)]
)


@needs('wrk')
@brief_and_long
@pytest.mark.parametrize('size', [1024, 102400])
def test_300_connections_see_no_error(server, size, seconds):
    wrk(f'{server.url}bytes/{size}', connections=300, seconds=seconds)


@needs('wrk')
@brief_and_long
def test_300_connections_with_different_requests_see_no_error(server, seconds):
    options = ('-s', str(DIFFERENT))

    wrk(server.url, *options, connections=300, seconds=seconds)


@needs('wrk')
@brief_and_long
def test_connections_of_one_request_each_see_no_error(server, seconds):
    options = ('-H', 'Connection: close')

    wrk(f'{server.url}bytes/99', *options, connections=50, seconds=seconds)


def visit(port: int, count: int, ending: str) -> None:
    """So many connections at once, each with one request."""
    last = b'Connection: close\r\n' if ending == 'server' else b''
    request = b'GET /bytes/%d HTTP/1.1\r\nHost: x\r\n%s\r\n'
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(('127.0.0.1', port)))
            for _ in range(count)
        ]
        for client in clients:
            client.sendall(request % (len(BODY), last))
        for client in clients:
            if ending == 'unread':
                continue
            got = b''
            while BODY not in got:
                got += client.recv(65536)
            if ending == 'reset':
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            elif ending == 'server':
                assert client.recv(65536) == b''


def visits(port: int, count: int) -> None:
    """Connections that end in each of four ways, 100 at a time."""
    for ending in ('client', 'server', 'reset', 'unread'):
        for _ in range(count // 400):
            visit(port, 100, ending)


def held(server, connect) -> dict[str, int]:
    """What the server holds once it has seen that all others are gone.

    A handle's file is closed a little before the handle is: at the end of the
    next poll, in which the first request may already be answered.
    """
    client = connect(server)
    while server.connections() > 1:
        continue
    for _ in range(2):
        client.get('/held')
        counts = json.loads(client.answer().body)
    client.close()
    return counts


@pytest.mark.timeout(150)
def test_nothing_is_left_of_10000_connections(start, connect, loop_name):
    server = start(command=[*PYTHON, '-m', 'tests.server.counted'])
    visits(server.port, 10_000)  # by then memory is as high as it gets
    before, memory = held(server, connect), server.rss()

    visits(server.port, 10_000)

    after = held(server, connect)
    if loop_name == 'uvloop_core':
        assert after.pop('opened') >= before.pop('opened') + 10_000
    # Of these the interpreter has one more or less by itself.
    assert after.pop('objects') - before.pop('objects') < 10
    assert after == before
    # The heap's high-water mark moves a little; one connection takes more
    # than 400 bytes.
    assert server.rss() - memory < 4_000_000
