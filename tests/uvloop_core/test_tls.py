"""TLS: the connection's life, data both ways, flow control, its ends."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import logging
import os
import socket
import ssl
import subprocess
import sys
import weakref

import pytest

from tests.uvloop_core.peers import Recorder, reset
from tests.uvloop_core.tls_peers import (
    TlsPeer,
    socket_pair,
    tls_connection,
    turns,
)
from uvloop_core import _core

BULK = bytes(range(256)) * 8192  # 2 MiB
variable = contextvars.ContextVar('variable', default='unset')


@pytest.fixture
def connect(server_tls, client_tls):
    """tls_connection with these contexts."""

    def connect(make=Recorder, **options):
        return tls_connection(server_tls, client_tls, make, **options)

    return connect


@pytest.fixture(params=['TLSv1_2', 'TLSv1_3'])
def version(request, server_tls):
    """What the server speaks, and nothing else."""
    chosen = ssl.TLSVersion[request.param]
    server_tls.minimum_version = server_tls.maximum_version = chosen
    return chosen


async def closed_pair(transport, protocol):
    transport.abort()
    await protocol.lost.wait()


# ---- made, data, the end ----


def test_calls_come_in_order_from_made_to_lost(loop, connect, version):
    async def main():
        async with connect() as (transport, protocol, peer):
            transport.write(b'ping')
            assert await peer.read(4) == b'ping'
            await peer.send(b'pong')
            await protocol.until_size(4)
            await peer.do(peer.tls.unwrap)
            await protocol.lost.wait()

        assert protocol.data == b'pong'
        assert protocol.calls == [
            *('connection_made', 'data_received'),
            *('eof_received', 'connection_lost'),
        ]
        assert protocol.error is None
        assert protocol.transport is transport

    loop.run_until_complete(main())


def test_its_class_is_an_asyncio_transport_and_says_that_it_is_tls(
    our_loop, connect
):
    async def main():
        async with connect() as (transport, _, _):
            assert type(transport) is _core.SSLTransport
            assert isinstance(transport, asyncio.Transport)
            assert type(transport._ssl_protocol) is _core.SSLProtocol
            text = repr(transport)
            assert text.startswith('<SSLTransport closed=False reading=True')

    our_loop.run_until_complete(main())


def test_it_cannot_be_made_from_python():
    for kind in (_core.SSLTransport, _core.SSLProtocol):
        with pytest.raises(TypeError):
            kind()
        with pytest.raises(TypeError):
            object.__new__(kind)


def test_extra_info_is_of_tls_then_of_the_transport_below(
    loop, connect, client_tls
):
    async def main():
        async with connect() as (transport, _, peer):
            get = transport.get_extra_info
            assert get('sslcontext') is client_tls
            assert isinstance(get('ssl_object'), ssl.SSLObject)
            assert get('cipher') == get('ssl_object').cipher()
            assert get('peercert')['subject'] == ((('commonName', 'test'),),)
            assert get('compression') is None
            assert get('peername') == peer.sock.getsockname()
            assert get('socket').getpeername() == peer.sock.getsockname()
            assert get('nothing', default=7) == 7

    loop.run_until_complete(main())


def test_extra_info_stays_known_after_the_end(our_loop, connect):
    async def main():
        async with connect() as (transport, protocol, peer):
            name = peer.sock.getsockname()
            transport.abort()
            await protocol.lost.wait()

            assert transport.get_extra_info('peername') == name
            assert transport.get_extra_info('cipher') is not None

    our_loop.run_until_complete(main())


def test_extra_info_is_there_after_an_error(our_loop, connect):
    """OpenSSL has forgotten it by then."""

    async def main():
        async with connect() as (transport, protocol, peer):
            garbage = b'\x17\x03\x03\x00\x20' + bytes(32)
            await our_loop.sock_sendall(peer.sock, garbage)
            await protocol.lost.wait()

            assert isinstance(protocol.error, ssl.SSLError)
            assert 'subject' in transport.get_extra_info('peercert')
            assert transport.get_extra_info('cipher') is not None

    our_loop.run_until_complete(main())


def test_much_data_goes_both_ways_at_once(loop, connect, version):
    async def main():
        async with connect() as (transport, protocol, peer):
            transport.write(BULK)
            sent, _, _ = await asyncio.gather(
                peer.read(len(BULK)),
                peer.send(BULK),
                protocol.until_size(len(BULK)),
            )

            assert sent == BULK
            assert protocol.data == BULK

    loop.run_until_complete(main())


@pytest.mark.parametrize('kind', [bytes, bytearray, memoryview])
def test_any_bytes_like_object_is_written_as_it_was(loop, connect, kind):
    async def main():
        async with connect() as (transport, _, peer):
            data = kind(b'x' * 70_000)
            transport.write(data)
            if kind is bytearray:
                data[:] = b'y' * 70_000

            assert await peer.read(70_000) == b'x' * 70_000

    loop.run_until_complete(main())


def test_nothing_else_is_written(loop, connect):
    async def main():
        async with connect() as (transport, _, peer):
            with pytest.raises(TypeError, match='expecting a bytes-like'):
                transport.write('text')
            transport.write(b'')
            transport.write(b'1')

            assert await peer.read(1) == b'1'

    loop.run_until_complete(main())


@pytest.mark.parametrize('collect', [list, tuple, iter, dict.fromkeys])
def test_writelines_of_any_iterable(loop, connect, collect):
    async def main():
        async with connect() as (transport, _, peer):
            transport.writelines(collect([b'two', b'lines']))

            assert await peer.read(8) == b'twolines'

    loop.run_until_complete(main())


def test_lines_share_a_record(our_loop, connect, version):
    async def main():
        async with connect() as (transport, _, peer):
            transport.write(b'begin')
            await peer.read(5)
            before = peer.records()

            transport.writelines([b'line\n', bytearray(b'of\n'), b'text\n'])

            assert await peer.read(13) == b'line\nof\ntext\n'
            assert peer.records() == before + 1

    our_loop.run_until_complete(main())


def test_what_waits_for_room_shares_records(our_loop, connect):
    async def main():
        async with connect() as (transport, _, peer):
            while not transport.get_write_buffer_size():
                transport.write(bytes(100_000))
            for _ in range(1000):
                transport.write(b'small')
            waits = transport.get_write_buffer_size()
            await peer.read(1)
            transport.close()
            while await peer.do(peer.tls.read, 1 << 20):
                pass

            assert 5000 < waits < 200_000
            assert peer.records() < 1000

    our_loop.run_until_complete(main())


def test_its_sending_side_cannot_be_ended_alone(loop, connect):
    async def main():
        async with connect() as (transport, _, _):
            assert not transport.can_write_eof()
            with pytest.raises(NotImplementedError):
                transport.write_eof()

    loop.run_until_complete(main())


def test_written_in_connection_made_it_is_sent(loop, connect):
    class Greeter(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b'hello')

    async def main():
        async with connect(Greeter) as (_, _, peer):
            assert await peer.read(5) == b'hello'

    loop.run_until_complete(main())


def test_an_echo_answers_inside_data_received(loop, connect):
    class Echo(Recorder):
        def data_received(self, data):
            self.transport.write(data)

    async def main():
        async with connect(Echo) as (_, _, peer):
            for message in (b'one', b'two', BULK[:300_000]):
                received, _ = await asyncio.gather(
                    peer.read(len(message)), peer.send(message)
                )
                assert received == message

    loop.run_until_complete(main())


# ---- a BufferedProtocol ----


class Buffered(asyncio.BufferedProtocol):
    def __init__(self, size):
        self.buffer = bytearray(size)
        self.data = bytearray()
        self.lost = asyncio.Event()
        self.changed = asyncio.Event()
        self.error = None

    def get_buffer(self, hint):
        return memoryview(self.buffer)

    def buffer_updated(self, count):
        self.data += self.buffer[:count]
        self.changed.set()

    def connection_lost(self, error):
        self.error = error
        self.lost.set()

    async def until_size(self, size):
        while len(self.data) < size:
            self.changed.clear()
            await self.changed.wait()


@pytest.mark.parametrize('size', [1, 1000, 1 << 20])
def test_a_buffered_protocol_gets_all_in_its_buffer(loop, connect, size):
    async def main():
        async with connect(lambda: Buffered(size)) as (_, protocol, peer):
            data = BULK[: 300 * min(size, 1000)]
            await asyncio.gather(
                peer.send(data), protocol.until_size(len(data))
            )

            assert protocol.data == data

    loop.run_until_complete(main())


def test_its_buffer_may_be_a_bytearray(our_loop, connect):
    """In asyncio all but the first record of a read is lost then."""

    class Plain(Buffered):
        def get_buffer(self, hint):
            return self.buffer

    async def main():
        async with connect(lambda: Plain(100_000)) as (_, protocol, peer):
            await asyncio.gather(
                peer.send(BULK[:90_000]), protocol.until_size(90_000)
            )

            assert protocol.data == BULK[:90_000]

    our_loop.run_until_complete(main())


def test_an_empty_buffer_is_an_error(our_loop, connect, reports):
    async def main():
        async with connect(lambda: Buffered(0)) as (_, protocol, peer):
            await peer.send(b'data')
            await protocol.lost.wait()

            assert 'empty buffer' in str(protocol.error)

    our_loop.run_until_complete(main())
    assert len(reports.take()) == 1


def test_get_buffer_that_raises_ends_the_connection(loop, connect, reports):
    class Failing(Buffered):
        fails = False  # asyncio asks for a buffer before there is data

        def get_buffer(self, hint):
            if self.fails:
                raise ZeroDivisionError
            return super().get_buffer(hint)

    async def main():
        async with connect(lambda: Failing(1)) as (_, protocol, peer):
            protocol.fails = True
            await peer.send(b'data')
            await protocol.lost.wait()

            assert isinstance(protocol.error, ZeroDivisionError)

    loop.run_until_complete(main())
    assert reports.take()[0]['message'] == 'Fatal error on SSL protocol'


# ---- flow control ----


def test_nothing_is_received_while_it_is_paused(loop, connect):
    async def main():
        async with connect() as (transport, protocol, peer):
            transport.pause_reading()
            transport.pause_reading()
            await peer.send(b'data')
            await asyncio.sleep(0.02)
            assert not transport.is_reading()
            assert protocol.data == b''

            transport.resume_reading()
            transport.resume_reading()

            await protocol.until_size(4)
            assert transport.is_reading()

    loop.run_until_complete(main())


def test_paused_inside_data_received_it_gets_no_more(our_loop, connect):
    class Sipping(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

    async def main():
        async with connect(Sipping) as (transport, protocol, peer):
            sending = asyncio.ensure_future(peer.send(BULK))
            await protocol.until_size(1)
            count = len(protocol.data)
            await asyncio.sleep(0.02)
            assert len(protocol.data) == count

            while len(protocol.data) < len(BULK):
                transport.resume_reading()
                await asyncio.sleep(0)
            await sending
            assert protocol.data == BULK

    our_loop.run_until_complete(main())


def test_a_paused_protocol_stops_the_peer(loop, connect):
    async def main():
        async with connect() as (transport, protocol, peer):
            transport.pause_reading()
            sending = asyncio.ensure_future(peer.send(BULK * 4))
            below = transport._ssl_protocol._transport
            while below.is_reading():
                await asyncio.sleep(0.001)
            assert not sending.done()

            transport.resume_reading()

            await protocol.until_size(len(BULK) * 4)
            await sending

    loop.run_until_complete(main())


def test_the_protocol_is_told_to_pause_and_to_resume(loop, connect):
    async def main():
        async with connect() as (transport, protocol, peer):
            transport.set_write_buffer_limits(high=1000, low=10)
            while 'pause_writing' not in protocol.calls:
                transport.write(bytes(50_000))
            assert transport._protocol_paused
            reading = asyncio.ensure_future(peer.drain())
            await protocol.until('resume_writing')

            assert transport.get_write_buffer_size() <= 10
            assert not transport._protocol_paused
            transport.abort()
            reading.cancel()

    loop.run_until_complete(main())


def test_the_limits_are_asyncios(loop, connect):
    async def main():
        async with connect() as (transport, _, _):
            kib = 1024
            assert transport.get_write_buffer_limits() == (
                128 * kib,
                512 * kib,
            )
            assert transport.get_read_buffer_limits() == (64 * kib, 256 * kib)
            transport.set_write_buffer_limits(high=100)
            transport.set_read_buffer_limits(low=100)
            assert transport.get_write_buffer_limits() == (25, 100)
            assert transport.get_read_buffer_limits() == (100, 400)
            assert transport.get_read_buffer_size() == 0
            for name in 'write', 'read':
                with pytest.raises(ValueError, match='must be >= low'):
                    getattr(transport, f'set_{name}_buffer_limits')(1, 2)

    loop.run_until_complete(main())


# ---- contexts ----


class ContextRecorder(Recorder):
    """Notes the variable's value beside each call."""

    def note(self, name):
        super().note(name)
        self.calls[-1:] = [(name, variable.get())]


def test_all_calls_are_made_in_the_context_of_the_connection(
    our_loop, connect
):
    async def elsewhere(transport):
        variable.set('elsewhere')
        transport.set_write_buffer_limits(high=1, low=0)
        while not transport.get_write_buffer_size():
            transport.write(bytes(100_000))
        transport.pause_reading()
        transport.resume_reading()

    async def main():
        variable.set('here')
        async with connect(ContextRecorder) as (transport, protocol, peer):
            await our_loop.create_task(elsewhere(transport))
            reading = asyncio.ensure_future(peer.drain())
            await peer.send(b'data')
            while transport.get_write_buffer_size():
                await asyncio.sleep(0)
            variable.set('closing')
            transport.close()
            await reading
            await peer.do(peer.tls.unwrap)

        names = {name for name, _ in protocol.calls}
        assert {'pause_writing', 'resume_writing', 'data_received'} <= names
        assert {value for _, value in protocol.calls} == {'here'}

    our_loop.run_until_complete(main())


# ---- how it ends ----


def test_close_says_so_and_sends_what_was_written(loop, connect, version):
    async def main():
        async with connect() as (transport, protocol, peer):
            transport.write(BULK)
            transport.close()
            assert transport.is_closing()
            transport.close()

            assert await peer.read(len(BULK) + 1) == BULK
            await peer.do(peer.tls.unwrap)
            await protocol.lost.wait()
            assert protocol.error is None

    loop.run_until_complete(main())


def test_a_peer_that_ends_without_a_word_is_at_its_end(loop, connect):
    async def main():
        async with connect() as (_, protocol, peer):
            await peer.send(b'data')
            peer.close()
            await protocol.lost.wait()

            assert protocol.data == b'data'
            assert protocol.calls[-2:] == ['eof_received', 'connection_lost']
            assert protocol.error is None

    loop.run_until_complete(main())


def test_a_reset_is_told(loop, connect):
    async def main():
        async with connect() as (_, protocol, peer):
            reset(peer.sock)
            await protocol.lost.wait()

            assert isinstance(protocol.error, ConnectionResetError)
            assert protocol.calls == ['connection_made', 'connection_lost']

    loop.run_until_complete(main())


def test_abort_ends_it_at_once_and_once(loop, connect):
    async def main():
        async with connect() as (transport, protocol, peer):
            transport.write(BULK * 8)
            transport.abort()
            transport.abort()
            transport.close()
            await protocol.lost.wait()
            await turns(5)

            assert protocol.calls.count('connection_lost') == 1
            assert protocol.error is None
            await peer.until_end()

    loop.run_until_complete(main())


@pytest.mark.parametrize('how', ['close', 'abort'])
def test_closed_inside_data_received_it_gets_no_more(loop, connect, how):
    class Closing(Recorder):
        def data_received(self, data):
            super().data_received(data)
            getattr(self.transport, how)()

    async def main():
        async with connect(Closing) as (_, protocol, peer):
            await peer.send(b'first')
            await protocol.until_size(5)
            with contextlib.suppress(ConnectionError):
                await peer.send(b'more')
                await turns(3)
                await peer.send(b'more')
            peer.close()
            await protocol.lost.wait()

            assert protocol.data == b'first'
            assert protocol.calls.count('connection_lost') == 1

    loop.run_until_complete(main())


def test_what_waits_while_paused_is_not_given_after_close(our_loop, connect):
    async def main():
        async with connect() as (transport, protocol, peer):
            transport.pause_reading()
            await peer.send(b'late')
            await asyncio.sleep(0.02)
            transport.close()
            transport.resume_reading()
            await peer.do(peer.tls.unwrap)
            await protocol.lost.wait()

            assert protocol.data == b''
            assert protocol.calls[-2:] == ['eof_received', 'connection_lost']

    our_loop.run_until_complete(main())


def test_a_shutdown_that_takes_too_long_is_given_up(loop, connect):
    async def main():
        async with connect(ssl_shutdown_timeout=0.05) as (
            transport,
            protocol,
            _,
        ):
            transport.close()
            await protocol.lost.wait()

            assert isinstance(protocol.error, TimeoutError)
            assert str(protocol.error) == 'SSL shutdown timed out'

    loop.run_until_complete(main())


def test_a_peer_that_does_not_read_cannot_keep_it_open(our_loop, connect):
    async def main():
        async with connect(ssl_shutdown_timeout=0.1) as (
            transport,
            protocol,
            peer,
        ):
            transport.write(BULK * 8)
            with pytest.raises(ssl.SSLWantReadError):
                peer.tls.unwrap()
            await peer.flush()
            await protocol.lost.wait()

            assert isinstance(protocol.error, TimeoutError)

    our_loop.run_until_complete(main())


@pytest.mark.parametrize('says', [True, False], ids=['notify', 'no notify'])
def test_paused_at_the_peers_end_it_still_gets_all(loop, connect, says):
    async def main():
        async with connect() as (transport, protocol, peer):
            transport.pause_reading()
            await peer.send(BULK[:200_000])
            if says:
                with pytest.raises(ssl.SSLWantReadError):
                    peer.tls.unwrap()
                await peer.flush()
            peer.sock.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.1)
            transport.resume_reading()
            await protocol.lost.wait()

            assert protocol.data == BULK[:200_000]
            assert protocol.error is None

    loop.run_until_complete(main())


def test_writes_after_the_end_are_dropped_and_then_logged(
    loop, connect, caplog
):
    async def main():
        async with connect() as (transport, protocol, _):
            await closed_pair(transport, protocol)
            for _ in range(7):
                transport.write(b'lost')

            assert transport.get_write_buffer_size() == 0

    with caplog.at_level(logging.WARNING, 'asyncio'):
        loop.run_until_complete(main())
    assert 'SSL connection is closed' in caplog.text


def test_a_closed_loop_leaves_a_warning_and_no_descriptor(
    our_loop, server_tls, client_tls
):
    async def main():
        peer = TlsPeer(other, server_tls)
        shaking = asyncio.ensure_future(peer.handshake())
        made = await our_loop.create_connection(
            Recorder, sock=one, ssl=client_tls, server_hostname='127.0.0.1'
        )
        await shaking
        return made

    one, other = socket_pair()
    with other:
        transport, protocol = our_loop.run_until_complete(main())
        with pytest.warns(ResourceWarning, match='unclosed transport <TCP'):
            our_loop.close()
        transport.write(b'nowhere')
        assert transport.is_closing()
        with pytest.warns(ResourceWarning, match='unclosed transport <SSL'):
            del transport
            protocol.transport = None
            gc.collect()


def test_nothing_of_it_is_left_without_the_collector(
    our_loop, connect, server_tls
):
    refs = []

    async def main():
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        refs.append(weakref.ref(context))
        async with tls_connection(server_tls, context) as (transport, _, _):
            refs.append(weakref.ref(transport))
            transport.abort()

    gc.collect()
    gc.disable()
    try:
        our_loop.run_until_complete(main())
        assert [ref() for ref in refs] == [None, None]
    finally:
        gc.enable()


WITHOUT_MEMORY = """
import asyncio
import contextvars
import ssl
import sys

import _testcapi

import uvloop_core
from tests.uvloop_core.peers import Recorder, tcp_pair
from uvloop_core import _core

loop = uvloop_core.new_event_loop()
loop.set_exception_handler(lambda loop, context: None)
server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_tls.load_cert_chain(*sys.argv[1:])
client_tls = ssl._create_unverified_context()


def make(context, **side):
    bios = ssl.MemoryBIO(), ssl.MemoryBIO()
    return loop, Recorder(), context.wrap_bio(*bios, **side), *bios, context


def open_end(sock, arguments):
    sock.setblocking(False)
    tls = _core.make_tls(*arguments, 60, 1)
    _core.open_tcp(loop, sock, tls)
    return tls, tls._app_transport, arguments[1]


def spin(turns=5):
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()


def attempt(what, number):
    one, other = tcp_pair()
    tls, transport, protocol = open_end(one, make(client_tls))
    _, server, peer = open_end(other, make(server_tls, server_side=True))
    while not (protocol.calls and peer.calls):
        spin()
    arguments = make(client_tls)
    lines = [bytes(50_000), bytearray(1000)]
    if what == 'receive':
        # What the peer sends, taken from its BIO.
        tls._transport.pause_reading()
        server.write(bytes(40_000))
        data = one_read(one)
    calls = {
        'make': lambda: _core.make_tls(*arguments, 60, 1),
        'write': lambda: transport.write(lines[0]),
        'writelines': lambda: transport.writelines(lines),
        'receive': lambda: tls.data_received(data),
        'extra': lambda: transport.get_extra_info('peercert'),
        'pause': lambda: transport.set_write_buffer_limits(1),
        'close': transport.close,
        'abort': transport.abort,
        'eof': tls.eof_received,
    }
    call = calls[what]
    _testcapi.set_nomemory(number, number + 1)
    try:
        call()
    except MemoryError:
        pass
    finally:
        _testcapi.remove_mem_hooks()
    spin()
    transport.abort()
    server.abort()
    spin(10)
    # Without memory it may be impossible to tell the protocol.
    assert protocol.lost.is_set() or what in ('close', 'abort', 'eof'), what
    assert protocol.calls.count('connection_lost') <= 1


def one_read(sock):
    while True:
        try:
            return sock.recv(1 << 20)
        except BlockingIOError:
            pass


names = 'make write writelines receive extra pause close abort eof'
for what in names.split():
    for number in range(25):
        attempt(what, number)
assert loop._handles_opened == loop._handles_closed > 0
loop.close()
"""


def test_without_memory_nothing_leaks_or_crashes(certificate):
    pytest.importorskip('_testcapi')
    subprocess.run(
        [sys.executable, '-P', '-c', WITHOUT_MEMORY, *certificate],
        env={
            **os.environ,
            'PYTHONPATH': os.pathsep.join(path for path in sys.path if path),
        },
        check=True,
        timeout=60,
    )
