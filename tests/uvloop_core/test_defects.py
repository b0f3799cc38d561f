"""Defects that users of uvloop have reported, where no other test has them.

docs/compatibility.md lists them all, each with the test that shows it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.compatibility import read_defects
from tests.programs import environment


@pytest.fixture
def listener():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        sock.listen(100)
        sock.setblocking(False)
        yield sock


def run_program(code):
    """It must end by itself, and have nothing to say."""
    done = subprocess.run(
        [sys.executable, '-P', '-W', 'ignore', '-c', textwrap.dedent(code)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize('count', range(5))
@pytest.mark.parametrize('given', [False, True], ids=['host', 'sock'])
def test_the_number_of_a_cancelled_connect_is_anybodys(
    loop, listener, given, count
):
    sock = socket.create_connection(listener.getsockname())
    host, port = listener.getsockname()
    to = {'sock': sock} if given else {'host': host, 'port': port}

    async def main():
        connecting = loop.create_connection(asyncio.Protocol, **to)
        task = asyncio.ensure_future(connecting)
        await turns(count)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            (await task)[0].abort()
        await turns(4)
        sock.close()
        with contextlib.ExitStack() as stack:
            # These get the lowest numbers that are free.
            for each in [socket.socket() for _ in range(10)]:
                loop.add_reader(stack.enter_context(each), print)
                assert loop.remove_reader(each)

    loop.run_until_complete(main())


@pytest.mark.parametrize('direction', ['reader', 'writer'])
def test_a_socket_closed_while_it_is_waited_for(loop, direction):
    left, right = socket.socketpair()
    left.setblocking(False)

    async def main():
        if direction == 'reader':
            waiting = loop.sock_recv(left, 1)
        else:
            waiting = loop.sock_sendall(left, bytes(10_000_000))
        task = asyncio.ensure_future(waiting)
        await turns(3)
        left.close()
        await turns(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())
    right.close()


def test_a_listener_closed_while_a_connection_is_waited_for(loop, listener):
    async def main():
        task = asyncio.ensure_future(loop.sock_accept(listener))
        await turns(3)
        listener.close()
        await turns(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())


def test_the_socket_of_a_transport_can_be_shut_down(loop, listener):
    async def main():
        transport, _ = await loop.create_connection(
            asyncio.Protocol, *listener.getsockname()
        )
        peer, _ = await loop.sock_accept(listener)
        with peer:
            peer.setblocking(False)
            transport.get_extra_info('socket').shutdown(socket.SHUT_WR)

            assert await loop.sock_recv(peer, 1) == b''
        transport.close()

    loop.run_until_complete(main())


def test_no_class_crashes_if_it_is_used_by_hand():
    """uvloop.loop.Server(None).close() is a segmentation fault."""
    run_program(
        """
        import inspect, itertools, warnings
        from uvloop_core import _core, loop, serve

        def attempt(function, *args):
            try:
                return function(*args)
            except Exception:
                return None

        modules = _core, loop, serve
        kinds = {k for m in modules for k in vars(m).values()
                 if inspect.isclass(k) and k.__module__.startswith('uvloop_c')}
        assert len(kinds) > 10
        # A loop of its own would wait for nothing in run_forever().
        for kind in {k for k in kinds if not issubclass(k, _core.Loop)}:
            makers = [kind, lambda *args: kind.__new__(kind, *args)]
            for make, count in itertools.product(makers, range(6)):
                made = attempt(make, *[None] * count)
                for name in dir(kind) if isinstance(made, kind) else ():
                    if name not in ('__class__', '__reduce_ex__'):
                        method = attempt(getattr, made, name)
                        attempt(method)
                        attempt(method, None)
        """
    )


def test_processes_are_made_beside_other_interpreters():
    """uvloop's child aborts in its hook after the fork."""
    run_program(
        """
        import sys
        if sys.version_info >= (3, 13):
            import _interpreters as interpreters
        else:
            import _xxsubinterpreters as interpreters
        import asyncio, uvloop_core

        # Without a task: 3.12.1 crashes, on asyncio's loop too.
        CODE = (
            'import uvloop_core; loop = uvloop_core.new_event_loop();'
            'loop.call_later(0.001, loop.stop); loop.run_forever();'
            'loop.close()'
        )

        async def main():
            process = await asyncio.create_subprocess_exec('true')
            assert await process.wait() == 0

        for _ in range(3):
            other = interpreters.create()
            assert interpreters.run_string(other, CODE) is None
            uvloop_core.run(main())
            interpreters.destroy(other)
        """
    )


@pytest.mark.parametrize('defect', read_defects())
def test_the_tests_that_the_list_names_exist(defect):
    found = read_defects()[defect]

    assert found
    for file, name in found:
        text = Path(__file__).with_name(file).read_text()
        assert re.search(rf'^def {name}\(', text, re.M), name
