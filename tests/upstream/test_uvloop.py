"""uvloop's own tests, from its sdist, against our loop.

What fails is in expected.txt, with the reason and the issue that will mend
it; anything else that fails, or one of those that passes, fails here.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path

import pytest

from tests.compatibility import names_in, read_methods
from tests.upstream import suite

MODULES = [
    'test_base:TestBaseUV,TestPolicy',
    'test_tcp:Test_UV_TCP',
    'test_tcp:Test_UV_TCPSSL',
    'test_unix:Test_UV_Unix,Test_UV_UnixSSL',
    'test_pipes:Test_UV_Pipes',
    'test_process:Test_UV_Process,TestAsyncio_UV_Process,'
    'Test_UV_Process_Delayed',
    'test_process_spawning',
    'test_context:Test_UV_Context',
    'test_signals:Test_UV_Signals',
    'test_udp:Test_UV_UDP',
    'test_fs_event:Test_UV_FS_Event',
    'test_libuv_api:Test_UV_libuv',
    'test_dealloc',
    'test_runner',
    'test_executors:TestUVExecutors',
    'test_sockets:TestUVSockets',
    'test_dns:Test_UV_DNS',
    'test_aiohttp:Test_UV_AioHTTP',
    'test_regr1',
    'test_testbase',
    'test_cython',
    'test_sourcecode',
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return suite.uvloop_suite(tmp_path_factory.mktemp('uvloop'))


@pytest.mark.timeout(900)
@pytest.mark.parametrize('module', MODULES)
def test_uvloops_tests_end_as_expected(folder: Path, module: str) -> None:
    results = list(suite.run(folder, [module]))

    wrong = suite.compare(results)

    assert results, f'{module} has no tests'
    assert not wrong, '\n'.join(wrong)


def methods_of(source: str) -> dict[str, set[str]]:
    """Those of uvloop's loop that do something, with their arguments."""
    begin = r'^    (?:async )?def (\w+)\(([^)]*)\):'
    _, *parts = re.split(begin, source, flags=re.M)
    found = zip(parts[0::3], parts[1::3], parts[2::3], strict=True)
    return {
        name: set(re.findall(r'(\w+)(?:=[^,]*)?(?:,|$)', arguments))
        for name, arguments, body in found
        if not body.strip().startswith('raise NotImplementedError')
    }


def test_what_the_table_says_of_its_methods_is_true(folder: Path) -> None:
    sources = folder.parent.glob('uvloop-*/uvloop/loop.pyx')
    theirs = methods_of(next(sources).read_text())

    for name, row in read_methods().items():
        said = names_in(row.uvloop)
        if name not in theirs:
            assert said == {'NotImplementedError'}, name
        elif 'kwargs' not in theirs[name]:
            method = getattr(asyncio.SelectorEventLoop, name)
            wanted = {*inspect.signature(method).parameters, *row.since()}
            assert said - theirs[name] == wanted - theirs[name] - {'kwargs'}
