"""new_event_loop, run, install, EventLoopPolicy, and the package's names."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import warnings

import pytest

import uvloop_core
from uvloop_core import Loop, new_event_loop, run

POLICIES_WARN = sys.version_info >= (3, 14)


@pytest.fixture
def policy():
    """Ours is installed; afterwards it is not."""
    with warnings.catch_warnings():
        if POLICIES_WARN:
            warnings.simplefilter('ignore', DeprecationWarning)
        ours = uvloop_core.EventLoopPolicy()
        asyncio.set_event_loop_policy(ours)
        yield ours
        asyncio.set_event_loop_policy(None)


async def running_loop():
    return asyncio.get_running_loop()


def test_new_event_loop_makes_a_loop():
    loop = new_event_loop()

    assert type(loop) is Loop
    assert isinstance(loop, asyncio.AbstractEventLoop)
    loop.close()


def test_run_returns_the_result_and_closes_the_loop():
    loop = run(running_loop())

    assert isinstance(loop, Loop)
    assert loop.is_closed()


def test_run_passes_debug_on():
    async def debug():
        return asyncio.get_running_loop().get_debug()

    assert run(debug(), debug=True) is True
    assert run(debug(), debug=False) is False


def test_run_refuses_another_kind_of_loop():
    coroutine = running_loop()

    with pytest.raises(TypeError, match=r'uses a non-uvloop event loop'):
        run(coroutine, loop_factory=asyncio.SelectorEventLoop)
    coroutine.close()


def test_run_does_not_run_inside_of_a_loop():
    async def nested():
        coroutine = running_loop()
        with pytest.raises(RuntimeError, match=r'from a running event loop'):
            run(coroutine)
        coroutine.close()

    run(nested())


def test_a_runner_takes_new_event_loop():
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert isinstance(runner.run(running_loop()), Loop)


def test_the_policy_makes_our_loops(policy):
    loop = asyncio.new_event_loop()

    assert type(loop) is Loop
    loop.close()


def test_the_policy_keeps_a_loop_for_each_thread(policy):
    loop = new_event_loop()
    policy.set_event_loop(loop)
    elsewhere = []

    def look():
        with pytest.raises(RuntimeError, match=r'There is no current event l'):
            policy.get_event_loop()
        elsewhere.append(True)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert policy.get_event_loop() is loop
    assert elsewhere == [True]
    policy.set_event_loop(None)
    loop.close()


def test_the_policy_never_makes_a_loop_by_itself(policy):
    with pytest.raises(
        RuntimeError, match="no current event loop in thread '"
    ):
        policy.get_event_loop()


def test_the_policy_takes_loops_only(policy):
    with pytest.raises(TypeError, match=r'must be an instance of AbstractEve'):
        policy.set_event_loop('spam')


def test_install_sets_the_policy():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        uvloop_core.install()
    try:
        loop = asyncio.new_event_loop()
        assert type(loop) is Loop
        loop.close()
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)
            asyncio.set_event_loop_policy(None)
    told = [item.category for item in caught]
    assert told == [DeprecationWarning] * (sys.version_info >= (3, 12))


def test_importing_does_not_make_the_policy():
    program = (
        'import uvloop_core\n'
        'assert "EventLoopPolicy" not in vars(uvloop_core.policy)\n'
        'assert uvloop_core.EventLoopPolicy is uvloop_core.EventLoopPolicy\n'
    )
    path = os.pathsep.join(sys.path)
    environ = {**os.environ, 'PYTHONPATH': path}

    subprocess.run([sys.executable, '-c', program], env=environ, check=True)


def test_other_names_are_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'spam'"):
        uvloop_core.spam  # noqa: B018


def test_all_names_of_all_exist():
    assert all(hasattr(uvloop_core, name) for name in uvloop_core.__all__)


def test_the_version_is_that_of_the_distribution():
    httptools = pytest.importorskip('httptools')

    assert uvloop_core.__version__ == httptools.__version__


def test_libuv_tells_its_version():
    assert uvloop_core.libuv_version() == '1.52.1'
