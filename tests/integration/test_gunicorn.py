"""gunicorn's workers that run on uvloop: uvicorn's and aiohttp's."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import pytest

from tests.programs import curl, needs, wrk

pytest.importorskip('gunicorn')
pytest.importorskip('uvicorn')
pytest.importorskip('starlette')
pytest.importorskip('aiohttp')

HERE = Path(__file__).parent
MODULES = {'asyncio': 'asyncio.unix_events', 'uvloop_core': 'uvloop_core.loop'}
AIOHTTP = {
    'asyncio': 'aiohttp.GunicornWebWorker',
    'uvloop_core': 'aiohttp.GunicornUVLoopWebWorker',
}


@pytest.fixture(scope='module')
def gunicorn(loop_name, start):
    """Starts it with two workers of a kind."""

    def run(kind, app):
        command = ['-m', 'gunicorn', '--bind', '127.0.0.1:0', '-w', '2']
        command += ['--worker-class', kind, '--chdir', str(HERE), app]
        # The socket would lie in the user's folder.
        command += ['--no-control-socket', '--graceful-timeout', '5']
        if loop_name == 'uvloop_core':
            command += ['--config', str(HERE / 'gunicorn_conf.py')]
        return start(*command)

    return run


@pytest.fixture(scope='module')
def uvicorn(gunicorn):
    return gunicorn('uvicorn.workers.UvicornWorker', 'starlette_app:app')


@pytest.fixture(scope='module')
def aiohttp(gunicorn, loop_name):
    return gunicorn(AIOHTTP[loop_name], 'aiohttp_app:make_app()')


@pytest.fixture
def server(kind, uvicorn, aiohttp):
    return {'uvicorn': uvicorn, 'aiohttp': aiohttp}[kind]


@needs('curl')
def test_uvicorns_worker_runs_on_the_loop(uvicorn, loop_name):
    about = json.loads(curl(f'{uvicorn.url}/about'))

    assert about['loop'] == MODULES[loop_name]


@needs('curl')
def test_aiohttps_worker_runs_on_the_loop(aiohttp, loop_name):
    assert curl(f'{aiohttp.url}/loop').decode() == MODULES[loop_name]


@needs('wrk')
@pytest.mark.parametrize('kind', ['uvicorn', 'aiohttp'])
def test_wrk_sees_no_error(server, kind):
    wrk(f'{server.url}/', connections=50, seconds=1)


def workers(server):
    """The process ids of all that were ever started."""
    return re.findall(r'Booting worker with pid: (\d+)', server.said)


def is_alive(pid):
    return Path(f'/proc/{pid}').exists()


@needs('curl')
@pytest.mark.parametrize('kind', ['uvicorn', 'aiohttp'])
def test_workers_are_replaced_on_sighup(server, kind):
    old = workers(server)

    server.process.send_signal(signal.SIGHUP)
    # A worker that goes may close a connection that it has just accepted.
    deadline = time.monotonic() + 40
    while len(workers(server)) < len(old) + 2 or any(map(is_alive, old)):
        assert time.monotonic() < deadline, server.said
        time.sleep(0.01)

    assert curl(f'{server.url}/')
