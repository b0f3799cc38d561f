"""Web sockets by the package websockets: its client, its server, uvicorn.

uvicorn runs on the loop with each of its implementations of web sockets.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.test_uvicorn import LOOPS

websockets = pytest.importorskip('websockets')

pytestmark = pytest.mark.slow

LARGE = 'abcdefghij' * 400_000
# Of uvicorn; "websockets" is the package's old one.
IMPLEMENTATIONS = ['websockets', 'websockets-sansio', 'wsproto']
# By the package's own server, in the test's loop.
HERE = ['here', 'here with TLS']


def start_uvicorn(implementation, loop_name, start):
    command = ['-m', 'uvicorn', 'starlette_app:app', '--port', '0']
    command += ['--http', 'httptools', '--ws', implementation]
    command += ['--loop', LOOPS[loop_name][0]]
    command += ['--app-dir', str(Path(__file__).parent)]
    command += ['--no-access-log', '--no-use-colors']
    return start(*command).url.replace('http', 'ws')


@pytest.fixture(scope='module', params=IMPLEMENTATIONS)
def uvicorn(request, loop_name, start):
    return start_uvicorn(request.param, loop_name, start)


@pytest.fixture(scope='module', params=[*HERE, *IMPLEMENTATIONS])
def place(request, loop_name, start):
    """The URL of uvicorn, or a member of HERE."""
    if request.param in HERE:
        return request.param
    return start_uvicorn(request.param, loop_name, start)


async def upper(socket):
    async for text in socket:
        await socket.send(text.upper())


@pytest.fixture
def at_place(place, run, server_tls, client_tls):
    """Runs test(url, tls) in the loop, where the URL talks in capitals."""

    async def main(test, scheme='ws', tls=(None, None)):
        serving = websockets.serve(
            upper, '127.0.0.1', 0, ssl=tls[0], max_size=None
        )
        async with serving as server:
            port = server.sockets[0].getsockname()[1]
            await test(f'{scheme}://127.0.0.1:{port}', tls[1])

    if place == 'here':
        return lambda test: run(main(test))
    if place == 'here with TLS':
        return lambda test: run(main(test, 'wss', (server_tls, client_tls)))
    return lambda test: run(test(f'{place}/talk', None))


def connect(url, tls, **options):
    return websockets.connect(url, ssl=tls, proxy=None, **options)


def test_twenty_talk_at_once(at_place):
    async def talk(url, tls, number):
        async with connect(url, tls) as socket:
            for turn in range(10):
                await socket.send(f'a{number}.{turn}')
                assert await socket.recv() == f'A{number}.{turn}'

    async def test(url, tls):
        await asyncio.gather(*(talk(url, tls, n) for n in range(20)))

    at_place(test)


@pytest.mark.parametrize('compression', ['deflate', None])
def test_a_large_message_comes_back(at_place, compression):
    async def test(url, tls):
        async with connect(
            url, tls, compression=compression, max_size=None
        ) as socket:
            await socket.send(LARGE)
            assert await socket.recv() == LARGE.upper()

    at_place(test)


def test_a_message_in_pieces_comes_back(at_place):
    async def test(url, tls):
        async with connect(url, tls) as socket:
            await socket.send(f'piece {number} ' for number in range(100))
            text = ''.join(f'PIECE {number} ' for number in range(100))
            assert await socket.recv() == text

    at_place(test)


def test_a_ping_is_answered(at_place):
    async def test(url, tls):
        async with connect(url, tls) as socket:
            answered = await socket.ping()
            assert await answered >= 0.0

    at_place(test)


def test_many_messages_are_answered_in_order(at_place):
    async def send(socket):
        for number in range(5000):
            await socket.send(f'a{number}')

    async def test(url, tls):
        async with connect(url, tls) as socket:
            sending = asyncio.create_task(send(socket))
            for number in range(5000):
                assert await socket.recv() == f'A{number}'
            await sending

    at_place(test)


def test_a_client_that_vanishes_does_not_harm_the_server(at_place):
    async def test(url, tls):
        async with connect(url, tls) as lost:
            await lost.send('abc')
            assert await lost.recv() == 'ABC'
            lost.transport.abort()
            await lost.wait_closed()

        async with connect(url, tls) as socket:
            await socket.send('abc')
            assert await socket.recv() == 'ABC'

    at_place(test)


def test_what_is_no_web_socket_is_refused(uvicorn, run):
    async def main():
        with pytest.raises(websockets.InvalidStatus, match='403'):
            async with connect(uvicorn, None):
                pass

    run(main())
