"""The life of a connection, its protocol, flow control, get_extra_info."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import gc
import logging
import os
import socket
import weakref

import pytest

import uvloop_core
from tests.uvloop_core.peers import (
    Recorder,
    peer_of,
    receive_all,
    reset,
    small_buffers,
    tcp_pair,
)
from uvloop_core import _core

variable = contextvars.ContextVar('variable', default='unset')


def spin(loop, turns=3):
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()


def test_a_tcp_transport_is_an_asyncio_transport(our_loop):
    with peer_of(our_loop) as (transport, _, _):
        assert isinstance(transport, asyncio.Transport)
        assert type(transport) is _core.TCPTransport


def test_transports_cannot_be_made_from_python():
    with pytest.raises(TypeError):
        _core.TCPTransport()
    with pytest.raises(TypeError):
        asyncio.Transport.__new__(_core.TCPTransport)


def test_calls_come_in_order_from_made_to_lost(loop):
    with peer_of(loop) as (_, protocol, peer):
        peer.sendall(b'abc')
        peer.close()
        loop.run_until_complete(protocol.lost.wait())

        assert protocol.calls == [
            *('connection_made', 'data_received'),
            *('eof_received', 'connection_lost'),
        ]
        assert protocol.error is None


def open_tcp(loop, protocol):
    """A transport in the very moment it is made, and its peer."""
    one, peer = tcp_pair()
    one.setblocking(False)
    peer.settimeout(10)
    return _core.open_tcp(loop, one, protocol), peer


def test_connection_made_comes_in_a_later_turn_than_the_transport(our_loop):
    protocol = Recorder()
    transport, peer = open_tcp(our_loop, protocol)

    before = list(protocol.calls)
    spin(our_loop)
    transport.abort()
    spin(our_loop)
    peer.close()

    assert before == []
    assert protocol.calls == ['connection_made', 'connection_lost']


def test_is_closing_from_close_on(loop):
    with peer_of(loop) as (transport, protocol, _):
        before = transport.is_closing()
        transport.close()

        assert (before, transport.is_closing()) == (False, True)
        assert 'connection_lost' not in protocol.calls


def test_connection_lost_comes_once_however_often_one_closes(loop):
    with peer_of(loop) as (transport, protocol, _):
        for _ in range(3):
            transport.close()
            transport.abort()
        spin(loop)
        transport.close()
        transport.abort()
        spin(loop)

        assert protocol.calls.count('connection_lost') == 1


def test_the_socket_is_usable_in_connection_lost_and_closed_after(loop):
    class Last(Recorder):
        def connection_lost(self, error):
            self.fd = self.transport.get_extra_info('socket').fileno()
            super().connection_lost(error)

    with peer_of(loop, Last) as (transport, protocol, _):
        transport.close()
        spin(loop)

        assert protocol.fd >= 0
        assert transport.get_extra_info('socket').fileno() == -1


def test_get_protocol_and_set_protocol(loop):
    with peer_of(loop) as (transport, protocol, peer):
        other = Recorder()
        assert transport.get_protocol() is protocol

        transport.set_protocol(other)
        peer.sendall(b'x')
        loop.run_until_complete(other.until('data_received'))

        assert transport.get_protocol() is other
        assert 'data_received' not in protocol.calls
        transport.abort()
        loop.run_until_complete(other.lost.wait())
        protocol.lost.set()


def test_there_is_no_protocol_after_the_connection(loop):
    with peer_of(loop) as (transport, _, _):
        transport.close()
        spin(loop)

        assert transport.get_protocol() is None


def test_extra_info_while_open(loop):
    with peer_of(loop) as (transport, _, peer):
        sock = transport.get_extra_info('socket')

        assert sock is transport.get_extra_info('socket')
        assert isinstance(sock, asyncio.trsock.TransportSocket)
        assert sock.getpeername() == peer.getsockname()
        assert transport.get_extra_info('peername') == peer.getsockname()
        assert transport.get_extra_info('sockname') == peer.getpeername()


def test_extra_info_of_other_names(loop):
    with peer_of(loop) as (transport, _, _):
        assert transport.get_extra_info('sslcontext') is None
        assert transport.get_extra_info('nothing', 1) == 1
        assert transport.get_extra_info(name='nothing', default=2) == 2


def test_names_are_known_after_close_even_if_nobody_asked_before(loop):
    with peer_of(loop) as (transport, _, peer):
        names = peer.getsockname(), peer.getpeername()
        transport.close()
        spin(loop)

        assert transport.get_extra_info('peername') == names[0]
        assert transport.get_extra_info('sockname') == names[1]


def test_reading_before_and_after(loop):
    with peer_of(loop) as (transport, _, _):
        states = [transport.is_reading()]
        transport.pause_reading()
        states.append(transport.is_reading())
        transport.resume_reading()
        states.append(transport.is_reading())
        transport.close()
        states.append(transport.is_reading())

        assert states == [True, False, True, False]


def test_pause_and_resume_are_idempotent_and_silent_when_closing(loop):
    with peer_of(loop) as (transport, protocol, peer):
        transport.resume_reading()
        transport.pause_reading()
        transport.pause_reading()
        peer.sendall(b'x')
        spin(loop, 5)
        paused = list(protocol.calls)
        transport.resume_reading()
        transport.resume_reading()
        loop.run_until_complete(protocol.until('data_received'))
        transport.close()
        transport.pause_reading()
        transport.resume_reading()

        assert paused == ['connection_made']


def test_paused_in_connection_made(loop):
    class Paused(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    with peer_of(loop, Paused) as (transport, protocol, peer):
        peer.sendall(b'x')
        spin(loop, 5)
        paused = list(protocol.calls)
        transport.resume_reading()
        loop.run_until_complete(protocol.until('data_received'))

        assert paused == ['connection_made']


def test_closed_in_connection_made(loop):
    class Short(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.close()

    with peer_of(loop, Short) as (_, protocol, _):
        spin(loop)

        assert protocol.calls == ['connection_made', 'connection_lost']


def test_connection_made_raising_is_reported_and_the_wait_ends(loop, reports):
    """As with both peers; unlike them ours closes the connection then."""

    def make():
        return Recorder(raises='connection_made')

    with peer_of(loop, make) as (transport, protocol, _):
        [report] = reports.take()
        transport.close()
        loop.run_until_complete(protocol.lost.wait())

        assert isinstance(report['exception'], ZeroDivisionError)
        assert protocol.calls == ['connection_made', 'connection_lost']
        assert protocol.error is None


def test_connection_made_raising_closes(our_loop, reports):
    def make():
        return Recorder(raises='connection_made')

    with peer_of(our_loop, make) as (transport, protocol, peer):
        [report] = reports.take()
        spin(our_loop)

        assert transport.is_closing()
        assert protocol.calls == ['connection_made', 'connection_lost']
        assert peer.recv(1) == b''
        assert report['message'] == (
            'Fatal error: protocol.connection_made() call failed.'
        )


def test_connection_lost_raising_is_reported(loop, reports):
    def make():
        return Recorder(raises='connection_lost')

    with peer_of(loop, make) as (transport, _, _):
        transport.close()
        spin(loop)

        [report] = reports.take()
        assert isinstance(report['exception'], ZeroDivisionError)
        assert report['message'].startswith('Exception in callback')
        assert transport.get_extra_info('socket').fileno() == -1


def test_write_buffer_limits(loop):
    with peer_of(loop) as (transport, _, _):
        default = transport.get_write_buffer_limits()
        transport.set_write_buffer_limits(low=16385)
        low = transport.get_write_buffer_limits()
        transport.set_write_buffer_limits(high=100)
        high = transport.get_write_buffer_limits()
        transport.set_write_buffer_limits(high=10, low=10)
        both = transport.get_write_buffer_limits()
        transport.set_write_buffer_limits()

        assert transport.get_write_buffer_limits() == default
        assert default == (16384, 65536)
        assert (low, high, both) == ((16385, 65540), (25, 100), (10, 10))


@pytest.mark.parametrize(
    ('high', 'low', 'message'),
    [
        (10, 11, r'high \(10\) must be >= low \(11\) must be >= 0'),
        (-8, None, r'high \(-8\) must be >= low \(-2\) must be >= 0'),
        (1, -1, r'high \(1\) must be >= low \(-1\) must be >= 0'),
    ],
)
def test_wrong_write_buffer_limits(loop, high, low, message):
    with (
        peer_of(loop) as (transport, _, _),
        pytest.raises(ValueError, match=message),
    ):
        transport.set_write_buffer_limits(high, low)


def test_pause_writing_inside_write_and_resume_later(loop):
    with peer_of(loop) as (transport, protocol, peer):
        small_buffers(transport.get_extra_info('socket'))
        size = 0
        while 'pause_writing' not in protocol.calls:
            transport.write(bytes(100_000))
            size += 100_000
        paused = transport.get_write_buffer_size()
        transport.write_eof()
        received = loop.run_in_executor(None, receive_all, peer)
        loop.run_until_complete(protocol.until('resume_writing'))

        assert paused > 65536
        assert len(loop.run_until_complete(received)) == size
        assert transport.get_write_buffer_size() == 0


def test_lower_limits_pause_at_once(loop):
    with peer_of(loop) as (transport, protocol, _):
        transport.set_write_buffer_limits(high=1 << 30)
        while transport.get_write_buffer_size() == 0:
            transport.write(bytes(1 << 20))
        before = 'pause_writing' in protocol.calls
        transport.set_write_buffer_limits(high=0)

        assert not before
        assert 'pause_writing' in protocol.calls


@pytest.mark.parametrize('name', ['pause_writing', 'resume_writing'])
def test_flow_control_raising_is_reported_and_no_more(loop, reports, name):
    def make():
        return Recorder(raises=name)

    with peer_of(loop, make) as (transport, protocol, peer):
        transport.write(bytes(1 << 23))
        received = loop.run_in_executor(None, receive_all, peer)
        loop.run_until_complete(protocol.until('resume_writing'))
        transport.write_eof()

        assert len(loop.run_until_complete(received)) == 1 << 23
        [report] = reports.take()
        assert report['message'] == f'protocol.{name}() failed'
        assert report['protocol'] is protocol


def test_callbacks_run_in_the_context_of_the_connection(our_loop):
    loop = our_loop
    seen = {}

    class Context(Recorder):
        def note(self, name):
            seen[name] = variable.get()
            super().note(name)

    async def connect(sock):
        variable.set('ours')
        return await loop.create_connection(Context, sock=sock)

    one, peer = tcp_pair()
    one.setblocking(False)
    with peer:
        transport, protocol = loop.run_until_complete(connect(one))
        transport.write(bytes(1 << 23))
        received = loop.run_in_executor(None, receive_all, peer)
        loop.run_until_complete(protocol.until('resume_writing'))
        peer.sendall(b'x')
        loop.run_until_complete(protocol.until('data_received'))
        transport.close()
        loop.run_until_complete(protocol.lost.wait())
        loop.run_until_complete(received)

    assert set(seen.values()) == {'ours'}
    assert len(seen) == 5


def test_the_context_survives_a_report_inside_write(our_loop, reports):
    """write() is called from Python code: its context must stay entered."""
    with peer_of(our_loop, lambda: Recorder(raises='pause_writing')) as (
        transport,
        _,
        _,
    ):
        values = []

        def write():
            variable.set('before')
            transport.write(bytes(1 << 24))
            values.append(variable.get())

        our_loop.call_soon(write)
        spin(our_loop)

        assert values == ['before']
        assert len(reports.take()) == 1


def test_a_reset_connection_ends_with_the_error(loop, reports):
    with peer_of(loop) as (_, protocol, peer):
        reset(peer)
        loop.run_until_complete(protocol.lost.wait())

        assert isinstance(protocol.error, ConnectionResetError)
        assert not reports


def test_writes_after_the_end_are_dropped_and_warned_of(loop, caplog):
    caplog.set_level(logging.WARNING, 'asyncio')
    with peer_of(loop) as (transport, _, _):
        transport.abort()
        for _ in range(4):
            transport.write(b'x')
        before = len(caplog.records)
        transport.write(b'x')

        assert before == 0
        assert caplog.messages == ['socket.send() raised exception.']


def test_force_close_hands_on_its_exception(our_loop):
    with peer_of(our_loop) as (transport, protocol, _):
        error = ValueError()
        transport._force_close(error)
        spin(our_loop)

        assert protocol.error is error


def test_abort_drops_what_is_buffered(loop):
    with peer_of(loop) as (transport, protocol, _peer):
        transport.write(bytes(1 << 24))
        transport.abort()
        size = transport.get_write_buffer_size()
        loop.run_until_complete(protocol.lost.wait())

        assert size == 0
        assert protocol.error is None


def test_close_sends_what_is_buffered_first(loop):
    with peer_of(loop) as (transport, protocol, peer):
        transport.write(bytes(1 << 24))
        transport.close()
        transport.write(b'more')
        received = loop.run_in_executor(None, receive_all, peer)
        loop.run_until_complete(protocol.lost.wait())

        assert len(loop.run_until_complete(received)) == (1 << 24) + 4


def test_repr(our_loop):
    with peer_of(our_loop) as (transport, _, _):
        texts = [repr(transport)]
        transport.pause_reading()
        texts.append(repr(transport))
        transport.abort()
        spin(our_loop)
        texts.append(repr(transport))

        assert [text.rpartition(' ')[0] for text in texts] == [
            '<TCPTransport closed=False reading=True',
            '<TCPTransport closed=False reading=False',
            '<TCPTransport closed=True reading=False',
        ]


def test_transports_can_be_referenced_weakly_and_go(our_loop):
    with peer_of(our_loop) as (transport, protocol, _):
        reference = weakref.ref(transport)
        transport.abort()
        spin(our_loop)
        protocol.transport = None
        del transport
        spin(our_loop)
        gc.collect()

    assert reference() is None


def test_a_cycle_of_protocol_and_closed_transport_is_collected(our_loop):
    with peer_of(our_loop) as (transport, protocol, _):
        references = [weakref.ref(transport), weakref.ref(protocol)]
        transport.abort()
        spin(our_loop)
    del transport, protocol, _
    spin(our_loop)
    gc.collect()

    assert [reference() for reference in references] == [None, None]


def test_closing_the_loop_warns_of_open_transports(our_loop):
    with peer_of(our_loop) as (transport, protocol, _):
        with pytest.warns(ResourceWarning, match='unclosed transport <TCP'):
            our_loop.close()

        assert transport.is_closing()
        assert protocol.calls == ['connection_made']
        transport.close()
        transport.abort()
        transport.write(b'x')
        assert transport.get_extra_info('socket').fileno() == -1


def test_a_loop_that_is_dropped_with_its_transports_goes():
    loop = uvloop_core.new_event_loop()
    protocol = Recorder()
    transport, peer = open_tcp(loop, protocol)
    spin(loop)
    references = [weakref.ref(loop), weakref.ref(transport)]
    del loop, transport, protocol

    with peer, pytest.warns(ResourceWarning) as warned:
        gc.collect()
        gc.collect()
        end = peer.recv(1)
    messages = [str(warning.message) for warning in warned]
    warned.clear()  # each holds what it is about
    gc.collect()

    assert [reference() for reference in references] == [None, None]
    assert end == b''
    assert any('unclosed transport' in message for message in messages)


def test_an_fd_closed_behind_its_back_ends_the_connection(our_loop, reports):
    with peer_of(our_loop) as (transport, protocol, _):
        transport.pause_reading()
        spin(our_loop)
        os.close(transport.get_extra_info('socket').fileno())
        transport.resume_reading()
        our_loop.run_until_complete(protocol.lost.wait())

        assert isinstance(protocol.error, OSError)
        assert protocol.error.errno == errno.EBADF


def test_a_write_to_an_fd_closed_behind_its_back_too(our_loop, reports):
    with peer_of(our_loop) as (transport, protocol, _):
        os.close(transport.get_extra_info('socket').fileno())
        transport.write(b'x')
        our_loop.run_until_complete(protocol.lost.wait())

        assert protocol.error.errno == errno.EBADF


def test_the_callers_socket_close_leaves_the_transport_alone(our_loop):
    one, peer = tcp_pair()
    one.setblocking(False)
    protocol = Recorder()
    with peer:
        transport = _core.open_tcp(our_loop, one, protocol)
        one.close()
        peer.sendall(b'x')
        our_loop.run_until_complete(protocol.until('data_received'))
        transport.close()
        our_loop.run_until_complete(protocol.lost.wait())
        assert peer.recv(1) == b''

    assert one.fileno() == -1


def test_a_socket_detached_by_its_owner_is_not_closed_by_us(our_loop):
    one, peer = tcp_pair()
    one.setblocking(False)
    protocol = Recorder()
    with peer:
        transport = _core.open_tcp(our_loop, one, protocol)
        spin(our_loop)
        fd = one.detach()
        transport.close()
        our_loop.run_until_complete(protocol.lost.wait())
        spin(our_loop)
        with socket.socket(fileno=fd) as again:
            again.sendall(b'alive')
        assert peer.recv(5) == b'alive'


def test_foreign_threads_are_refused_in_debug_mode(our_loop):
    our_loop.set_debug(True)
    with peer_of(our_loop) as (transport, _, _):

        async def main():
            write = our_loop.run_in_executor(None, transport.write, b'x')
            with pytest.raises(RuntimeError, match='Non-thread-safe'):
                await write

        our_loop.run_until_complete(main())
