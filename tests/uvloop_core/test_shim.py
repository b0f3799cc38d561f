"""as_uvloop(): `import uvloop` is ours. Each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.programs import PYTHON, environment

SHIM = 'import uvloop_core; uvloop_core.as_uvloop()\n'


def run(code, *options):
    return subprocess.run(
        [*PYTHON, '-W', 'error', *options, '-c', code],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def output(code):
    done = run(SHIM + code)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    return done.stdout.split()


def test_import_uvloop_gives_ours():
    assert output(
        'import uvloop\n'
        'print(uvloop.Loop.__module__, uvloop.__version__)\n'
        'print(uvloop.new_event_loop is uvloop_core.new_event_loop)\n'
        'print(uvloop.run is uvloop_core.run)\n'
    ) == ['uvloop_core.loop', '0.23.0', 'True', 'True']


def test_it_runs_a_program_written_for_uvloop():
    assert output(
        'import asyncio, uvloop\n'
        'async def main():\n'
        '    return isinstance(asyncio.get_running_loop(), uvloop.Loop)\n'
        'print(uvloop.run(main()))\n'
        'with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:\n'
        '    print(runner.run(main()))\n'
    ) == ['True', 'True']


def test_its_module_loop_has_uvloops_names():
    assert output(
        'import uvloop.loop\n'
        'from uvloop.loop import Handle, TimerHandle, Server, TCPTransport\n'
        'from uvloop.loop import UDPTransport, UVFSEvent, FileSystemEvent\n'
        'from uvloop.loop import PseudoSocket, SSLProtocol\n'
        'from uvloop.loop import libuv_get_loop_t_ptr, libuv_get_version\n'
        'print(uvloop.loop.Loop is uvloop.Loop)\n'
    ) == ['True']


@pytest.mark.skipif(
    sys.version_info >= (3, 14), reason='policies are deprecated from 3.14 on'
)
def test_its_policy_makes_our_loops():
    assert output(
        'import asyncio, uvloop\n'
        'asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())\n'
        'loop = asyncio.new_event_loop()\n'
        'print(type(loop) is uvloop.Loop)\n'
        'loop.close()\n'
    ) == ['True']


def test_other_names_are_an_attribute_error():
    told = output(
        'import uvloop\n'
        'try:\n'
        '    uvloop.nothing\n'
        'except AttributeError as error:\n'
        '    print(error)\n'
    )

    assert told == "module 'uvloop' has no attribute 'nothing'".split()


def test_all_names_of_all_exist():
    assert output(
        'import uvloop, warnings\n'
        'warnings.simplefilter("ignore")\n'
        'for module in (uvloop, uvloop.loop):\n'
        '    for name in module.__all__:\n'
        '        getattr(module, name)\n'
        'print("done")\n'
    ) == ['done']


def test_calling_it_twice_changes_nothing():
    assert output(
        'import uvloop\nprint(uvloop_core.as_uvloop() is uvloop)\n'
    ) == ['True']


def test_it_is_found_without_being_imported():
    """As who asks whether it is installed does."""
    assert output(
        'import importlib.util\n'
        'print(importlib.util.find_spec("uvloop") is not None)\n'
    ) == ['True']


def test_uvloop_itself_must_not_be_imported_before():
    done = run(
        'import sys, types\n'
        'sys.modules["uvloop"] = types.ModuleType("uvloop")\n'
        'sys.modules["uvloop.loop"] = types.ModuleType("uvloop.loop")\n' + SHIM
    )

    assert done.returncode == 1
    assert 'RuntimeError: uvloop is imported already' in done.stderr


def test_importing_uvloop_core_changes_nothing():
    done = run(
        'import sys, uvloop_core\n'
        'assert "uvloop" not in sys.modules\n'
        'assert "uvloop_core.shim" not in sys.modules\n'
    )

    assert done.returncode == 0, done.stderr
