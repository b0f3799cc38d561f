"""Every public method, called by another thread than the one that runs the
loop: without a GIL what works on the loop's state is refused, in any mode.

What is not on the lists below fails a test: a new method has to be put there.
"""

from __future__ import annotations

import asyncio
import gc
import io
import random
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

import uvloop_core
from tests.uvloop_core.peers import Recorder
from uvloop_core import _core, serve

FREE_THREADED = not getattr(sys, '_is_gil_enabled', lambda: True)()
free_threaded = pytest.mark.skipif(
    not FREE_THREADED, reason='with a GIL only debug mode looks at the thread'
)

Call = Callable[[Any], object]


def step(coroutine):
    """As a task of another loop would begin it, and give it up."""
    try:
        coroutine.send(None)
    except StopIteration:
        pass
    finally:
        coroutine.close()


def create_task(place):
    coroutine = asyncio.sleep(0)
    try:
        place.loop.create_task(coroutine)
    finally:
        coroutine.close()


REFUSED_LOOP: dict[str, Call] = {
    'add_reader': lambda p: p.loop.add_reader(p.empty, print),
    'add_writer': lambda p: p.loop.add_writer(p.full, print),
    'call_at': lambda p: p.loop.call_at(1e9, print),
    'call_later': lambda p: p.loop.call_later(1e9, print),
    'call_soon': lambda p: p.loop.call_soon(print),
    'close': lambda p: p.loop.close(),
    'connect_accepted_socket': lambda p: step(
        p.loop.connect_accepted_socket(Recorder, p.connected)
    ),
    'create_connection': lambda p: step(
        p.loop.create_connection(Recorder, sock=p.connected)
    ),
    'create_server': lambda p: step(
        p.loop.create_server(Recorder, sock=p.listening)
    ),
    'create_task': create_task,
    'remove_reader': lambda p: p.loop.remove_reader(p.empty),
    'remove_writer': lambda p: p.loop.remove_writer(p.full),
    'run_forever': lambda p: p.loop.run_forever(),
    'run_until_complete': lambda p: p.loop.run_until_complete(p.future),
    'sock_accept': lambda p: step(p.loop.sock_accept(p.listening)),
    'sock_connect': lambda p: step(
        p.loop.sock_connect(p.unconnected, p.crowded.getsockname())
    ),
    'sock_recv': lambda p: step(p.loop.sock_recv(p.empty, 1)),
    'sock_recv_into': lambda p: step(
        p.loop.sock_recv_into(p.empty, bytearray(1))
    ),
    'sock_recvfrom': lambda p: step(p.loop.sock_recvfrom(p.empty, 1)),
    'sock_recvfrom_into': lambda p: step(
        p.loop.sock_recvfrom_into(p.empty, bytearray(1))
    ),
    'sock_sendall': lambda p: step(p.loop.sock_sendall(p.full, b'x')),
    'start_tls': lambda p: step(
        p.loop.start_tls(
            p.transport,
            *(Recorder(), ssl.create_default_context()),
            server_hostname='localhost',
        )
    ),
    'stop': lambda p: p.loop.stop(),
}
# Python keeps the signal handlers to its main thread, with its own message.
REFUSED_LOOP_OTHERWISE: dict[str, Call] = {
    'add_signal_handler': lambda p: p.loop.add_signal_handler(
        signal.SIGUSR1, print
    ),
}
ALLOWED_LOOP: dict[str, Call] = {
    'call_exception_handler': lambda p: p.loop.call_exception_handler(
        {'message': 'told elsewhere'}
    ),
    'call_soon_threadsafe': lambda p: p.loop.call_soon_threadsafe(int),
    'create_future': lambda p: p.loop.create_future(),
    'default_exception_handler': lambda p: p.loop.default_exception_handler(
        {'message': 'logged elsewhere'}
    ),
    'get_debug': lambda p: p.loop.get_debug(),
    'get_exception_handler': lambda p: p.loop.get_exception_handler(),
    'get_task_factory': lambda p: p.loop.get_task_factory(),
    'getaddrinfo': lambda p: step(p.loop.getaddrinfo(*p.address)),
    'getnameinfo': lambda p: step(p.loop.getnameinfo(p.address)),
    'is_closed': lambda p: p.loop.is_closed(),
    'is_running': lambda p: p.loop.is_running(),
    'remove_signal_handler': lambda p: p.loop.remove_signal_handler(
        signal.SIGUSR1
    ),
    'run_in_executor': lambda p: p.loop.run_in_executor(None, int),
    'set_debug': lambda p: p.loop.set_debug(p.loop.get_debug()),
    'set_default_executor': lambda p: p.loop.set_default_executor(p.executor),
    'set_exception_handler': lambda p: p.loop.set_exception_handler(
        p.loop.get_exception_handler()
    ),
    'set_task_factory': lambda p: p.loop.set_task_factory(None),
    'shutdown_asyncgens': lambda p: step(p.loop.shutdown_asyncgens()),
    'slow_callback_duration': lambda p: p.loop.slow_callback_duration,
    # It begins by reading, in the executor.
    'sock_sendfile': lambda p: step(p.loop.sock_sendfile(p.full, p.file)),
    'sock_sendto': lambda p: step(
        p.loop.sock_sendto(p.datagrams, b'x', p.datagrams.getsockname())
    ),
    'time': lambda p: p.loop.time(),
    'write_coalescing': lambda p: p.loop.write_coalescing,
}
LEFT_OUT_LOOP = {
    # It waits for threads: in the end of the test, and not here.
    'shutdown_default_executor',
    # Python, which comes to C by the doors that are tried here.
    *('connect_read_pipe', 'connect_write_pipe', 'create_datagram_endpoint'),
    *('create_unix_connection', 'create_unix_server', 'sendfile'),
    *('subprocess_exec', 'subprocess_shell'),
}
REFUSED_TRANSPORT: dict[str, Call] = {
    'abort': lambda p: p.transport.abort(),
    'close': lambda p: p.transport.close(),
    'get_extra_info': lambda p: p.transport.get_extra_info('socket'),
    'get_protocol': lambda p: p.transport.get_protocol(),
    'get_write_buffer_limits': (
        lambda p: p.transport.get_write_buffer_limits()
    ),
    'get_write_buffer_size': lambda p: p.transport.get_write_buffer_size(),
    'pause_reading': lambda p: p.transport.pause_reading(),
    'resume_reading': lambda p: p.transport.resume_reading(),
    'set_protocol': lambda p: p.transport.set_protocol(Recorder()),
    'set_write_buffer_limits': (
        lambda p: p.transport.set_write_buffer_limits(1)
    ),
    'write': lambda p: p.transport.write(b'foreign'),
    'write_eof': lambda p: p.transport.write_eof(),
    'writelines': lambda p: p.transport.writelines([b'foreign']),
}
ALLOWED_TRANSPORT: dict[str, Call] = {
    'can_write_eof': lambda p: p.transport.can_write_eof(),
    'is_closing': lambda p: p.transport.is_closing(),
    'is_reading': lambda p: p.transport.is_reading(),
    '__repr__': lambda p: repr(p.transport),
}
REFUSED_TLS: dict[str, Call] = {
    'abort': lambda p: p.tls.abort(),
    'close': lambda p: p.tls.close(),
    'get_extra_info': lambda p: p.tls.get_extra_info('cipher'),
    'get_protocol': lambda p: p.tls.get_protocol(),
    'get_read_buffer_limits': lambda p: p.tls.get_read_buffer_limits(),
    'get_read_buffer_size': lambda p: p.tls.get_read_buffer_size(),
    'get_write_buffer_limits': lambda p: p.tls.get_write_buffer_limits(),
    'get_write_buffer_size': lambda p: p.tls.get_write_buffer_size(),
    'pause_reading': lambda p: p.tls.pause_reading(),
    'resume_reading': lambda p: p.tls.resume_reading(),
    'set_protocol': lambda p: p.tls.set_protocol(Recorder()),
    'set_read_buffer_limits': lambda p: p.tls.set_read_buffer_limits(1),
    'set_write_buffer_limits': lambda p: p.tls.set_write_buffer_limits(1),
    'write': lambda p: p.tls.write(b'foreign'),
    'writelines': lambda p: p.tls.writelines([b'foreign']),
}
ALLOWED_TLS: dict[str, Call] = {
    'can_write_eof': lambda p: p.tls.can_write_eof(),
    'is_closing': lambda p: p.tls.is_closing(),
    'is_reading': lambda p: p.tls.is_reading(),
    '__repr__': lambda p: repr(p.tls),
}
LEFT_OUT_TLS = {'write_eof': 'raises NotImplementedError'}
REFUSED_SERVER: dict[str, Call] = {
    'abort_clients': lambda p: p.server.abort_clients(),
    'close': lambda p: p.server.close(),
    'close_clients': lambda p: p.server.close_clients(),
    'serve_forever': lambda p: step(p.server.serve_forever()),
    'start_serving': lambda p: step(p.server.start_serving()),
}
ALLOWED_SERVER: dict[str, Call] = {
    'get_loop': lambda p: p.server.get_loop(),
    'is_serving': lambda p: p.server.is_serving(),
    'sockets': lambda p: p.server.sockets,
    'wait_closed': lambda p: step(p.server.wait_closed()),
    '__repr__': lambda p: repr(p.server),
}
ALLOWED_HANDLE: dict[str, Call] = {
    'cancel': lambda p: p.timer().cancel(),
    'cancelled': lambda p: p.timer().cancelled(),
    'get_context': lambda p: p.timer().get_context(),
    'when': lambda p: p.timer().when(),
    '__repr__': lambda p: repr(p.timer()),
    '__eq__': lambda p: p.timer() == p.timer(),
    '__hash__': lambda p: hash(p.timer()),
}
REFUSED = {
    f'{kind}.{name}': call
    for kind, calls in [
        ('loop', REFUSED_LOOP),
        ('transport', REFUSED_TRANSPORT),
        ('tls', REFUSED_TLS),
        ('server', REFUSED_SERVER),
    ]
    for name, call in calls.items()
}
ALLOWED = {
    f'{kind}.{name}': call
    for kind, calls in [
        ('loop', ALLOWED_LOOP),
        ('transport', ALLOWED_TRANSPORT),
        ('tls', ALLOWED_TLS),
        ('server', ALLOWED_SERVER),
        ('handle', ALLOWED_HANDLE),
    ]
    for name, call in calls.items()
}


@pytest.mark.parametrize(
    ('kind', 'lists'),
    [
        (
            uvloop_core.Loop,
            [
                *(REFUSED_LOOP, REFUSED_LOOP_OTHERWISE),
                *(ALLOWED_LOOP, LEFT_OUT_LOOP),
            ],
        ),
        (_core.TCPTransport, [REFUSED_TRANSPORT, ALLOWED_TRANSPORT]),
        (_core.SSLTransport, [REFUSED_TLS, ALLOWED_TLS, LEFT_OUT_TLS]),
        (serve.Server, [REFUSED_SERVER, ALLOWED_SERVER]),
        (_core.Handle, [ALLOWED_HANDLE]),
        (_core.TimerHandle, [ALLOWED_HANDLE]),
    ],
    ids=lambda value: getattr(value, '__name__', ''),
)
def test_every_public_method_is_on_a_list(kind, lists):
    listed = set().union(*lists)
    public = {name for name in dir(kind) if not name.startswith('_')}

    assert public - listed == set()


def full_socket_pair():
    """Nothing to read at the first, no room to write at it either."""
    one, other = socket.socketpair()
    one.setblocking(False)
    try:
        while True:
            one.send(bytes(65536))
    except BlockingIOError:
        return one, other


def crowded_listener():
    """Whoever connects to it has to wait; and who is in front of them."""
    listener = socket.create_server(('127.0.0.1', 0), backlog=0)
    others = [socket.socket() for _ in range(3)]
    for other in others:
        other.setblocking(False)
        other.connect_ex(listener.getsockname())
    return listener, *others


def make_tls(loop):
    """One whose connection has not been made yet."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    sslobject = context.wrap_bio(incoming, outgoing, server_hostname='x')
    return _core.make_tls(
        *(loop, Recorder(), sslobject, incoming, outgoing, context, 60, 30)
    )._app_transport


class Place(SimpleNamespace):
    """A loop that runs, and one of each kind in it."""

    def timer(self):
        return random.choice(self.timers)

    async def set_up(self, loop):
        self.loop = loop
        self.future = loop.create_future()
        self.file = io.BytesIO(b'x' * 10)
        self.server = await loop.create_server(Recorder, '127.0.0.1', 0)
        self.address = self.server.sockets[0].getsockname()
        self.transport, self.protocol = await loop.create_connection(
            Recorder, *self.address
        )
        self.tls = make_tls(loop)
        self.full, self.peer = full_socket_pair()
        self.empty = self.full
        self.listening = socket.create_server(('127.0.0.1', 0))
        self.connected = socket.create_connection(self.listening.getsockname())
        self.accepted, _ = self.listening.accept()
        self.unconnected = socket.socket()
        self.datagrams = socket.socket(type=socket.SOCK_DGRAM)
        self.datagrams.bind(('127.0.0.1', 0))
        self.crowded, *others = crowded_listener()
        self.sockets = [
            *(self.crowded, *others),
            *(self.full, self.peer, self.listening, self.connected),
            *(self.accepted, self.unconnected, self.datagrams),
        ]
        for sock in self.sockets:
            sock.setblocking(False)
        self.timers = [loop.call_later(60, print, i) for i in range(20)]
        self.executor = ThreadPoolExecutor(1)

    async def tear_down(self):
        for timer in self.timers:
            timer.cancel()
        for sock in self.sockets:
            sock.close()
        self.transport.close()
        await self.protocol.lost.wait()
        self.server.close()
        await self.server.wait_closed()
        self.executor.shutdown()


def call_elsewhere(function, *args):
    """What the call returns or raises in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


def run_with_place(loop, main) -> None:
    async def run():
        place = Place()
        await place.set_up(loop)
        try:
            await main(place)
        finally:
            await place.tear_down()

    loop.run_until_complete(run())


@free_threaded
@pytest.mark.parametrize('name', REFUSED)
def test_another_threads_call_is_refused(our_loop, reports, name):
    async def main(place):
        with pytest.raises(
            RuntimeError,
            match=r'^Non-thread-safe|already running$|^Cannot close a runn',
        ):
            call_elsewhere(REFUSED[name], place)

    run_with_place(our_loop, main)
    gc.collect()
    reports.take()  # of the task that did not come to be


@pytest.mark.parametrize('name', REFUSED_LOOP_OTHERWISE)
def test_another_threads_signal_handler_is_refused(our_loop, name):
    async def main(place):
        with pytest.raises(RuntimeError):
            call_elsewhere(REFUSED_LOOP_OTHERWISE[name], place)

    run_with_place(our_loop, main)


@pytest.mark.parametrize('name', ALLOWED)
def test_another_threads_call_does_no_harm(our_loop, reports, name):
    async def main(place):
        call_elsewhere(ALLOWED[name], place)
        place.transport.write(b'spam')

    run_with_place(our_loop, main)
    reports.take()


def test_a_server_refuses_a_foreign_close_as_a_whole(our_loop):
    """asyncio's would be half closed."""

    async def main():
        server = await our_loop.create_server(Recorder, '127.0.0.1', 0)
        with pytest.raises(RuntimeError, match=r'^Non-thread-safe'):
            call_elsewhere(server.close)
        assert server.is_serving() and server.sockets
        server.close()
        await server.wait_closed()

    our_loop.set_debug(True)
    our_loop.run_until_complete(main())


def all_of_them(place, seed, calls, wrong):
    """Everything in any order, as fast as it goes."""
    chance = random.Random(seed)
    everything = [*REFUSED.items(), *ALLOWED.items()]
    for _ in range(calls):
        name, call = chance.choice(everything)
        try:
            call(place)
        except RuntimeError:
            # If its first read is over already, its next step is refused.
            if name in ALLOWED and name != 'loop.sock_sendfile':
                wrong.append(name)
        else:
            if name in REFUSED:
                wrong.append(name)


@free_threaded
def test_a_storm_of_all_calls_does_no_harm(our_loop, reports):
    """While the loop has traffic, and timers that come and go."""
    wrong: list[str] = []

    async def main(place):
        with ThreadPoolExecutor(3) as pool:
            storms = [
                our_loop.run_in_executor(
                    pool, all_of_them, place, seed, 400, wrong
                )
                for seed in range(3)
            ]
            while not all(storm.done() for storm in storms):
                place.transport.write(b'spam' * 1000)
                place.timers[0].cancel()
                place.timers[:1] = []
                place.timers.append(our_loop.call_later(0.001, int))
                await asyncio.sleep(0.0005)
            await asyncio.gather(*storms)

    run_with_place(our_loop, main)
    gc.collect()
    reports.take()  # of exceptions told, of tasks that did not come to be
    assert wrong == []


@free_threaded
def test_a_stopped_loop_is_used_by_one_thread_at_a_time(our_loop):
    """Others are refused while it is, and nothing is lost or done twice."""
    called = []
    made = []
    our_loop.set_debug(False)
    barrier = threading.Barrier(4)

    def schedule(index):
        barrier.wait()
        for number in range(2000):
            try:
                our_loop.call_soon(called.append, (index, number))
                handle = our_loop.call_later(60, print)
            except RuntimeError:
                continue
            finally:
                made.append(our_loop.is_running())
            handle.cancel()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(schedule, range(4)))
    our_loop.stop()
    our_loop.run_forever()

    assert not any(made)
    assert len(set(called)) == len(called) > 0
    for index in range(4):
        mine = [number for i, number in called if i == index]
        assert mine == sorted(mine)


@free_threaded
def test_only_one_of_many_threads_gets_to_run_the_loop(our_loop):
    """It runs until all the others have been turned away."""
    refused = []
    barrier = threading.Barrier(4)

    def note():
        refused.append(1)
        if len(refused) % 3 == 0:
            our_loop.stop()

    def run(_):
        barrier.wait()
        try:
            our_loop.run_forever()
        except RuntimeError:
            our_loop.call_soon_threadsafe(note)
            return 0
        return 1

    for _ in range(50):
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(run, range(4))) == 1

    assert len(refused) == 150


class WatchedSocket(socket.socket):
    """Notes which threads hold it and let it go."""

    def __init__(self, fd):
        self.threads = set()
        super().__init__(fileno=fd)

    def __setattr__(self, name, value):
        if name == '_io_refs':
            self.threads.add(threading.get_ident())
        super().__setattr__(name, value)


@free_threaded
@pytest.mark.parametrize('dropped', ['closed', 'collected'])
def test_a_wait_that_another_thread_drops_ends_in_the_loops(
    our_loop, pair, dropped
):
    async def receive(cycle):
        await our_loop.sock_recv(sock, 1)

    async def main():
        cycle = []
        cycle.append(receive(cycle))
        cycle[0].send(None)
        our_loop.remove_reader(sock)
        drop = cycle[0].close if dropped == 'closed' else gc.collect
        del cycle
        await our_loop.run_in_executor(None, drop)

    with WatchedSocket(pair[0].detach()) as sock:
        sock.setblocking(False)
        our_loop.run_until_complete(main())

        assert sock.threads == {threading.get_ident()}
        assert sock._io_refs == 0
