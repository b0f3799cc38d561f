"""loop.write_coalescing: what is put off, and what sends it.

The peer is a socket of records: each send is one, and there at once, so that
what it finds are the system calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import ssl
import subprocess
import sys
import time
import weakref
from socket import AF_UNIX, MSG_DONTWAIT, SOCK_SEQPACKET, socketpair

import pytest

from tests.conftest import ROOT
from tests.uvloop_core.peers import (
    Recorder,
    peer_of,
    receive_all,
    small_buffers,
)
from uvloop_core import _core

LIMIT = 64 * 1024
LATE = 100e-6  # seconds


class Peer:
    """The other end of a transport of ours."""

    def __init__(self, loop, protocol):
        sock, self.sock = socketpair(AF_UNIX, SOCK_SEQPACKET)
        sock.setblocking(False)
        waiter = loop.create_future()
        self.protocol = protocol
        self.transport = _core.open_unix(loop, sock, protocol, waiter)
        loop.run_until_complete(waiter)

    def records(self):
        """What has been sent since, a send each; b'' is the end."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while not found or found[-1]:
                found.append(self.sock.recv(1 << 20, MSG_DONTWAIT))
        return found


@pytest.fixture
def make_peer(coalescing):
    peers = []

    def make(protocol=None):
        peers.append(Peer(coalescing, protocol or Recorder()))
        return peers[-1]

    yield make
    for peer in peers:
        peer.sock.close()
        peer.transport.abort()
        if not coalescing.is_closed():
            coalescing.run_until_complete(peer.protocol.lost.wait())


@pytest.fixture
def coalescing(our_loop):
    our_loop.write_coalescing = True
    return our_loop


@pytest.fixture
def peer(make_peer):
    return make_peer()


@pytest.fixture
def transport(peer):
    return peer.transport


@pytest.fixture
def call(coalescing):
    """Calls a function as the loop does; returns what it returns."""

    def call(function):
        future = coalescing.create_future()

        def run():
            try:
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)

        coalescing.call_soon(run)
        return coalescing.run_until_complete(future)

    return call


def quickly(call, peer, *writes):
    """Makes the writes in one call, again and again until it was in time."""

    def write():
        peer.records()
        before = time.perf_counter()
        for function, data in writes:
            function(data)
        return time.perf_counter() - before

    for _ in range(5000):
        if call(write) < LATE:
            return
    pytest.fail('this machine is too slow')


# ---- the attribute ----


def test_it_is_off_at_first(our_loop):
    assert our_loop.write_coalescing is False


def test_it_takes_a_bool_and_nothing_else(our_loop):
    our_loop.write_coalescing = True
    for value in (1, None, 'yes'):
        with pytest.raises(TypeError, match='write_coalescing must be a bool'):
            our_loop.write_coalescing = value
    with pytest.raises(TypeError, match='write_coalescing must be a bool'):
        del our_loop.write_coalescing

    assert our_loop.write_coalescing is True


def test_off_each_write_is_sent_at_once(coalescing, peer, call):
    coalescing.write_coalescing = False

    def write():
        peer.transport.write(b'one')
        assert peer.records() == [b'one']
        peer.transport.write(b'two')
        assert peer.records() == [b'two']

    call(write)


def test_turned_off_in_a_callback_it_sends(coalescing, peer, call):
    def write():
        peer.transport.write(b'one')
        coalescing.write_coalescing = False
        assert peer.records() == [b'one']
        peer.transport.write(b'two')
        assert peer.records() == [b'two']

    call(write)


def test_turned_on_in_a_callback_it_begins_with_the_next(
    coalescing, peer, call
):
    def write():
        coalescing.write_coalescing = False
        coalescing.write_coalescing = True
        peer.transport.write(b'one')

    coalescing.write_coalescing = False
    coalescing.call_soon(write)
    call(lambda: peer.transport.write(b'two'))

    assert peer.records() == [b'one', b'two']


# ---- what is put off ----


def test_what_a_callback_writes_goes_out_in_one_piece(peer, transport, call):
    quickly(
        *(call, peer),
        (transport.write, b'one'),
        (transport.writelines, [b'two', b'', bytearray(b'three')]),
        (transport.write, memoryview(b'four')),
    )

    assert peer.records() == [b'onetwothreefour']


def test_nothing_is_sent_before_the_callback_returns(peer, call):
    def write():
        peer.transport.write(b'one')
        assert peer.records() == []

    call(write)

    assert peer.records() == [b'one']


def test_outside_of_callbacks_each_write_is_sent_at_once(peer):
    peer.transport.write(b'one')
    peer.transport.write(b'two')

    assert peer.records() == [b'one', b'two']


def test_data_received_is_such_a_callback(coalescing, make_peer):
    class Twice(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.write(data)
            assert peer.records() == []

    peer = make_peer(Twice())
    peer.sock.send(b'one')
    coalescing.run_until_complete(peer.protocol.until_size(3))

    assert peer.records() == [b'one']


def test_each_step_of_a_task_is_one(coalescing, peer):
    async def main():
        peer.transport.write(b'one')
        assert peer.records() == []
        await asyncio.sleep(0)
        assert peer.records() == [b'one']
        peer.transport.write(b'two')
        assert peer.records() == []

    coalescing.run_until_complete(main())

    assert peer.records() == [b'two']


def test_a_cancelled_task_has_written(coalescing, peer):
    async def main():
        try:
            await asyncio.sleep(60)
        finally:
            peer.transport.write(b'the end')
            assert peer.records() == []

    task = coalescing.create_task(main())
    coalescing.call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        coalescing.run_until_complete(task)

    assert peer.records() == [b'the end']


def test_handle_run_is_a_callback_too(coalescing, peer):
    def write():
        peer.transport.write(b'one')
        assert peer.records() == []

    handle = coalescing.call_soon(write)
    handle._run()
    handle.cancel()

    assert peer.records() == [b'one']


def test_what_is_written_does_not_change_any_more(peer, call):
    """Nor is it locked."""
    data = bytearray(b'one')

    def write():
        peer.transport.write(data)
        peer.transport.write(memoryview(data).toreadonly())
        peer.transport.writelines([memoryview(data).toreadonly()])
        data[:] = b'two'
        data.clear()

    call(write)

    assert b''.join(peer.records()) == b'oneoneone'


# ---- the end of the callback ----


def test_a_callback_that_raises_has_written(coalescing, peer, reports):
    def write():
        peer.transport.write(b'one')
        raise ZeroDivisionError

    coalescing.call_soon(write)
    coalescing.call_soon(coalescing.stop)
    coalescing.run_forever()

    assert peer.records() == [b'one']
    assert type(reports.take()[0]['exception']) is ZeroDivisionError


@pytest.mark.parametrize('error', [KeyboardInterrupt, SystemExit])
def test_a_callback_that_ends_the_run_has_written(coalescing, peer, error):
    def write():
        peer.transport.write(b'one')
        raise error

    coalescing.call_soon(write)
    with pytest.raises(error):
        coalescing.run_forever()

    assert peer.records() == [b'one']


def test_a_callback_that_is_interrupted_has_written(coalescing, peer):
    def write():
        peer.transport.write(b'one')
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            pass

    coalescing.call_soon(write)
    with pytest.raises(KeyboardInterrupt):
        coalescing.run_forever()

    assert peer.records() == [b'one']


def test_transports_are_flushed_in_the_order_of_their_first_write(
    make_peer, call
):
    """Through one socket, whose records tell."""
    first, other = make_peer(), make_peer()
    sock = first.transport.get_extra_info('socket')
    os.dup2(sock.fileno(), other.transport.get_extra_info('socket').fileno())

    quickly(
        *(call, first),
        (other.transport.write, b'one'),
        (first.transport.write, b'two'),
        (other.transport.write, b'three'),
    )

    assert first.records() == [b'onethree', b'two']


def test_a_write_that_does_not_wait_sends_the_others_first(make_peer, call):
    first, other = make_peer(), make_peer()

    def write():
        first.transport.write(b'one')
        other.transport.write(b'x' * (LIMIT + 1))
        assert first.records() == [b'one']

    call(write)

    assert other.records() == [b'x' * (LIMIT + 1)]


# ---- what sends it before ----


def write_late(transport):
    start = time.perf_counter()
    while time.perf_counter() - start < 2 * LATE:
        pass
    transport.write(b'two')


@contextlib.contextmanager
def flushes(peer):
    peer.transport.write(b'one')
    assert peer.records() == []
    yield
    assert peer.records()[:1] == [b'one']


SENDERS = {
    'get_write_buffer_size': lambda t: t.get_write_buffer_size(),
    'set_write_buffer_limits': lambda t: t.set_write_buffer_limits(9),
    'get_extra_info': lambda t: t.get_extra_info('socket'),
    'set_protocol': lambda t: t.set_protocol(t.get_protocol()),
    'close': lambda t: t.close(),
    'abort': lambda t: t.abort(),
    '_force_close': lambda t: t._force_close(OSError()),
    'write_eof': lambda t: t.write_eof(),
}


@pytest.mark.parametrize('send', SENDERS.values(), ids=SENDERS)
def test_is_sent_first_by(peer, call, send):
    def write():
        with flushes(peer):
            send(peer.transport)

    call(write)


KEEPERS = {
    'peername': lambda t: t.get_extra_info('peername'),
    'limits': lambda t: t.get_write_buffer_limits(),
    'is_closing': lambda t: t.is_closing(),
    'repr': repr,
}


@pytest.mark.parametrize('look', KEEPERS.values(), ids=KEEPERS)
def test_goes_on_waiting_after(peer, call, look):
    def write():
        peer.transport.write(b'one')
        look(peer.transport)
        assert peer.records() == []

    call(write)

    assert peer.records() == [b'one']


PAST = {
    'write': lambda t, d: t.write(d),
    'write-bytearray': lambda t, d: t.write(bytearray(d)),
    'writelines': lambda t, d: t.writelines([d[:7], d[7:]]),
    'writelines-one': lambda t, d: t.writelines([d]),
    'writelines-views': lambda t, d: t.writelines([bytearray(d)]),
}


@pytest.mark.parametrize('write', PAST.values(), ids=PAST)
@pytest.mark.parametrize('limit', [100, LIMIT])
def test_what_exceeds_the_limit_goes_out_at_once_in_one_piece(
    peer, call, write, limit
):
    data = b'x' * (limit - 2)
    peer.transport.set_write_buffer_limits(limit)

    def exceed():
        peer.transport.write(b'one')
        write(peer.transport, data)
        assert peer.records() == [b'one' + data]

    call(exceed)


def test_a_high_limit_does_not_let_more_wait(peer, call):
    peer.transport.set_write_buffer_limits(1 << 20)

    def write():
        peer.transport.write(b'x' * (LIMIT + 1))
        assert peer.records() == [b'x' * (LIMIT + 1)]

    call(write)


def test_up_to_the_limit_it_waits(peer, transport, call):
    rest = b'x' * (LIMIT - 1)
    quickly(call, peer, (transport.write, b'x'), (transport.write, rest))

    assert peer.records() == [b'x' + rest]


def test_a_second_write_that_comes_late_sends(peer, call):
    def write():
        peer.transport.write(b'one')
        write_late(peer.transport)
        assert peer.records() == [b'onetwo']

    call(write)


def test_a_nested_callback_sends_what_was_written_before(
    coalescing, peer, call
):
    seen = []

    def write():
        peer.transport.write(b'one')
        handle = coalescing.call_soon(lambda: seen.append(peer.records()))
        handle._run()
        handle.cancel()

    call(write)

    assert seen == [[b'one']]


class Pauses(Recorder):
    def pause_writing(self):
        self.seen = [peer.records() for peer in self.peers]


def test_pause_writing_is_called_inside_write(make_peer, call):
    """After what waits, of other transports too, was sent."""
    full, other = make_peer(Pauses()), make_peer()
    full.protocol.peers = [other]
    small_buffers(full.transport.get_extra_info('socket'))
    full.transport.set_write_buffer_limits(0)
    protocol = full.protocol

    def write():
        while not hasattr(protocol, 'seen'):
            other.records()
            other.transport.write(b'one')
            full.transport.write(b'x' * 1000)

    call(write)

    assert protocol.seen == [[b'one']]
    assert full.transport.get_write_buffer_size() > 0


class Refused(asyncio.DatagramProtocol):
    def error_received(self, error):
        self.seen = self.peer.records()


def test_a_protocol_that_is_called_inside_a_call_comes_after_it(
    coalescing, peer, call
):
    udp, protocol = coalescing.run_until_complete(
        coalescing.create_datagram_endpoint(
            Refused, local_addr=('127.0.0.1', 0)
        )
    )
    protocol.peer = peer

    def write():
        peer.transport.write(b'one')
        udp.sendto(bytes(70_000), ('127.0.0.1', 9))

    call(write)
    udp.close()

    assert protocol.seen == [b'one']


def test_the_repr_of_a_pipe_tells_what_is_sent(coalescing, call):
    reader, writer = os.pipe()
    with open(reader, 'rb'), open(writer, 'wb') as file:
        transport, protocol = coalescing.run_until_complete(
            coalescing.connect_write_pipe(Recorder, file)
        )

        def write():
            transport.write(b'one')
            assert 'bufsize=0' in repr(transport)
            assert os.read(reader, 10) == b'one'

        call(write)
        transport.close()
        coalescing.run_until_complete(protocol.lost.wait())


def test_sendfile_begins_after_it(coalescing, tmp_path):
    file = tmp_path / 'file'
    file.write_bytes(b'file')

    async def main(transport, protocol):
        transport.write(b'one ')
        with file.open('rb') as opened:
            await coalescing.sendfile(transport, opened)
        transport.close()
        await protocol.lost.wait()

    with peer_of(coalescing) as (transport, protocol, peer):
        coalescing.run_until_complete(main(transport, protocol))

        assert receive_all(peer) == b'one file'


def test_start_tls_begins_after_it(coalescing, peer):
    async def main():
        peer.transport.write(b'one')
        assert peer.records() == []
        tls = coalescing.create_task(
            coalescing.start_tls(
                peer.transport, Recorder(), ssl.create_default_context(),
                server_hostname='localhost',
            )
        )  # fmt: skip
        await asyncio.sleep(0)
        assert peer.records()[0] == b'one'
        tls.cancel()
        await asyncio.wait([tls])

    old = peer.protocol
    coalescing.run_until_complete(main())
    old.lost.set()  # the TLS protocol was told


def test_the_end_of_a_stream_writer_comes_after_it(coalescing):
    async def main(transport):
        protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
        protocol.connection_made(transport)
        transport.set_protocol(protocol)
        writer = asyncio.StreamWriter(transport, protocol, None, coalescing)
        writer.write(b'one')
        writer.write(b'two')
        await writer.drain()
        writer.write(b'three')
        writer.close()
        await writer.wait_closed()

    with peer_of(coalescing) as (transport, protocol, peer):
        coalescing.run_until_complete(main(transport))

        assert receive_all(peer) == b'onetwothree'
        protocol.lost.set()


# ---- the network ----


def test_what_the_kernel_does_not_take_is_sent_later(coalescing):
    data = bytes(range(256)) * (LIMIT // 256)

    async def main(transport, peer):
        for _ in range(10):
            transport.write(data)
            await asyncio.sleep(0)
        transport.close()
        return await coalescing.run_in_executor(None, receive_all, peer)

    with peer_of(coalescing) as (transport, _, peer):
        small_buffers(transport.get_extra_info('socket'))

        assert (
            coalescing.run_until_complete(main(transport, peer)) == data * 10
        )


def test_an_error_of_the_put_off_send_ends_in_connection_lost(
    coalescing, peer
):
    peer.sock.close()
    peer.transport.pause_reading()
    coalescing.call_soon(peer.transport.write, b'one')
    coalescing.run_until_complete(peer.protocol.lost.wait())

    assert isinstance(peer.protocol.error, OSError)


def test_connection_made_that_writes_and_raises_has_written(
    coalescing, make_peer, reports
):
    class Raises(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b'one')
            raise ZeroDivisionError

    peer = make_peer(Raises())
    coalescing.run_until_complete(peer.protocol.lost.wait())

    assert peer.records() == [b'one', b'']
    assert len(reports.take()) == 1


# ---- lifetime ----


def test_close_of_the_loop_sends_first(coalescing, peer):
    def close():
        peer.transport.write(b'one')
        coalescing.close()

    handle = coalescing.call_soon(close)
    with pytest.warns(ResourceWarning, match='unclosed transport'):
        handle._run()

    assert peer.records() == [b'one', b'']


def test_a_transport_that_was_put_off_is_not_kept(coalescing, call):
    with peer_of(coalescing) as (transport, protocol, _):
        ref = weakref.ref(transport)
        call(lambda: ref().write(b'one'))
        call(lambda: (ref().write(b'two'), gc.collect()))
    protocol.transport = None
    del transport
    call(gc.collect)

    assert ref() is None


@pytest.mark.filterwarnings('ignore:.*fork:DeprecationWarning')
def test_a_forked_child_does_not_send_it_again(coalescing, peer):
    pids = []

    def write():
        peer.transport.write(b'both? ')
        pids.append(os.fork())
        if pids == [0]:
            peer.transport.write(b'child')

    def leave():
        if pids == [0]:
            os._exit(0)
        coalescing.stop()

    coalescing.call_soon(write)
    coalescing.call_soon(leave)
    coalescing.run_forever()
    os.waitpid(pids[0], 0)

    assert sorted(peer.records()) == [b'both? ', b'child']


# ---- all of it again ----


@pytest.mark.slow
@pytest.mark.parametrize(
    'name', ['stream', 'transport', 'tcp', 'tls', 'tls_handshake']
)
def test_the_other_tests_pass_with_it(name):
    file = f'tests/uvloop_core/test_{name}.py'
    run = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-k', 'not asyncio', file],
        cwd=ROOT,
        env={**os.environ, 'UVLOOP_CORE_COALESCES': '1'},
        capture_output=True,
        text=True,
    )

    assert run.returncode == 0, run.stdout
