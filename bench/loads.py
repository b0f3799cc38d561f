"""What is done to a server: by bench/client.c, by wrk, or by this process.

Each is bounded in count and time, and goes to the loopback interface only.
"""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

from . import libraries
from .build import compile_c
from .cases import Case
from .processes import Failed, client_core, run

CLIENT_SOURCE = Path(__file__).with_name('client.c')
SCRIPTS = Path(__file__).with_name('cases')
BODY = bytes(range(256))
MOST = 10  # connections of check_answers
# The browser's, besides Host and the three that differ.
AGENT = (
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)'
    ' Chrome/%d.0.0.0 Safari/537.36'
)
BROWSER = (
    'Connection: keep-alive\r\nCache-Control: max-age=0\r\n'
    'Upgrade-Insecure-Requests: 1\r\n'
    'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'
    '\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n'
    'Accept-Language: en-US,en;q=0.9\r\nSec-Fetch-Dest: document\r\n'
    'Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n'
)


def build_client() -> str:
    openssl = libraries.openssl()
    return compile_c(CLIENT_SOURCE, f'-DWITH_TLS={bool(openssl):d}', *openssl)


# bench/client.c


def client_load(
    client: str, case: Case, told: dict[str, object], *bounds: str
) -> dict[str, float]:
    """Its figures; Failed for the first answer that is not the right one."""
    where = ['127.0.0.1', str(told.get('port'))]
    if case.endpoint == 'unix':
        where = ['unix', str(told.get('path'))]
    options = ['--connections', str(case.connections)]
    options += ['--size', str(case.size)]
    if case.kind == 'echo-tls':
        options.append('--tls')
    try:
        # It has a deadline of its own, which is shorter.
        output = run(
            [client, *where, *options, *bounds], 900, core=client_core()
        )
    except Failed as failed:
        raise Failed(str(failed).removeprefix('client: ')) from None
    figures: dict[str, float] = json.loads(output)
    return figures


# wrk

UNITS = {'us': 1.0, 'ms': 1e3, 's': 1e6, 'm': 60e6}


def wrk_load(case: Case, port: int, seconds: int) -> dict[str, float]:
    """Its figures; Failed for one answer that is not a 2xx, or none.

    It does not look at bodies: check_answers() does.
    """
    output = run(
        [
            *('wrk', '-t1', f'-c{case.connections}', f'-d{seconds}s'),
            *('--latency', '--timeout', '5s'),
            *('-s', str(SCRIPTS / case.script)),
            f'http://127.0.0.1:{port}/bytes/{case.size}',
        ],
        seconds + 60,
        core=client_core(),
    )
    return parse_wrk(output)


def parse_wrk(text: str) -> dict[str, float]:
    for trouble in ('Socket errors', 'Non-2xx'):
        if found := re.search(rf'{trouble}.*', text):
            raise Failed(f'wrk: {found[0]}')
    count = re.search(r'(\d+) requests in ', text)
    rate = re.search(r'Requests/sec: +([\d.]+)', text)
    latency = {
        f'p{percent}_us': float(number) * UNITS[unit]
        for percent, number, unit in re.findall(
            r'^ +(50|90|99)% +([\d.]+)(us|ms|s|m)$', text, re.MULTILINE
        )
    }
    if not count or not rate or len(latency) != 3 or count[1] == '0':
        raise Failed('wrk: not one answer came')
    requests, per_second = float(count[1]), float(rate[1])
    return {
        'requests': requests,
        'seconds': requests / per_second,
        'requests_per_second': per_second,
        **latency,
    }


# HTTP by this process, which looks at every byte


def head(case: Case, number: int) -> bytes:
    """A request that differs from the one before, as wrk's scripts do it."""
    lines = f'GET /bytes/{case.size}?n={number} HTTP/1.1\r\nHost: 127.0.0.1'
    agent = AGENT if case.script == 'browser.lua' else 'bench/%d'
    lines += f'\r\nUser-Agent: {agent % (number % 97)}\r\n'
    lines += f'Cookie: session={number * 2654435761 % 2**32:08x}\r\n'
    if case.script == 'browser.lua':
        lines += BROWSER
    return f'{lines}\r\n'.encode()


def check_answers(case: Case, port: int, count: int, patience: float) -> None:
    """Asks so many times, on several connections in turn, and compares every
    byte of each body; Failed for the first difference."""
    body = (BODY * (case.size // 256 + 1))[: case.size]
    connections = [Connection(port, patience) for _ in range(min(count, MOST))]
    try:
        for first in range(0, count, len(connections)):
            asked = connections[: count - first]
            for i, connection in enumerate(asked):
                connection.ask(head(case, first + i))
            for i, connection in enumerate(asked):
                connection.compare(body, first + i)
    finally:
        for connection in connections:
            connection.socket.close()


class Connection:
    """A keep-alive connection that knows which answer must come."""

    def __init__(self, port: int, patience: float) -> None:
        try:
            self.socket = socket.create_connection(
                ('127.0.0.1', port), patience
            )
        except OSError as error:
            raise Failed(f'connect: {error.strerror or error}') from None
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b''

    def ask(self, request: bytes) -> None:
        try:
            self.socket.sendall(request)
        except OSError as error:
            raise Failed(f'send: {error.strerror or error}') from None

    def receive(self, what: str, number: int) -> None:
        try:
            data = self.socket.recv(1 << 18)
        except OSError as error:
            why = error.strerror or 'nothing more came'
            raise Failed(
                f'short answer: {what} of request {number}: {why}'
            ) from None
        if not data:
            raise Failed(
                f'short answer: {what} of request {number}: it was closed'
            )
        self.data += data

    def compare(self, body: bytes, number: int) -> None:
        while b'\r\n\r\n' not in self.data:
            self.receive('the head', number)
        text, _, self.data = self.data.partition(b'\r\n\r\n')
        status, *lines = text.decode('latin-1').split('\r\n')
        if not re.match(r'HTTP/1\.1 200( |$)', status):
            raise Failed(f'wrong answer: {status!r} to request {number}')
        headers = dict(re.split(r': *', line, maxsplit=1) for line in lines)
        length = {k.lower(): v for k, v in headers.items()}.get(
            'content-length'
        )
        if length != str(len(body)):
            raise Failed(
                f'wrong answer: Content-Length of request {number} is'
                f' {length}, not {len(body)}'
            )
        while len(self.data) < len(body):
            self.receive(f'{len(self.data)} of {len(body)} bytes', number)
        if len(self.data) > len(body):
            raise Failed(f'long answer: to request {number}')
        if self.data != body:
            at = next(i for i, byte in enumerate(body) if self.data[i] != byte)
            raise Failed(
                f'wrong answer: byte {at} of request {number} is'
                f' 0x{self.data[at]:02x}, not 0x{body[at]:02x}'
            )
        self.data = b''
