"""TCP itself: open_tcp, sockets and their options, descriptors that clash."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import socket
import subprocess
import sys

import pytest

from tests.uvloop_core.peers import Recorder, peer_of, tcp_pair
from uvloop_core import _core


def spin(loop, turns=3):
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()


@pytest.fixture
def pair():
    one, other = tcp_pair()
    one.setblocking(False)
    other.settimeout(10)
    with one, other:
        yield one, other


def finish(loop, transport, protocol):
    transport.abort()
    loop.run_until_complete(protocol.lost.wait())
    spin(loop)


def test_nodelay_is_set(loop):
    with peer_of(loop) as (transport, _, _):
        sock = transport.get_extra_info('socket')

        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_server_side_sets_nodelay_and_does_not_block(loop):
    async def main():
        protocol = Recorder()
        server = await loop.create_server(lambda: protocol, '127.0.0.1', 0)
        with socket.create_connection(server.sockets[0].getsockname()):
            await protocol.until('connection_made')
            sock = protocol.transport.get_extra_info('socket')
            nodelay = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            blocks = os.get_blocking(sock.fileno())
            inherits = os.get_inheritable(sock.fileno())
            timeout = sock._sock.gettimeout()
        await protocol.lost.wait()
        server.close()
        await server.wait_closed()

        assert (bool(nodelay), blocks, inherits) == (True, False, False)
        assert timeout == 0

    loop.run_until_complete(main())


def test_the_socket_of_an_accepted_connection(loop):
    async def main():
        protocol = Recorder()
        server = await loop.create_server(lambda: protocol, '127.0.0.1', 0)
        with socket.create_connection(
            server.sockets[0].getsockname()
        ) as client:
            await protocol.until('connection_made')
            info = protocol.transport.get_extra_info
            sock = info('socket')

            assert sock.family == socket.AF_INET
            assert sock.type == socket.SOCK_STREAM
            assert info('socket') is sock
            assert info('peername') == client.getsockname()
            assert info('sockname') == client.getpeername()
        await protocol.lost.wait()
        server.close()
        await server.wait_closed()
        assert sock.fileno() == -1

    loop.run_until_complete(main())


@pytest.mark.skipif(not socket.has_ipv6, reason='no IPv6')
def test_ipv6_names_have_four_parts(loop):
    async def main():
        protocol = Recorder()
        try:
            server = await loop.create_server(lambda: protocol, '::1', 0)
        except OSError:
            pytest.skip('no IPv6 loopback')
        with socket.create_connection(
            server.sockets[0].getsockname()[:2]
        ) as client:
            await protocol.until('connection_made')
            info = protocol.transport.get_extra_info

            assert info('peername') == client.getsockname()
            assert info('sockname') == client.getpeername()
            assert len(info('peername')) == 4
        await protocol.lost.wait()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_open_tcp_tells_the_waiter(our_loop, pair):
    waiter = our_loop.create_future()
    protocol = Recorder()

    transport = _core.open_tcp(our_loop, pair[0], protocol, waiter)
    result = our_loop.run_until_complete(waiter)
    calls = list(protocol.calls)
    finish(our_loop, transport, protocol)

    assert result is None
    assert calls == ['connection_made']


def test_a_cancelled_waiter_is_left_alone(our_loop, pair):
    waiter = our_loop.create_future()
    waiter.cancel()
    protocol = Recorder()

    transport = _core.open_tcp(our_loop, pair[0], protocol, waiter=waiter)
    spin(our_loop)
    finish(our_loop, transport, protocol)

    assert waiter.cancelled()


def test_open_tcp_calls_the_protocol_in_the_given_context(our_loop, pair):
    variable = contextvars.ContextVar('variable')
    context = contextvars.copy_context()
    context.run(variable.set, 'given')
    seen = []

    class Protocol(Recorder):
        def connection_made(self, transport):
            seen.append(variable.get())
            super().connection_made(transport)

    protocol = Protocol()
    transport = _core.open_tcp(our_loop, pair[0], protocol, context=context)
    spin(our_loop)
    finish(our_loop, transport, protocol)

    assert seen == ['given']


def test_what_open_tcp_refuses_is_still_the_callers(our_loop, pair):
    one, other = pair
    attempts = [
        ((None, one, Recorder()), {}),
        ((our_loop, one, Recorder()), {'server': 1}),
        ((our_loop, one, Recorder()), {'context': 1}),
        ((our_loop, one), {}),
        ((our_loop, one, Recorder()), {'wrong': 1}),
        ((our_loop, 5, Recorder()), {}),
    ]
    for args, kwargs in attempts:
        with pytest.raises((TypeError, AttributeError)):
            _core.open_tcp(*args, **kwargs)

    one.send(b'mine')
    assert other.recv(4) == b'mine'
    assert one._io_refs == 0


def test_open_tcp_of_a_closed_socket(our_loop):
    sock = socket.socket()
    sock.close()

    with pytest.raises(OSError, match='Bad file'):
        _core.open_tcp(our_loop, sock, Recorder())


def test_open_tcp_of_a_file(our_loop, tmp_path):
    path = tmp_path / 'file'
    path.touch()
    with path.open() as file, pytest.raises(OSError, match='socket'):
        _core.open_tcp(our_loop, file, Recorder())


def test_open_tcp_of_a_unix_socket(our_loop):
    one, other = socket.socketpair()
    with one, other, pytest.raises(ValueError, match='AF_INET'):
        _core.open_tcp(our_loop, one, Recorder())


def test_two_transports_for_one_descriptor(our_loop, pair):
    one, other = pair
    protocol = Recorder()
    transport = _core.open_tcp(our_loop, one, protocol)

    with pytest.raises(RuntimeError, match='is used by transport <TCPTrans'):
        _core.open_tcp(our_loop, one, Recorder())

    transport.write(b'alive')
    assert other.recv(5) == b'alive'
    finish(our_loop, transport, protocol)


def test_open_tcp_on_a_closed_loop(our_loop, pair):
    our_loop.close()

    with pytest.raises(RuntimeError, match='Event loop is closed'):
        _core.open_tcp(our_loop, pair[0], Recorder())

    assert pair[0].send(b'mine') == 4


def test_closing_before_connection_made_still_calls_both(loop):
    """As in asyncio, where connection_made is queued first."""
    one, other = tcp_pair()
    one.setblocking(False)
    protocols = []

    def make():
        protocols.append(Recorder())
        return protocols[0]

    async def main():
        task = asyncio.ensure_future(loop.create_connection(make, sock=one))
        while not protocols:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await protocols[0].lost.wait()

    with other:
        loop.run_until_complete(main())

        assert protocols[0].calls == ['connection_made', 'connection_lost']
        assert other.recv(1) == b''


def test_a_number_that_is_used_again_is_the_new_connections(our_loop):
    """An fd closed behind a transport's back comes back from accept()."""

    async def main():
        made = asyncio.Queue()

        class Protocol(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                made.put_nowait(self)

        server = await our_loop.create_server(Protocol, '127.0.0.1', 0)
        address = server.sockets[0].getsockname()
        one = socket.create_connection(address)
        first = await made.get()
        first.transport.pause_reading()
        await asyncio.sleep(0)
        other = socket.socket()
        os.close(first.transport.get_extra_info('socket').fileno())
        other.connect(address)
        second = await made.get()
        other.sendall(b'for the second')
        await second.until_size(14)
        second.transport.write(b'answer')
        await first.lost.wait()
        await asyncio.sleep(0.01)

        assert first.data == b''
        assert isinstance(first.error, OSError)
        assert other.recv(6) == b'answer'
        second.transport.write(b'still')
        await asyncio.sleep(0)
        assert other.recv(5) == b'still'
        one.close()
        other.close()
        await second.lost.wait()
        server.close()
        await server.wait_closed()

    our_loop.run_until_complete(main())


def test_many_connections_leave_nothing(our_loop):
    async def talk(address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b'ping')
        assert await reader.readexactly(4) == b'ping'
        writer.close()
        await writer.wait_closed()

    async def echo(reader, writer):
        writer.write(await reader.readexactly(4))
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(echo, '127.0.0.1', 0)
        address = server.sockets[0].getsockname()
        for _ in range(5):
            await asyncio.gather(*(talk(address) for _ in range(40)))
        server.close()
        await server.wait_closed()

    our_loop.run_until_complete(main())
    spin(our_loop)
    gc.collect()

    assert our_loop._handles_opened == our_loop._handles_closed >= 400


WITHOUT_MEMORY = """
import contextvars

import _testcapi

import uvloop_core
from tests.uvloop_core.peers import Recorder, tcp_pair
from uvloop_core import _core

loop = uvloop_core.new_event_loop()
loop.set_exception_handler(lambda loop, context: None)
context = contextvars.copy_context()
size = 1 << 23
data = [bytes(size), bytearray(size), bytearray(1000)]


def spin():
    for _ in range(4):
        loop.call_soon(loop.stop)
        loop.run_forever()


def attempt(what, number):
    one, other = tcp_pair()
    one.setblocking(False)
    protocol = Recorder()
    transport = None
    if what != 'open':
        transport = _core.open_tcp(loop, one, protocol, context=context)
        spin()
    if what == 'queue':
        transport.write(data[0])
    _testcapi.set_nomemory(number, number + 1)
    try:
        if what == 'open':
            transport = _core.open_tcp(
                loop, one, protocol, None, None, context
            )
        elif what == 'writelines':
            transport.writelines(data)
        elif what == 'extra':
            transport.get_extra_info('socket')
            transport.get_extra_info('peername')
            transport.get_extra_info('sockname')
        else:
            for piece in data:
                transport.write(piece)
    except MemoryError:
        pass
    finally:
        _testcapi.remove_mem_hooks()
    if transport is None:
        assert one._io_refs == 0
        one.close()
    else:
        spin()
        transport.abort()
        spin()
        assert protocol.calls.count('connection_lost') == 1
    other.close()


for what in ['open', 'write', 'queue', 'writelines', 'extra']:
    for number in range(30):
        attempt(what, number)
spin()
assert loop._handles_opened == loop._handles_closed > 0
assert loop._requests == 0
loop.close()
"""


def test_without_memory_nothing_leaks_or_crashes():
    pytest.importorskip('_testcapi')
    subprocess.run(
        [sys.executable, '-P', '-c', WITHOUT_MEMORY],
        env={
            **os.environ,
            'PYTHONPATH': os.pathsep.join(path for path in sys.path if path),
        },
        check=True,
    )


def test_the_socket_of_a_connection_that_has_ended_is_a_closed_one(loop):
    async def main():
        protocol = Recorder()
        server = await loop.create_server(lambda: protocol, '127.0.0.1', 0)
        socket.create_connection(server.sockets[0].getsockname()).close()
        await protocol.lost.wait()
        await asyncio.sleep(0)
        server.close()
        await server.wait_closed()
        sock = protocol.transport.get_extra_info('socket')

        assert sock.fileno() == -1
        assert sock.family == socket.AF_INET

    loop.run_until_complete(main())


def test_sendfile_and_start_tls_know_the_transport():
    assert _core.TCPTransport._start_tls_compatible
    assert _core.TCPTransport._sendfile_compatible is not None
