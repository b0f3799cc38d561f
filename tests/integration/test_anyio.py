"""anyio on our loop: sockets, TLS, task groups, threads, processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import threading
from contextlib import asynccontextmanager

import pytest

from tests.integration.conftest import MAKERS

anyio = pytest.importorskip('anyio')

from anyio import from_thread, to_thread  # noqa: E402
from anyio.streams.tls import TLSListener  # noqa: E402

pytestmark = pytest.mark.slow

PIECE = bytes(range(256)) * 256
COUNT = 100  # pieces of 64 KiB: more than all buffers on the way hold


async def echo(stream):
    async with stream:
        async for piece in stream:
            await stream.send(piece)


@asynccontextmanager
async def serving(tls=None, path=None):
    """Serves on a free port until the end; the port."""
    if path is not None:
        listener = await anyio.create_unix_listener(path)
    else:
        listener = await anyio.create_tcp_listener(local_host='127.0.0.1')
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
    if tls is not None:
        listener = TLSListener(listener, tls)
    # The clients end their connections: one that is cancelled just when the
    # end arrives would have anyio complain, over UNIX sockets.
    async with listener, anyio.create_task_group() as connections:
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, echo, connections)
            yield path or port
            group.cancel_scope.cancel()


def connect(to):
    """To a port or to a path."""
    if isinstance(to, int):
        return anyio.connect_tcp('127.0.0.1', to)
    return anyio.connect_unix(to)


@pytest.fixture(params=['tcp', 'unix'])
def served(request, run, tmp_path):
    """Runs test(to) in the loop, where that echoes."""
    path = str(tmp_path / 'socket') if request.param == 'unix' else None

    async def main(test):
        async with serving(path=path) as to:
            await test(to)

    # Over UNIX sockets anyio calls sock_* and add_reader.
    return lambda test: run(main(test), transports=path is None)


async def receive(stream, size):
    data = b''
    while len(data) < size:
        data += await stream.receive()
    return data


def test_twenty_clients_at_once(served):
    async def talk(to, number):
        async with await connect(to) as stream:
            for turn in range(20):
                word = b'%d.%d' % (number, turn)
                await stream.send(word)
                assert await receive(stream, len(word)) == word

    async def test(to):
        async with anyio.create_task_group() as talks:
            for number in range(20):
                talks.start_soon(talk, to, number)

    served(test)


def test_both_ways_at_once(served):
    async def test(to):
        async with await connect(to) as stream:

            async def send():
                for _ in range(COUNT):
                    await stream.send(PIECE)
                await stream.send_eof()

            async with anyio.create_task_group() as group:
                group.start_soon(send)
                data = b''.join([piece async for piece in stream])

        assert data == PIECE * COUNT

    served(test)


def test_a_name_is_connected_to_by_any_of_its_addresses(run):
    async def main():
        async with (
            serving() as port,
            await anyio.connect_tcp('localhost', port) as stream,
        ):
            await stream.send(b'abc')

            assert await receive(stream, 3) == b'abc'

    run(main())


def test_tls_both_ways(run, server_tls, client_tls):
    async def main():
        async with serving(server_tls) as port:
            async with await anyio.connect_tcp(
                '127.0.0.1', port, ssl_context=client_tls
            ) as stream:
                await stream.send(PIECE * 10)
                assert await receive(stream, len(PIECE) * 10) == PIECE * 10

    run(main())


def test_a_time_out_ends_the_wait_and_not_the_stream(served):
    async def test(to):
        async with await connect(to) as stream:
            with anyio.move_on_after(0.05) as scope:
                await stream.receive()
            await stream.send(b'abc')

            assert scope.cancelled_caught
            assert await receive(stream, 3) == b'abc'

    served(test)


def test_an_error_in_a_group_cancels_the_rest(served):
    async def test(to):
        ended = []

        async def wait():
            async with await connect(to) as stream:
                try:
                    await stream.receive()
                finally:
                    ended.append(True)

        with pytest.raises(ExceptionGroup) as caught:
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                raise ValueError('of the group')

        assert caught.group_contains(ValueError, match='of the group')
        assert ended == [True] * 5

    served(test)


def test_datagrams_come_back(run):
    async def main():
        async with await anyio.create_udp_socket(
            local_host='127.0.0.1'
        ) as server:
            port = server.extra(anyio.abc.SocketAttribute.local_port)
            async with await anyio.create_connected_udp_socket(
                '127.0.0.1', port
            ) as client:
                await client.send(b'abc')
                data, address = await server.receive()
                await server.sendto(data.upper(), *address)

                assert await client.receive() == b'ABC'

    run(main())


def test_a_socket_is_waited_for(run):
    async def main():
        ours, theirs = socket.socketpair()
        with ours, theirs:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.wait_readable, ours)
                await anyio.wait_all_tasks_blocked()
                theirs.send(b'x')
            await anyio.wait_writable(ours)

            assert ours.recv(1) == b'x'

    run(main(), transports=False)


def test_threads_call_back_into_the_loop(run):
    async def main():
        here = threading.get_ident()

        def work(number):
            assert threading.get_ident() != here
            return from_thread.run(answer, number)

        async def answer(number):
            assert threading.get_ident() == here
            return number * 2

        results = {}

        async def ask(number):
            results[number] = await to_thread.run_sync(work, number)

        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(ask, number)
        assert results == {number: number * 2 for number in range(50)}

    run(main(), transports=False)


def test_signals_are_received_in_order(run):
    async def main():
        wanted = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1]
        with anyio.open_signal_receiver(*set(wanted)) as signals:
            for number in wanted:
                os.kill(os.getpid(), number)

                assert await anext(signals) is number

    run(main(), transports=False)


def test_a_portal_runs_on_the_loop_in_another_thread(loop_name):
    module = {'asyncio': 'asyncio.unix_events'}.get(
        loop_name, f'{loop_name}.loop'
    )

    async def module_of_loop():
        return type(asyncio.get_running_loop()).__module__

    with from_thread.start_blocking_portal(
        'asyncio', {'loop_factory': MAKERS[loop_name]}
    ) as portal:
        assert portal.call(module_of_loop) == module


def test_a_process_is_run_to_its_end(run):
    async def main():
        done = await anyio.run_process(['tr', 'a-z', 'A-Z'], input=b'abc')

        assert (done.returncode, done.stdout) == (0, b'ABC')

    run(main())


def test_a_process_that_fails_is_an_error(run):
    async def main():
        with pytest.raises(subprocess.CalledProcessError) as caught:
            await anyio.run_process('echo no >&2; exit 3')

        assert (caught.value.returncode, caught.value.stderr) == (3, b'no\n')

    run(main())


def test_a_process_talks_both_ways(run):
    async def main():
        async with await anyio.open_process(['cat']) as process:

            async def send():
                for _ in range(COUNT):
                    await process.stdin.send(PIECE)
                await process.stdin.aclose()

            async with anyio.create_task_group() as group:
                group.start_soon(send)
                data = b''.join([piece async for piece in process.stdout])

        assert data == PIECE * COUNT
        assert process.returncode == 0

    run(main())


def test_a_cancelled_scope_kills_its_process(run):
    async def main():
        with anyio.move_on_after(0.1) as scope:
            async with await anyio.open_process(['sleep', '600']) as process:
                await process.wait()

        assert scope.cancelled_caught
        assert process.returncode == -signal.SIGKILL

    run(main())
