"""uvicorn serves a Starlette app through our parser, on our loop."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
from pathlib import Path

import pytest

import httptools
from tests.programs import curl, needs, wrk

pytest.importorskip('uvicorn')
pytest.importorskip('starlette')
aiohttp = pytest.importorskip('aiohttp')

LOOPS = {
    'asyncio': ('asyncio', 'asyncio.unix_events'),
    'uvloop_core': ('uvloop_core:new_event_loop', 'uvloop_core.loop'),
}


@pytest.fixture(scope='module')
def uvicorn(loop_name, start):
    command = ['-m', 'uvicorn', 'starlette_app:app', '--port', '0']
    command += ['--http', 'httptools', '--ws', 'wsproto']
    command += ['--loop', LOOPS[loop_name][0]]
    # --app-dir: without it the current folder goes before PYTHONPATH.
    command += ['--app-dir', str(Path(__file__).parent)]
    command += ['--no-access-log', '--no-use-colors']
    return start(*command)


def test_the_original_httptools_is_not_installed():
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution('httptools')


@needs('curl')
def test_parser_and_loop_are_those_asked_for(uvicorn, loop_name):
    about = json.loads(curl(f'{uvicorn.url}/about'))

    assert about['parser'] == httptools._http.__file__
    assert about['loop'] == LOOPS[loop_name][1]


@needs('curl')
def test_curl_gets_the_page(uvicorn):
    assert curl(f'{uvicorn.url}/?a=b') == b'x' * 1024


@needs('curl')
@pytest.mark.parametrize('header', ['X: y', 'Transfer-Encoding: chunked'])
def test_curl_gets_its_upload_back(uvicorn, tmp_path, header):
    body = tmp_path / 'body'
    body.write_bytes(os.urandom(2_000_000))

    out = curl('--header', header, '--data-binary', f'@{body}',
               f'{uvicorn.url}/echo')  # fmt: skip

    assert out == body.read_bytes()


@needs('curl')
def test_curl_gets_a_body_in_pieces(uvicorn):
    out = curl(f'{uvicorn.url}/pieces')

    assert out == bytes(range(256)) * 256 * 64


@needs('wrk')
@pytest.mark.parametrize('path', ['', 'pieces'])
def test_wrk_sees_no_error(uvicorn, path):
    wrk(f'{uvicorn.url}/{path}', connections=100, seconds=2)


def test_twenty_web_sockets_talk_at_once(uvicorn, run):
    async def talk(session, number):
        async with session.ws_connect(f'{uvicorn.url}/talk') as socket:
            for turn in range(10):
                await socket.send_str(f'a{number}.{turn}')
                assert await socket.receive_str() == f'A{number}.{turn}'

    async def main():
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(talk(session, n) for n in range(20)))

    run(main())
