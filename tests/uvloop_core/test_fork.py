"""Forks: whatever a child does to the loop, the parent's goes on.

A child shares the kernel's epoll set with its parent, so a child that takes a
file out of it takes it out of the parent's too, which is deaf from then on.
In each test the parent's traffic flows before, during and after.
"""

from __future__ import annotations

import asyncio
import gc
import io
import os
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterator

import pytest

import uvloop_core

# From 3.12 on Python warns of a fork while there are threads.
pytestmark = pytest.mark.filterwarnings('ignore:.*fork:DeprecationWarning')


GIL = getattr(sys, '_is_gil_enabled', lambda: True)()


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class DatagramEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


class Count(asyncio.Protocol):
    bytes = 0

    def data_received(self, data):
        self.bytes += len(data)


class Traffic:
    """What flows in the parent: a pipe that is read, connections that are
    echoed, a timer, calls from a thread, transports of a pipe, and a
    child process that waits."""

    def __init__(self, loop) -> None:
        self.loop = loop
        self.pipe = os.pipe()
        self.received = 0
        self.client: socket.socket | None = None
        self.transports: list[asyncio.Transport] = []

    async def start(self) -> None:
        self.loop.add_reader(self.pipe[0], self.readable)
        self.server = await self.loop.create_server(self.echo, '127.0.0.1', 0)
        self.address = self.server.sockets[0].getsockname()
        self.client = socket.create_connection(self.address)
        self.client.settimeout(30)
        self.datagrams, _ = await self.loop.create_datagram_endpoint(
            DatagramEcho, ('127.0.0.1', 0)
        )
        self.transports.append(self.datagrams)
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.connect(self.datagrams.get_extra_info('sockname'))
        self.peer.settimeout(30)
        left, self.neighbour = socket.socketpair()
        self.neighbour.settimeout(30)
        transport, _ = await self.loop.create_unix_connection(Echo, sock=left)
        self.transports.append(transport)
        ends = os.pipe()
        self.reading, self.piped = await self.loop.connect_read_pipe(
            Count, io.FileIO(ends[0], 'rb')
        )
        self.writing, _ = await self.loop.connect_write_pipe(
            asyncio.BaseProtocol, io.FileIO(ends[1], 'wb')
        )
        self.process, _ = await self.loop.subprocess_exec(
            asyncio.SubprocessProtocol, 'cat', stdout=None, stderr=None
        )
        await self.flows()

    def echo(self) -> Echo:
        protocol = Echo()
        self.loop.call_soon(lambda: self.transports.append(protocol.transport))
        return protocol

    def readable(self) -> None:
        self.received += len(os.read(self.pipe[0], 100))

    async def flows(self) -> None:
        """All of it still works."""
        before = self.received
        os.write(self.pipe[1], b'x')
        while self.received == before:
            await asyncio.sleep(0.001)
        assert self.process.get_returncode() is None
        # More than the pipe takes: it has to be waited for.
        self.piped.bytes = 0
        self.writing.write(bytes(100_000))
        while self.piped.bytes < 100_000:
            await asyncio.sleep(0.001)
        run = self.loop.run_in_executor
        self.peer.send(b'eggs')
        assert await run(None, self.peer.recv, 100) == b'eggs'
        for sock in (self.client, self.neighbour):
            await run(None, sock.sendall, b'spam')
            assert await run(None, sock.recv, 100) == b'spam'
        _, writer = await asyncio.open_connection(*self.address)
        writer.close()
        await writer.wait_closed()

    async def stop(self) -> None:
        self.loop.remove_reader(self.pipe[0])
        self.client.close()
        self.peer.close()
        self.neighbour.close()
        self.server.close()
        await self.server.wait_closed()
        for transport in self.transports:
            transport.abort()
        self.writing.close()
        self.reading.close()
        # Nobody has killed it before.
        self.process.get_pipe_transport(0).close()
        assert await self.process._wait() == 0
        self.process.close()
        for fd in self.pipe:
            os.close(fd)
        await self.loop.shutdown_default_executor()
        self.transports.clear()


@pytest.fixture
def traffic(our_loop) -> Iterator[Traffic]:
    traffic = Traffic(our_loop)
    our_loop.run_until_complete(asyncio.wait_for(traffic.start(), 30))
    yield traffic
    our_loop.run_until_complete(asyncio.wait_for(traffic.stop(), 30))


def run_turn(loop) -> None:
    loop.stop()
    loop.run_forever()


def check_flows(traffic: Traffic, times: int = 3) -> None:
    async def check():
        for _ in range(times):
            await asyncio.wait_for(traffic.flows(), 30)

    traffic.loop.run_until_complete(check())


def fork(child: Callable[[], None]) -> int:
    """Run child() in a child, which ends by 0 if it does not raise."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(40)
            child()
            code = 0
        except SystemExit as error:
            code = error.code
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pid


def wait(pid: int) -> None:
    """The child has ended well."""
    deadline = time.monotonic() + 45
    done = 0
    while not done and time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if not done:
            time.sleep(0.005)
    assert done, 'the child hangs'
    assert os.waitstatus_to_exitcode(status) == 0


# What a child does. Each gets the loop and the traffic it was forked with.


def does_nothing(loop, traffic):
    pass


def collects(loop, traffic):
    gc.collect()


def executes(loop, traffic):
    os.execv(sys.executable, [sys.executable, '-c', 'pass'])


def removes_the_reader(loop, traffic):
    assert loop.remove_reader(traffic.pipe[0]) is True


def adds_and_removes(loop, traffic):
    loop.add_writer(traffic.pipe[1], print)
    loop.remove_writer(traffic.pipe[1])
    loop.add_reader(traffic.pipe[0], print)
    loop.remove_reader(traffic.pipe[0])


def closes_the_files(loop, traffic):
    for fd in traffic.pipe:
        os.close(fd)
    traffic.client.close()


def closes_the_transports(loop, traffic):
    traffic.server.close()
    traffic.process.close()
    for transport in (*traffic.transports, traffic.reading, traffic.writing):
        transport.close()


def aborts_the_transports(loop, traffic):
    for transport in (*traffic.transports, traffic.writing):
        transport.abort()


def stops_reading(loop, traffic):
    for transport in (*traffic.transports, traffic.reading):
        transport.pause_reading()


def calls_threadsafe(loop, traffic):
    loop.call_soon_threadsafe(print)
    loop.call_soon(print)
    loop.call_later(1, print)


def runs_a_new_loop(loop, traffic):
    async def main():
        _, writer = await asyncio.open_connection(*traffic.address)
        writer.close()
        await asyncio.sleep(0.01)
        return 5

    asyncio._set_running_loop(None)
    new = uvloop_core.new_event_loop()
    assert new.run_until_complete(main()) == 5
    new.close()


ANYWHERE = [
    does_nothing,
    collects,
    executes,
    removes_the_reader,
    adds_and_removes,
    closes_the_files,
    closes_the_transports,
    aborts_the_transports,
    stops_reading,
    calls_threadsafe,
    runs_a_new_loop,
]


def closes_the_loop(loop, traffic):
    with warnings.catch_warnings():
        # Of the transports that are open.
        warnings.simplefilter('ignore', ResourceWarning)
        loop.close()


def lets_go(loop, traffic):
    """What flows is the parent's: a child that runs would take from it."""
    loop.remove_reader(traffic.pipe[0])
    traffic.server.close()
    for transport in (*traffic.transports, traffic.reading):
        transport.pause_reading()


def runs_the_loop(loop, traffic):
    """Which works in the child as well, on a set of its own."""
    lets_go(loop, traffic)
    received = traffic.received
    reader, writer = os.pipe()
    os.dup2(reader, traffic.pipe[0])
    loop.add_reader(traffic.pipe[0], traffic.readable)
    os.write(writer, b'child')
    loop.call_soon_threadsafe(int)

    async def main():
        while traffic.received < received + 5:
            await asyncio.sleep(0.001)

    loop.run_until_complete(asyncio.wait_for(main(), 30))


def runs_and_closes_the_loop(loop, traffic):
    runs_the_loop(loop, traffic)
    closes_the_loop(loop, traffic)


STOPPED = [
    closes_the_loop,
    runs_the_loop,
    runs_and_closes_the_loop,
]


@pytest.mark.parametrize('child', ANYWHERE + STOPPED)
def test_a_child_of_a_stopped_loop(our_loop, traffic, child):
    pid = fork(lambda: child(our_loop, traffic))

    check_flows(traffic)
    wait(pid)
    check_flows(traffic)


def test_a_child_that_drops_the_loop():
    """Nobody else holds it there, and so it is closed."""
    held = [Traffic(uvloop_core.new_event_loop())]
    ref = weakref.ref(held[0].loop)
    held[0].loop.run_until_complete(held[0].start())

    def drop():
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', ResourceWarning)
            held.clear()
            gc.collect()
        # Without a GIL, what other threads held is never let go in a child.
        assert ref() is None or not GIL

    pid = fork(drop)
    check_flows(held[0])
    wait(pid)
    check_flows(held[0])
    loop = held[0].loop
    loop.run_until_complete(held[0].stop())
    run_turn(loop)
    assert loop._handles_opened == loop._handles_closed
    loop.close()


@pytest.mark.parametrize('child', ANYWHERE)
def test_a_child_of_a_callback(our_loop, traffic, child):
    pids = []
    our_loop.call_soon(
        lambda: pids.append(fork(lambda: child(our_loop, traffic)))
    )

    check_flows(traffic)
    wait(*pids)
    check_flows(traffic)


@pytest.mark.parametrize('child', ANYWHERE)
def test_a_child_of_a_reader(our_loop, traffic, child):
    pids = []

    def readable():
        traffic.readable()
        if not pids:
            pids.append(fork(lambda: child(our_loop, traffic)))

    our_loop.add_reader(traffic.pipe[0], readable)
    check_flows(traffic)
    wait(*pids)
    check_flows(traffic)


@pytest.mark.parametrize('child', ANYWHERE)
def test_a_child_of_data_received(our_loop, traffic, child):
    """Inside of uv_run, where the loop cannot be given a set of its own."""
    pids = []

    class Forking(asyncio.Protocol):
        def data_received(self, data):
            pids.append(fork(lambda: child(our_loop, traffic)))

    async def provoke():
        transport, _ = await our_loop.create_connection(
            Forking, *traffic.address
        )
        transport.write(b'x')
        while not pids:
            await asyncio.sleep(0.001)
        transport.close()
        await asyncio.sleep(0)

    our_loop.run_until_complete(provoke())

    check_flows(traffic)
    wait(*pids)
    check_flows(traffic)


@pytest.mark.parametrize('child', ANYWHERE)
def test_a_child_of_another_thread_while_the_loop_waits(
    our_loop, traffic, child
):
    pids = []

    def forks():
        pids.append(fork(lambda: child(our_loop, traffic)))
        our_loop.call_soon_threadsafe(our_loop.stop)

    our_loop._set_debug(False)
    thread = threading.Timer(0.01, forks)
    thread.start()
    our_loop.run_forever()
    thread.join()

    check_flows(traffic)
    wait(*pids)
    check_flows(traffic)


def test_a_child_goes_on_with_the_turn_it_was_forked_in(our_loop, traffic):
    """And with the turns after it, while the parent does the same."""
    pids = []
    turns = []

    def callback():
        pids.append(os.fork())
        if pids == [0]:
            signal.alarm(40)
            stop.cancel()
            lets_go(our_loop, traffic)
            turn(0)

    def turn(number):
        turns.append(number)
        if number < 50:
            our_loop.call_later(0.0001, turn, number + 1)
        else:
            os._exit(0 if turns == list(range(51)) else 1)

    our_loop.call_soon(callback)
    stop = our_loop.call_later(0.001, our_loop.stop)
    our_loop.run_forever()

    check_flows(traffic)
    wait(*pids)
    check_flows(traffic)


def test_a_childs_threads_reach_its_loop(our_loop):
    """The wake-up is the child's own, not the parent's."""

    def child():
        async def main():
            future = our_loop.create_future()
            thread = threading.Timer(
                0.05,
                our_loop.call_soon_threadsafe,
                (future.set_result, None),
            )
            thread.start()
            await asyncio.wait_for(future, 10)
            thread.join()

        our_loop.run_until_complete(main())
        our_loop.close()

    our_loop.call_soon(our_loop.stop)
    our_loop.run_forever()
    pid = fork(child)
    wait(pid)


def test_a_child_interrupted_does_not_interrupt_its_parent(our_loop, traffic):
    def child():
        lets_go(our_loop, traffic)
        with pytest.raises(KeyboardInterrupt):
            timer = threading.Timer(
                0.02, os.kill, (os.getpid(), signal.SIGINT)
            )
            timer.start()
            our_loop.run_forever()
        timer.join()

    pid = fork(child)
    check_flows(traffic)
    wait(pid)
    check_flows(traffic)


def test_a_childs_signal_is_not_its_parents(our_loop, traffic):
    """A child forked from a callback shares the pipe that signals wake by."""
    calls = []
    pids = []

    def child():
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0)

    our_loop.add_signal_handler(signal.SIGUSR1, calls.append, 1)
    our_loop.call_soon(lambda: pids.append(fork(child)))
    check_flows(traffic)
    wait(*pids)
    check_flows(traffic)
    our_loop.remove_signal_handler(signal.SIGUSR1)

    assert calls == []


def test_a_child_of_a_child(our_loop, traffic):
    def child():
        pid = fork(lambda: closes_the_loop(our_loop, traffic))
        wait(pid)
        runs_the_loop(our_loop, traffic)
        pid = fork(lambda: runs_and_closes_the_loop(our_loop, traffic))
        wait(pid)
        closes_the_loop(our_loop, traffic)

    pid = fork(child)
    check_flows(traffic)
    wait(pid)
    check_flows(traffic)


def test_a_file_that_the_child_has_closed_is_silent_in_it(our_loop, pipe):
    reader, writer = pipe
    calls = []
    our_loop.add_reader(reader, calls.append, 1)

    def child():
        os.close(reader)
        our_loop.call_soon(our_loop.stop)
        our_loop.run_forever()
        assert our_loop.remove_reader(reader) is True
        our_loop.close()

    wait(fork(child))
    os.write(writer, b'x')
    our_loop.call_soon(our_loop.stop)
    our_loop.run_forever()

    assert calls == [1]
    our_loop.remove_reader(reader)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    pipe = os.pipe()
    yield pipe
    for fd in pipe:
        os.close(fd)


def test_a_child_does_not_end_what_its_parent_monitors(our_loop, tmp_path):
    told = []

    def tell(name, event):
        told.append(name)
        our_loop.stop()

    def child():
        # Its kernel queue cannot have the file that is gone, but the rest.
        thread = threading.Timer(
            0.05, our_loop.call_soon_threadsafe, (our_loop.stop,)
        )
        thread.start()
        our_loop.run_forever()
        thread.join()
        our_loop.close()

    paths = [tmp_path / name for name in ('gone', 'stays')]
    for path in paths:
        path.touch()
    handles = [our_loop._monitor_fs(path, tell) for path in paths]
    paths[0].unlink()
    our_loop.run_forever()

    wait(fork(child))
    paths[1].write_text('spam')
    while b'stays' not in told:
        our_loop.run_forever()
    for handle in handles:
        handle.cancel()


def test_a_child_hears_of_what_it_monitors(our_loop, tmp_path):
    def child():
        handle.cancel()
        mine = our_loop._monitor_fs(tmp_path, lambda *_: our_loop.stop())
        (tmp_path / 'file').touch()
        our_loop.run_forever()
        mine.cancel()
        our_loop.close()

    handle = our_loop._monitor_fs(tmp_path, print)

    wait(fork(child))
    handle.cancel()


def test_many_forks(our_loop, traffic):
    for child in (ANYWHERE[0], *STOPPED) * 4:
        pid = fork(lambda child=child: child(our_loop, traffic))
        check_flows(traffic, 1)
        wait(pid)

    check_flows(traffic)


def test_a_subprocess_made_in_c_by_a_thread(our_loop, traffic):
    """popen(3) forks without the GIL: our handler runs there too."""

    def spawn():
        for _ in range(20):
            assert os.system('true') == 0

    async def main():
        await asyncio.gather(
            *(our_loop.run_in_executor(None, spawn) for _ in range(2)),
            traffic.flows(),
        )

    our_loop.run_until_complete(main())
    check_flows(traffic)
