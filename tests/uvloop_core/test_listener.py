"""Accepting: contexts, failing factories, exhausted descriptors, Server."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import gc
import os
import resource
import socket
import weakref

import pytest

import uvloop_core
from tests.uvloop_core.peers import Recorder
from uvloop_core import _core

variable = contextvars.ContextVar('variable', default='unset')


def spin(loop, turns=3):
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()


@pytest.fixture
def listening():
    with socket.create_server(('127.0.0.1', 0)) as sock:
        sock.setblocking(False)
        yield sock


def connect(sock):
    client = socket.create_connection(sock.getsockname())
    client.settimeout(10)
    return client


def make_listener(loop, sock, factory, server=None, backlog=100):
    context = contextvars.copy_context()
    return _core.Listener(loop, sock, factory, server, backlog, context)


async def run_out_of_descriptors(turns=5):
    """So many turns of the loop in which no descriptor is to be had."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull) as file:
        highest = file.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, limits[1]))
    try:
        for _ in range(turns):
            await asyncio.sleep(0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


class Collector:
    """A protocol factory that keeps what it made."""

    def __init__(self, make=Recorder):
        self.make = make
        self.made = []

    def __call__(self):
        self.made.append(self.make())
        return self.made[-1]

    async def lost(self):
        for protocol in self.made:
            await protocol.lost.wait()


def test_connections_are_accepted_between_start_and_stop(our_loop, listening):
    factory = Collector()
    listener = make_listener(our_loop, listening, factory)
    clients = [connect(listening)]
    spin(our_loop)
    counts = [len(factory.made)]
    listener.start()
    listener.start()
    spin(our_loop)
    counts.append(len(factory.made))
    listener.stop()
    listener.stop()
    clients.append(connect(listening))
    spin(our_loop)
    counts.append(len(factory.made))
    listener.start()
    spin(our_loop)
    counts.append(len(factory.made))
    listener.close()
    for client in clients:
        client.close()
    our_loop.run_until_complete(factory.lost())

    assert counts == [0, 1, 1, 2]
    assert listening.fileno() == -1
    assert not listener.serving


def test_the_more_come_the_more_a_turn_accepts_up_to_the_backlog(
    our_loop, listening
):
    factory = Collector()
    listener = make_listener(our_loop, listening, factory, backlog=5)
    clients = [connect(listening) for _ in range(24)]
    listener.start()
    counts = []
    while sum(counts) < 24:
        before = len(factory.made)
        spin(our_loop, 1)
        if len(factory.made) > before:
            counts.append(len(factory.made) - before)
    listener.close()
    for client in clients:
        client.close()
    our_loop.run_until_complete(factory.lost())

    assert counts == [*[1] * 8, 2, 4, 5, 5]


def test_each_connection_has_a_context_of_its_own(loop):
    seen = []

    class Protocol(Recorder):
        def connection_made(self, transport):
            seen.append(variable.get())
            variable.set('changed')
            super().connection_made(transport)

        def data_received(self, data):
            seen.append(variable.get())
            super().data_received(data)

    async def main():
        variable.set('server')
        factory = Collector(Protocol)
        server = await loop.create_server(factory, '127.0.0.1', 0)
        for _ in range(2):
            with connect(server.sockets[0]) as client:
                client.sendall(b'x')
                while len(factory.made) < 1 or not factory.made[-1].data:
                    await asyncio.sleep(0)
            await factory.made[-1].lost.wait()
            factory.made.clear()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())

    assert seen[0] == seen[2] == 'server'


def test_the_factory_and_the_protocol_share_the_context(our_loop, listening):
    seen = []

    def factory():
        variable.set('factory')
        return protocol

    class Protocol(Recorder):
        def note(self, name):
            seen.append(variable.get())
            super().note(name)

    protocol = Protocol()
    listener = make_listener(our_loop, listening, factory)
    listener.start()
    connect(listening).close()
    our_loop.run_until_complete(protocol.lost.wait())
    listener.close()

    assert seen == ['factory'] * 3
    assert variable.get() == 'unset'


def test_a_factory_that_raises_costs_its_connection_only(
    our_loop, reports, listening
):
    made = []

    def factory():
        made.append(Recorder())
        if len(made) == 1:
            raise ZeroDivisionError
        return made[-1]

    listener = make_listener(our_loop, listening, factory)
    listener.start()
    with connect(listening) as first, connect(listening) as second:
        spin(our_loop)
        [report] = reports.take()
        assert first.recv(1) == b''
        second.sendall(b'x')
        our_loop.run_until_complete(made[1].until('data_received'))
    our_loop.run_until_complete(made[1].lost.wait())
    listener.close()

    assert isinstance(report['exception'], ZeroDivisionError)
    assert report['message'] == (
        'Error on transport creation for incoming connection'
    )


def test_connection_made_raising_is_reported_and_closes(
    our_loop, reports, listening
):
    factory = Collector(lambda: Recorder(raises='connection_made'))
    listener = make_listener(our_loop, listening, factory)
    listener.start()
    with connect(listening) as client:
        spin(our_loop)
        assert client.recv(1) == b''
    listener.close()

    [report] = reports.take()
    assert report['message'] == (
        'Fatal error: protocol.connection_made() call failed.'
    )
    assert report['protocol'] is factory.made[0]
    assert factory.made[0].calls == ['connection_made', 'connection_lost']


def test_the_factory_may_stop_the_listener(our_loop, listening):
    def factory():
        listener.stop()
        return Recorder()

    listener = make_listener(our_loop, listening, factory)
    listener.start()
    with connect(listening) as client:
        spin(our_loop)

        assert client.recv(1) == b''
    listener.close()


def test_a_keyboard_interrupt_in_the_factory_ends_the_run(our_loop, listening):
    def factory():
        raise KeyboardInterrupt

    listener = make_listener(our_loop, listening, factory)
    listener.start()
    with connect(listening), pytest.raises(KeyboardInterrupt):
        our_loop.run_forever()
    listener.close()


def test_out_of_descriptors_it_reports_rests_and_goes_on(
    our_loop, reports, listening
):
    factory = Collector()
    listener = make_listener(our_loop, listening, factory)
    listener.start()
    client = connect(listening)
    start = our_loop.time()
    our_loop.run_until_complete(run_out_of_descriptors())
    [report] = reports.take()
    before = len(factory.made)

    async def main():
        while not factory.made:
            await asyncio.sleep(0.01)

    our_loop.run_until_complete(main())
    elapsed = our_loop.time() - start
    client.close()
    our_loop.run_until_complete(factory.lost())
    listener.close()

    assert report['message'] == 'socket.accept() out of system resource'
    assert report['exception'].errno == errno.EMFILE
    assert isinstance(report['socket'], asyncio.trsock.TransportSocket)
    assert before == 0
    assert elapsed >= 1


def test_stop_and_start_while_it_rests(our_loop, reports, listening):
    factory = Collector()
    listener = make_listener(our_loop, listening, factory)
    listener.start()
    client = connect(listening)
    our_loop.run_until_complete(run_out_of_descriptors())
    reports.take()
    listener.stop()
    listener.start()
    listener.close()
    our_loop.run_until_complete(asyncio.sleep(1.1))
    client.close()

    assert factory.made == []


def test_a_listening_fd_closed_behind_its_back(our_loop, reports):
    sock = socket.create_server(('127.0.0.1', 0))
    sock.setblocking(False)
    listener = make_listener(our_loop, sock, Recorder)
    listener.start()
    os.close(sock.detach())
    spin(our_loop)
    listener.stop()

    assert not listener.serving


def test_a_listener_that_was_shut_down_does_not_spin(
    our_loop, reports, listening
):
    listener = make_listener(our_loop, listening, Recorder)
    listener.start()
    listening.shutdown(socket.SHUT_RDWR)
    spin(our_loop, 20)
    told = reports.take()
    listener.close()

    assert len(told) <= 1


def test_wrong_arguments(our_loop, listening):
    context = contextvars.copy_context()
    for args in [
        (),
        (None, listening, Recorder, None, 5, context),
        (our_loop, listening, Recorder, 'server', 5, context),
        (our_loop, listening, Recorder, None, 'x', context),
        (our_loop, listening, Recorder, None, 5, None),
    ]:
        with pytest.raises(TypeError):
            _core.Listener(*args)
    with pytest.raises(RuntimeError):
        _core.Listener.__new__(_core.Listener).start()


@pytest.mark.skipif(
    not hasattr(socket, 'AF_NETLINK'), reason='no family that is not served'
)
def test_a_socket_of_another_family_is_refused(our_loop):
    context = contextvars.copy_context()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as sock:
        with pytest.raises(ValueError, match='cannot accept .* of family'):
            _core.Listener(our_loop, sock, Recorder, None, 5, context)


def test_a_closed_loop_starts_no_listener(our_loop, listening):
    listener = make_listener(our_loop, listening, Recorder)
    our_loop.close()

    with pytest.raises(RuntimeError, match='Event loop is closed'):
        listener.start()
    listener.stop()


def test_closing_the_loop_lets_a_listener_go(listening):
    loop = uvloop_core.new_event_loop()
    listener = make_listener(loop, listening, Recorder)
    reference = weakref.ref(Recorder)
    listener.start()
    loop.close()
    listener.stop()
    del listener
    gc.collect()

    assert reference() is Recorder


# ---- Server ----


class CountingServer(_core.Server):
    def __init__(self):
        self.wakeups = 0

    def _wakeup(self):
        self.wakeups += 1


def test_a_server_counts_its_connections(our_loop, listening):
    server = CountingServer()
    factory = Collector()
    listener = make_listener(our_loop, listening, factory, server)
    listener.start()
    clients = [connect(listening) for _ in range(3)]
    spin(our_loop)
    counts = [server._active, len(server._clients())]
    transports = set(server._clients())
    clients[0].close()
    our_loop.run_until_complete(factory.made[0].lost.wait())
    spin(our_loop)
    counts.append(server._active)
    server._closing = True
    for client in clients:
        client.close()
    our_loop.run_until_complete(factory.lost())
    spin(our_loop)
    listener.close()

    assert counts == [3, 3, 2]
    assert transports == {protocol.transport for protocol in factory.made}
    assert (server._active, server.wakeups) == (0, 1)
    assert server._clients() == []


def test_a_server_that_is_open_is_not_woken(our_loop, listening):
    server = CountingServer()
    factory = Collector()
    listener = make_listener(our_loop, listening, factory, server)
    listener.start()
    connect(listening).close()
    spin(our_loop)
    our_loop.run_until_complete(factory.lost())
    spin(our_loop)
    listener.close()

    assert (server._active, server.wakeups) == (0, 0)


def test_a_server_outlives_neither_its_name_nor_its_connections(
    our_loop, listening
):
    server = CountingServer()
    reference = weakref.ref(server)
    factory = Collector()
    listener = make_listener(our_loop, listening, factory, server)
    listener.start()
    client = connect(listening)
    spin(our_loop)
    listener.close()
    del listener, server
    gc.collect()
    held = reference() is not None
    client.close()
    our_loop.run_until_complete(factory.lost())
    spin(our_loop)
    gc.collect()

    assert held
    assert reference() is None


def test_a_wakeup_that_raises_is_reported(our_loop, reports, listening):
    class Failing(_core.Server):
        def _wakeup(self):
            raise ZeroDivisionError

    server = Failing()
    factory = Collector()
    listener = make_listener(our_loop, listening, factory, server)
    listener.start()
    client = connect(listening)
    spin(our_loop)
    listener.close()
    server._closing = True
    client.close()
    our_loop.run_until_complete(factory.lost())
    spin(our_loop)

    [report] = reports.take()
    assert isinstance(report['exception'], ZeroDivisionError)
