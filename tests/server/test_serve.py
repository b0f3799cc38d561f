"""How serve() stops, when requests come in between its steps."""

from __future__ import annotations

import asyncio
import importlib
import signal
import socket
import threading

import pytest

limits = importlib.import_module('examples.server.limits')
response = importlib.import_module('examples.server.response')
serve = importlib.import_module('examples.server.serve')

GET = b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'


@pytest.fixture
def serve_once(loop_factory):
    """Serves until it has answered the first request, which gets SIGTERM."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    numbers = [signal.SIGTERM]

    def app(request):
        while numbers:
            signal.raise_signal(numbers.pop())
        return response.Response(b'x')

    def serve_once(sock) -> int:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(
                serve.serve(sock, app, limits.Limits(), lambda: None)
            )

    yield serve_once
    signal.pthread_sigmask(signal.SIG_SETMASK, before)  # serve() blocks them


class Reader(threading.Thread):
    """Reads all that a client is told, and hangs up when the server does."""

    def __init__(self, client: socket.socket) -> None:
        super().__init__()
        self.client = client
        self.said = b''
        self.start()

    def run(self) -> None:
        with self.client, self.client.makefile('rb') as file:
            self.said = file.read()


def test_requests_that_come_while_it_stops_are_answered(
    serve_once, monkeypatch
):
    sock = serve.listen('127.0.0.1', 0)
    client = socket.create_connection(sock.getsockname())
    late = socket.socket()
    accept_all = serve.accept_all

    def accept_late(sock):
        late.connect(sock.getsockname())
        client.sendall(GET * 5)  # read while `late` becomes a connection
        return accept_all(sock)

    monkeypatch.setattr(serve, 'accept_all', accept_late)
    client.sendall(GET)
    reader = Reader(client)

    with late:
        assert serve_once(sock) == 0

    reader.join()
    assert reader.said.count(b'HTTP/1.1 200 OK') == 6
    assert reader.said.count(b'Connection: close') == 1
