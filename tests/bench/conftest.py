"""The client's program, and an honest server to run it against."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

if sys.platform != 'linux':
    pytest.skip('the benchmarks run on Linux', allow_module_level=True)

from bench.loads import build_client

Client = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope='session')
def program() -> str:
    return build_client()


@pytest.fixture
def client(program: str) -> Client:
    """Runs it: client(address, port, '--seconds 1')."""

    def run(
        address: str, port: int, options: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, address, str(port), *options.split()],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return run


@pytest.fixture
def echo_port() -> Iterator[int]:
    """Of an echo server in a thread, on asyncio's streams."""

    async def echo(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def serve() -> None:
        nonlocal port
        server = await asyncio.start_server(echo, '127.0.0.1', 0)
        port = server.sockets[0].getsockname()[1]
        started.set()
        async with server:
            while not ended.is_set():
                await asyncio.sleep(0.01)

    port = 0
    started, ended = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(10)
    yield port
    ended.set()
    thread.join()
