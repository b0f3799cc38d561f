"""The example server as a process of its own, and a client that sees bytes.

The loop it runs on is a parameter: what holds on one loop holds on all.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import uvloop_core
from tests.programs import PYTHON, environment

LOOPS = {
    'uvloop_core': uvloop_core.new_event_loop,
    'asyncio': asyncio.new_event_loop,
}
# On asyncio, `make test` runs these modules; the full run runs all on both.
ALWAYS_ON_BOTH = ['test_app', 'test_curl', 'test_requests']
DEADLINE = 20.0

COMMAND = [*PYTHON, '-m', 'examples.server']


@pytest.hookimpl(tryfirst=True)  # before the marks select
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        options = getattr(item, 'callspec', None)
        if (
            options is not None
            and options.params.get('loop_name') == 'asyncio'
            and item.path.stem not in ALWAYS_ON_BOTH
        ):
            item.add_marker(pytest.mark.slow)


class Server:
    """`python -m examples.server` on a free port."""

    def __init__(
        self, loop: str, *options: str, command: list[str] = COMMAND
    ) -> None:
        # A file, not a pipe: nobody would read a pipe while it runs.
        self._stderr = tempfile.TemporaryFile('w+')  # noqa: SIM115
        self.process = subprocess.Popen(
            [*command, '--port', '0', '--loop', loop, *options],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        assert self.process.stdout is not None
        found = re.search(r'http://\S+:(\d+)/', self.process.stdout.readline())
        if found is None:
            self.kill()
            pytest.fail(f'the server did not start: {self.stderr()}')
        self._stopping = False
        self._own = 0
        self._own = self.connections()
        self.url = found[0]
        self.port = int(found[1])

    def signal(self, number: int = signal.SIGTERM) -> None:
        self._stopping |= number in (signal.SIGTERM, signal.SIGINT)
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(DEADLINE)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def stderr(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read()

    def take_stderr(self) -> str:
        """What it said, which the test expected."""
        said = self.stderr()
        self._stderr.truncate(0)
        return said

    def close(self) -> None:
        """Stops it. It must have had nothing to complain about."""
        ended = self.process.poll() is not None
        try:
            if not ended:
                if not self._stopping:  # a second signal would cut short
                    self.signal()
                assert self.wait() == 0
        finally:
            self.kill()
            said = self.stderr()
            self._stderr.close()
        assert said == ''

    def connections(self) -> int:
        """How many sockets it holds besides its own: the listener, and the
        pair that signals wake the loop by."""
        folder = f'/proc/{self.process.pid}/fd'
        count = 0
        for fd in os.listdir(folder):
            try:
                count += os.readlink(f'{folder}/{fd}').startswith('socket:')
            except FileNotFoundError:
                continue  # closed meanwhile
        return count - self._own

    def rss(self) -> int:
        """Bytes of memory that it holds now."""
        if os.environ.get('PROFILE') == 'asan':
            return 0  # which keeps what was freed, to catch its use
        status = Path(f'/proc/{self.process.pid}/status').read_text()
        found = re.search(r'VmRSS:\s+(\d+) kB', status)
        assert found is not None
        return int(found[1]) * 1024


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes = b''
    complete: bool = field(default=True, repr=False)


class Client:
    """A TCP connection that speaks no more HTTP than it must."""

    def __init__(self, port: int, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer
            )
        self.socket.settimeout(DEADLINE)
        try:
            self.socket.connect(('127.0.0.1', port))
        except OSError:
            self.socket.close()
            raise
        self.file = self.socket.makefile('rb')

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def get(self, target: str, *headers: str, method: str = 'GET') -> None:
        self.send(head(target, *headers, method=method))

    def answer(self, method: str = 'GET') -> Answer:
        """The next response; status 0 if the connection ends instead."""
        line = self.file.readline()
        if not line:
            return Answer(0, {}, complete=False)
        answer = Answer(int(line.split()[1]), {})
        while (line := self.file.readline()) not in (b'\r\n', b''):
            name, _, value = line.decode('latin-1').partition(':')
            answer.headers[name.lower()] = value.strip()
        if method == 'HEAD' or answer.status in (100, 204, 304):
            return answer
        if 'chunked' in answer.headers.get('transfer-encoding', ''):
            self._read_chunks(answer)
        elif 'content-length' in answer.headers:
            size = int(answer.headers['content-length'])
            answer.body = self.file.read(size)
            answer.complete = len(answer.body) == size
        else:
            answer.body = self.file.read()
        return answer

    def _read_chunks(self, answer: Answer) -> None:
        answer.complete = False
        while (line := self.file.readline()).endswith(b'\n'):
            piece = self.file.read(int(line, 16))
            if self.file.readline() != b'\r\n':
                return
            answer.body += piece
            if not piece:
                answer.complete = True
                return

    def at_end(self) -> bool:
        """Whether the server has closed, with nothing more to say."""
        return self.file.read(1) == b''

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def head(target: str, *headers: str, method: str = 'GET') -> bytes:
    lines = [f'{method} {target} HTTP/1.1', 'Host: test', *headers, '', '']
    return '\r\n'.join(lines).encode('latin-1')


@pytest.fixture(scope='session', params=[*LOOPS])
def loop_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def loop_factory(loop_name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    return LOOPS[loop_name]


@pytest.fixture(scope='module')
def server(loop_name: str) -> Iterator[Server]:
    """One that a module's tests share."""
    server = Server(loop_name)
    yield server
    server.close()


@pytest.fixture
def start(loop_name: str) -> Iterator[Callable[..., Server]]:
    """Starts one of the test's own, with options."""
    servers: list[Server] = []

    def start(*options: str, **more: list[str]) -> Server:
        servers.append(Server(loop_name, *options, **more))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def connect(server: Server, receive_buffer: int = 0) -> Client:
        # Not clients[-1] in the end: threads call this side by side.
        client = Client(server.port, receive_buffer)
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.close()


@pytest.fixture(scope='session')
def command() -> list[str]:
    """The server's command line, for tests of its end."""
    return COMMAND


@pytest.fixture(scope='session')
def env() -> dict[str, str]:
    return environment()


@pytest.fixture
def request_head() -> Callable[..., bytes]:
    return head
