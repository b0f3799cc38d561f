"""hello.py and echo.py do what examples/README.md says."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / 'examples'
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world\n'
REQUEST = b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'


def test_hello_is_twenty_lines():
    assert len((EXAMPLES / 'hello.py').read_text().splitlines()) == 20


def test_hello_answers_over_http(env):
    # Its port is a constant, since it is to be read; ours is any free one.
    source = (EXAMPLES / 'hello.py').read_text()
    with socket.create_server(('127.0.0.1', 0)) as probe:
        port = probe.getsockname()[1]
    source = source.replace('8000', str(port))
    process = subprocess.Popen([sys.executable, '-P', '-c', source], env=env)

    try:
        with connect_when_ready(process, port) as client:
            client.sendall(REQUEST * 2)
            with client.makefile('rb') as file:
                answer = file.read(2 * len(ANSWER))
    finally:
        process.kill()
        process.wait()

    assert answer == 2 * ANSWER


def connect_when_ready(process, port) -> socket.socket:
    while process.poll() is None:
        try:
            return socket.create_connection(('127.0.0.1', port), 10)
        except ConnectionRefusedError:
            continue
    pytest.fail('hello.py ended')


@pytest.fixture
def echo_port(env):
    process = subprocess.Popen(
        [sys.executable, '-P', EXAMPLES / 'echo.py', '0'],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    found = re.search(r':(\d+)$', process.stdout.readline())

    yield int(found[1])

    process.send_signal(signal.SIGINT)
    process.stdout.close()
    assert process.wait() == 0


def test_echo_sends_back_what_it_gets_and_then_closes(echo_port):
    data = bytes(range(256)) * 100_000

    with socket.create_connection(('127.0.0.1', echo_port), 10) as client:
        with client.makefile('rb') as file:
            writer = threading.Thread(target=send_all, args=(client, data))
            writer.start()
            out = file.read()
            writer.join()

    assert out == data


def send_all(client, data):
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
