"""aiohttp's web server under uvloop_core.run()."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.programs import curl, needs, wrk

aiohttp = pytest.importorskip('aiohttp')

PROGRAM = Path(__file__).with_name('aiohttp_app.py')
MODULES = {'asyncio': 'asyncio.unix_events', 'uvloop_core': 'uvloop_core.loop'}


@pytest.fixture(scope='module')
def server(loop_name, start):
    return start(str(PROGRAM), loop_name)


@needs('curl')
def test_the_loop_is_the_one_asked_for(server, loop_name):
    assert curl(f'{server.url}/loop').decode() == MODULES[loop_name]


@needs('curl')
@pytest.mark.parametrize('path', ['echo', 'stream'])
@pytest.mark.parametrize('header', ['X: y', 'Transfer-Encoding: chunked'])
def test_curl_gets_its_upload_back(server, tmp_path, header, path):
    body = tmp_path / 'body'
    body.write_bytes(os.urandom(2_000_000))

    out = curl('--header', header, '--data-binary', f'@{body}',
               f'{server.url}/{path}')  # fmt: skip

    assert out == body.read_bytes()


@needs('wrk')
@pytest.mark.parametrize(
    ('path', 'connections'), [('', 100), ('pieces/8', 20)]
)
def test_wrk_sees_no_error(server, path, connections):
    wrk(f'{server.url}/{path}', connections=connections, seconds=2)


def test_twenty_web_sockets_talk_at_once(server, run):
    async def talk(session, number):
        async with session.ws_connect(f'{server.url}/talk') as socket:
            for turn in range(10):
                await socket.send_str(f'a{number}.{turn}')
                assert await socket.receive_str() == f'A{number}.{turn}'

    async def main():
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(talk(session, n) for n in range(20)))

    run(main())
