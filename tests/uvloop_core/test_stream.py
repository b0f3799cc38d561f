"""Bytes in and out: reads of all sizes, writes, ends, BufferedProtocol."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import sys
import threading

import pytest

import uvloop_core
from tests.uvloop_core.peers import (
    Recorder,
    peer_of,
    receive_all,
    reset,
    small_buffers,
)

PATTERN = bytes(range(256)) * 4096  # 1 MiB


def spin(loop, turns=3):
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()


def in_thread(loop, function, *args):
    return loop.run_in_executor(None, function, *args)


# ---- reads ----


@pytest.mark.parametrize(
    'size', [1, 2, 255, 16384, 16385, 65535, 65536, 65537, 300_000, 1 << 22]
)
def test_a_message_of_any_size_arrives_whole(loop, size):
    data = (PATTERN * 5)[:size]
    with peer_of(loop) as (_, protocol, peer):
        sent = in_thread(loop, peer.sendall, data)
        loop.run_until_complete(protocol.until_size(size))
        loop.run_until_complete(sent)

        assert protocol.data == data


class Keeper(Recorder):
    """Keeps the very objects it gets, some of them, and their hashes."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.random = random.Random(1)
        self.share = share
        self.kept: list[tuple[bytes, int, bytes]] = []

    def data_received(self, data):
        assert type(data) is bytes
        if self.random.random() < self.share:
            digest = hashlib.sha256(data).digest()
            self.kept.append((data, hash(data), digest))
        super().data_received(data)


@pytest.mark.parametrize('share', [0.0, 0.05, 0.5, 0.95, 1.0])
def test_what_a_protocol_keeps_never_changes(loop, share):
    """Bytes objects are used again, but only those that nobody has."""
    sizes = random.Random(2)
    with peer_of(loop, lambda: Keeper(share)) as (_, protocol, peer):
        total = 0
        for _ in range(150):
            size = sizes.choice([1, 10, 1000, 20_000, 100_000])
            total += size
            sent = in_thread(loop, peer.sendall, PATTERN[total % 256 :][:size])
            loop.run_until_complete(protocol.until_size(total))
            loop.run_until_complete(sent)

        for data, digest, sha in protocol.kept:
            assert hash(bytes(bytearray(data))) == digest
            assert hashlib.sha256(data).digest() == sha


def test_a_kept_small_message_does_not_take_much_more_room(our_loop):
    """Over-allocation is bounded, however long the protocol only dropped."""
    with peer_of(our_loop) as (_, protocol, peer):

        class Late(Recorder):
            def data_received(self, data):
                kept.append(data)
                protocol.data_received(b'x')

        kept: list[bytes] = []
        for count in range(1, 100):
            peer.sendall(b'y')
            our_loop.run_until_complete(protocol.until_size(count))
        protocol.transport.set_protocol(Late())
        for count in range(100, 130):
            peer.sendall(b'y')
            our_loop.run_until_complete(protocol.until_size(count))
        protocol.transport.set_protocol(protocol)

        assert kept == [b'y'] * 30
        assert sum(map(sys.getsizeof, kept)) < 30 * 64


def test_data_received_is_looked_up_on_every_call(loop):
    with peer_of(loop) as (_, protocol, peer):
        seen = []
        peer.sendall(b'a')
        loop.run_until_complete(protocol.until_size(1))
        protocol.data_received = lambda data: (
            seen.append(bytes(data)),
            Recorder.data_received(protocol, data),
        )
        peer.sendall(b'b')
        loop.run_until_complete(protocol.until_size(2))

        assert seen == [b'b']


def test_the_protocol_is_swapped_inside_data_received(loop):
    second = Recorder()

    class First(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.set_protocol(second)

    with peer_of(loop, First) as (transport, protocol, peer):
        peer.sendall(b'one')
        loop.run_until_complete(protocol.until_size(3))
        peer.sendall(b'two')
        loop.run_until_complete(second.until_size(3))

        assert (protocol.data, second.data) == (b'one', b'two')
        transport.abort()
        loop.run_until_complete(second.lost.wait())
        protocol.lost.set()


@pytest.mark.parametrize('how', ['close', 'abort'])
def test_close_inside_data_received_delivers_connection_lost_once(loop, how):
    class Closing(Recorder):
        def data_received(self, data):
            super().data_received(data)
            getattr(self.transport, how)()

    with peer_of(loop, Closing) as (_, protocol, peer):
        peer.sendall(PATTERN)
        loop.run_until_complete(protocol.lost.wait())
        spin(loop)

        assert protocol.calls.count('data_received') == 1
        assert protocol.calls.count('connection_lost') == 1


def test_pause_inside_data_received_stops_at_once(loop):
    class Pausing(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

    with peer_of(loop, Pausing) as (transport, protocol, peer):
        sent = in_thread(loop, peer.sendall, PATTERN)
        loop.run_until_complete(protocol.until('data_received'))
        spin(loop, 10)
        calls = protocol.calls.count('data_received')
        while len(protocol.data) < len(PATTERN):
            transport.resume_reading()
            spin(loop, 1)
        loop.run_until_complete(sent)

        assert calls == 1
        assert protocol.data == PATTERN


def test_data_received_raising_is_reported_and_closes(loop, reports):
    def make():
        return Recorder(raises='data_received')

    with peer_of(loop, make) as (transport, protocol, peer):
        peer.sendall(b'x')
        loop.run_until_complete(protocol.lost.wait())

        [report] = reports.take()
        assert report['message'] == (
            'Fatal error: protocol.data_received() call failed.'
        )
        assert report['transport'] is transport
        assert report['protocol'] is protocol
        assert protocol.error is report['exception']


def test_an_oserror_of_data_received_is_not_reported(loop):
    class Failing(Recorder):
        def data_received(self, data):
            raise TimeoutError

    with peer_of(loop, Failing) as (_, protocol, peer):
        peer.sendall(b'x')
        loop.run_until_complete(protocol.lost.wait())

        assert isinstance(protocol.error, TimeoutError)


def test_a_keyboard_interrupt_in_data_received_ends_the_run(loop):
    class Interrupted(Recorder):
        def data_received(self, data):
            super().data_received(data)
            if len(self.data) == 1:
                raise KeyboardInterrupt

    with peer_of(loop, Interrupted) as (_, protocol, peer):
        peer.sendall(b'x')
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
        peer.sendall(b'y')
        loop.run_until_complete(protocol.until_size(2))

        assert protocol.calls.count('data_received') == 2


# ---- the end of the stream ----


def test_half_close_keeps_the_way_out_open(loop):
    with peer_of(loop, lambda: Recorder(keep_open=True)) as (
        transport,
        protocol,
        peer,
    ):
        peer.shutdown(socket.SHUT_WR)
        loop.run_until_complete(protocol.until('eof_received'))
        transport.write(b'after')
        spin(loop)

        assert peer.recv(5) == b'after'
        assert not transport.is_closing()


def test_eof_is_told_once_also_after_a_pause(our_loop):
    with peer_of(our_loop, lambda: Recorder(keep_open=True)) as (
        transport,
        protocol,
        peer,
    ):
        peer.shutdown(socket.SHUT_WR)
        our_loop.run_until_complete(protocol.until('eof_received'))
        transport.pause_reading()
        transport.resume_reading()
        spin(our_loop, 5)

        assert protocol.calls.count('eof_received') == 1


def test_eof_received_raising_is_reported_and_closes(loop, reports):
    def make():
        return Recorder(raises='eof_received')

    with peer_of(loop, make) as (_, protocol, peer):
        peer.shutdown(socket.SHUT_WR)
        loop.run_until_complete(protocol.lost.wait())

        [report] = reports.take()
        assert report['message'] == (
            'Fatal error: protocol.eof_received() call failed.'
        )


def test_write_eof_ends_the_way_out_only(loop):
    with peer_of(loop) as (transport, protocol, peer):
        assert transport.can_write_eof()
        transport.write(b'last')
        transport.write_eof()
        transport.write_eof()
        received = loop.run_until_complete(in_thread(loop, receive_all, peer))
        peer.sendall(b'answer')
        loop.run_until_complete(protocol.until_size(6))

        assert received == b'last'
        assert not transport.is_closing()


def test_write_eof_waits_for_what_is_buffered(loop):
    with peer_of(loop) as (transport, _, peer):
        transport.write(PATTERN * 8)
        transport.write_eof()
        received = loop.run_until_complete(in_thread(loop, receive_all, peer))

        assert received == PATTERN * 8


def test_write_eof_to_a_peer_that_is_gone_ends_in_connection_lost(our_loop):
    """asyncio raises the OSError where write_eof was called."""
    with peer_of(our_loop) as (transport, protocol, peer):
        transport.pause_reading()
        reset(peer)
        transport.write_eof()
        our_loop.run_until_complete(protocol.lost.wait())

        assert isinstance(protocol.error, OSError)


def test_no_write_after_write_eof(loop):
    with peer_of(loop) as (transport, _, _):
        transport.write_eof()

        with pytest.raises(
            RuntimeError, match=r'Cannot call write\(\) after write_eof\(\)'
        ):
            transport.write(b'x')
        with pytest.raises(
            RuntimeError,
            match=r'Cannot call write(lines)?\(\) after write_eof\(\)',
        ):
            transport.writelines([b'x'])


# ---- writes ----


def test_a_write_is_sent_at_once(loop):
    with peer_of(loop) as (transport, _, peer):
        transport.write(b'now')

        assert peer.recv(3) == b'now'
        assert transport.get_write_buffer_size() == 0


def test_a_big_write_arrives_whole(loop):
    data = PATTERN * 50
    with peer_of(loop) as (transport, _, peer):
        received = in_thread(loop, receive_all, peer)
        transport.write(data)
        transport.write_eof()

        assert loop.run_until_complete(received) == data


def test_many_writes_of_all_sizes_arrive_in_order(loop):
    sizes = random.Random(3)
    pieces = [
        PATTERN[start : start + sizes.choice([0, 1, 100, 5000, 70_000])]
        for start in range(100)
    ]
    with peer_of(loop) as (transport, _, peer):
        small_buffers(transport.get_extra_info('socket'))
        received = in_thread(loop, receive_all, peer)
        for number, piece in enumerate(pieces):
            if number % 3 == 0:
                transport.write(bytearray(piece))
            elif number % 3 == 1:
                transport.write(memoryview(piece))
            else:
                transport.writelines([piece, b'', piece])
            if number % 7 == 0:
                spin(loop, 1)
        transport.write_eof()

        expected = b''.join(
            piece * 2 if number % 3 == 2 else piece
            for number, piece in enumerate(pieces)
        )
        assert loop.run_until_complete(received) == expected


def test_the_buffer_size_is_exact_while_data_goes(our_loop):
    """To the byte, also while libuv has sent a part of its request."""
    with peer_of(our_loop) as (transport, _, peer):
        size = 1 << 24
        transport.write(bytes(size))
        received = 0
        sizes = [transport.get_write_buffer_size()]
        while sizes[-1] > 0:
            received += len(peer.recv(100_000))
            spin(our_loop, 1)
            sizes.append(transport.get_write_buffer_size())
            # What is neither buffered nor received is in the kernel.
            assert sizes[-1] + received <= size
        transport.write_eof()
        rest = receive_all(peer)

        assert sizes == sorted(sizes, reverse=True)
        assert len(set(sizes)) > 3
        assert received + len(rest) == size


def test_the_protocol_resumes_before_the_buffer_is_empty(loop):
    sizes = []

    class Watching(Recorder):
        def resume_writing(self):
            sizes.append(self.transport.get_write_buffer_size())
            super().resume_writing()

    with peer_of(loop, Watching) as (transport, protocol, peer):
        transport.set_write_buffer_limits(high=1 << 20, low=1 << 19)
        small_buffers(transport.get_extra_info('socket'), 1 << 16)
        transport.write(bytes(1 << 23))
        received = in_thread(loop, receive_all, peer)
        loop.run_until_complete(protocol.until('resume_writing'))
        transport.write_eof()
        loop.run_until_complete(received)

        assert 0 < sizes[0] <= 1 << 19


def test_writes_inside_resume_writing_keep_the_order(loop):
    class Endless(Recorder):
        def __init__(self):
            super().__init__()
            self.pieces = [bytes([n]) * 300_000 for n in range(60)]
            self.sent = b''.join(self.pieces)

        def connection_made(self, transport):
            super().connection_made(transport)
            self.resume_writing()

        def pause_writing(self):
            super().pause_writing()
            self.paused = True

        def resume_writing(self):
            self.paused = False
            while self.pieces and not self.paused:
                self.transport.write(self.pieces.pop(0))
            if not self.pieces:
                self.transport.write_eof()

    with peer_of(loop, Endless) as (_, protocol, peer):
        received = in_thread(loop, receive_all, peer)

        assert loop.run_until_complete(received) == protocol.sent


@pytest.mark.parametrize(
    ('data', 'name'), [('text', 'str'), (1, 'int'), (None, 'NoneType')]
)
def test_write_of_something_else(loop, data, name):
    with (
        peer_of(loop) as (transport, _, _),
        pytest.raises(
            TypeError,
            # From 3.14 on asyncio's names the types that it takes.
            match=f"data argument must be a bytes.* object, not '{name}'",
        ),
    ):
        transport.write(data)


def test_writelines_with_something_else_sends_nothing(loop):
    if sys.version_info >= (3, 15) and not isinstance(loop, uvloop_core.Loop):
        pytest.skip("asyncio's transport sends nothing ever after")
    with peer_of(loop) as (transport, _, peer):
        with pytest.raises(TypeError):
            transport.writelines([b'a', bytearray(b'b'), 'text'])
        with pytest.raises(TypeError):
            transport.writelines(5)
        transport.write(b'c')

        assert peer.recv(10) == b'c'


@pytest.mark.parametrize('collect', [list, tuple, iter, dict.fromkeys])
def test_writelines_of_any_iterable(loop, collect):
    with peer_of(loop) as (transport, _, peer):
        transport.writelines(collect([b'a', b'b', b'c']))
        transport.writelines([])

        assert peer.recv(10) == b'abc'


def test_writelines_of_more_pieces_than_fit_one_system_call(loop):
    pieces = [b'%04d' % n for n in range(5000)]
    with peer_of(loop) as (transport, _, peer):
        received = in_thread(loop, receive_all, peer)
        transport.writelines(pieces)
        transport.write_eof()

        assert loop.run_until_complete(received) == b''.join(pieces)


@pytest.mark.parametrize('lines', [[PATTERN] * 16, [PATTERN * 16]])
def test_writelines_pauses_the_protocol_too(our_loop, lines):
    with peer_of(our_loop) as (transport, protocol, _):
        transport.writelines(lines)

        assert 'pause_writing' in protocol.calls


def test_a_small_rest_of_a_bytearray_is_copied(our_loop):
    """Its owner may go on using it: asyncio's writes would send the change."""
    with peer_of(our_loop) as (transport, _, peer):
        transport.write(bytes(1 << 23))
        data = bytearray(b'before')
        transport.write(data)
        transport.writelines([memoryview(data)])
        data[:] = b'after, and longer'
        received = in_thread(our_loop, receive_all, peer)
        transport.write_eof()

        end = our_loop.run_until_complete(received)[1 << 23 :]
        assert end == b'before' * 2


def test_a_big_rest_of_a_bytearray_is_locked_until_it_is_sent(our_loop):
    with peer_of(our_loop) as (transport, _, peer):
        data = bytearray(1 << 23)
        transport.write(data)
        with pytest.raises(BufferError):
            data.clear()
        received = in_thread(our_loop, receive_all, peer)
        transport.write_eof()
        assert len(our_loop.run_until_complete(received)) == 1 << 23

        data.clear()


class Farewell(bytearray):
    """Calls as it goes, which is when the last of it is sent."""

    def __del__(self):
        self.call()


WRITES = {
    'write': lambda t, d: t.write(d),
    'writelines': lambda t, d: t.writelines([d[:7], d[7:]]),
    'writelines-one': lambda t, d: t.writelines([d]),
}


@pytest.mark.parametrize('write', WRITES.values(), ids=WRITES)
def test_a_write_as_a_sent_object_goes_is_sent_once(our_loop, write):
    with peer_of(our_loop) as (transport, _, peer):
        data = Farewell(b'x' * 3_000_000)
        tail = b'T' * 200_000 + b'U' * 200_000
        data.call = lambda: write(transport, tail)
        transport.write(data)
        del data
        transport.write(b'y' * 2_000_000)
        received = in_thread(our_loop, receive_all, peer)
        while transport.get_write_buffer_size():
            our_loop.run_until_complete(asyncio.sleep(0.001))
        transport.close()

        got = our_loop.run_until_complete(received)
        assert got.replace(tail, b'', 1) == (
            b'x' * 3_000_000 + b'y' * 2_000_000
        )


def test_a_released_memoryview_is_sent_all_the_same(our_loop):
    with peer_of(our_loop) as (transport, _, peer):
        data = bytearray(1 << 23)
        view = memoryview(data)
        transport.write(view)
        view.release()
        received = in_thread(our_loop, receive_all, peer)
        transport.write_eof()

        assert len(our_loop.run_until_complete(received)) == 1 << 23


def test_a_view_with_gaps_is_refused_and_the_connection_lives(our_loop):
    with peer_of(our_loop) as (transport, _, peer):
        with pytest.raises(BufferError):
            transport.write(memoryview(b'abcdef')[::2])
        transport.writelines([memoryview(b'abcdef')[::2]])

        assert peer.recv(10) == b'ace'


def test_a_write_error_ends_the_connection(loop):
    with peer_of(loop) as (transport, protocol, peer):
        transport.pause_reading()
        spin(loop)
        reset(peer)
        for _ in range(3):
            transport.write(b'x')
        loop.run_until_complete(protocol.lost.wait())

        assert isinstance(
            protocol.error, ConnectionResetError | BrokenPipeError
        )


def test_a_write_error_of_what_is_queued_ends_it_too(loop):
    with peer_of(loop) as (transport, protocol, peer):
        transport.pause_reading()
        transport.write(bytes(1 << 24))
        reset(peer)
        loop.run_until_complete(protocol.lost.wait())

        assert isinstance(
            protocol.error, ConnectionResetError | BrokenPipeError
        )
        assert transport.get_write_buffer_size() == 0


def test_abort_inside_resume_writing(our_loop):
    loop = our_loop

    class Aborting(Recorder):
        def resume_writing(self):
            super().resume_writing()
            self.transport.write(bytes(1 << 22))
            self.transport.abort()

    with peer_of(loop, Aborting) as (transport, protocol, peer):
        transport.write(bytes(1 << 23))
        received = in_thread(loop, receive_all, peer)
        loop.run_until_complete(protocol.lost.wait())
        loop.run_until_complete(received)

        assert protocol.calls.count('connection_lost') == 1
        assert protocol.calls[-1] == 'connection_lost'


def test_echo_both_ways_at_once(loop):
    class Echo(Recorder):
        def data_received(self, data):
            self.transport.write(data)

        def pause_writing(self):
            self.transport.pause_reading()

        def resume_writing(self):
            self.transport.resume_reading()

    data = PATTERN * 8
    with peer_of(loop, lambda: Echo(keep_open=True)) as (
        transport,
        protocol,
        peer,
    ):
        sender = threading.Thread(
            target=lambda: (
                peer.sendall(data),
                peer.shutdown(socket.SHUT_WR),
            )
        )
        sender.start()
        received = in_thread(loop, receive_all, peer)
        loop.run_until_complete(protocol.until('eof_received'))
        transport.close()
        echoed = loop.run_until_complete(received)
        sender.join()

        assert echoed == data


# ---- BufferedProtocol ----


class Buffered(Recorder, asyncio.BufferedProtocol):
    """Has the transport read into a buffer of its own."""

    def __init__(self, size: int = 1000, **options) -> None:
        Recorder.__init__(self, **options)
        self.buffer = bytearray(size)
        self.hints = []

    def get_buffer(self, sizehint):
        self.hints.append(sizehint)
        self.note('get_buffer')
        return self.buffer

    def buffer_updated(self, nbytes):
        self.data += self.buffer[:nbytes]
        self.note('buffer_updated')


@pytest.mark.parametrize('size', [1, 1000, 1 << 18])
def test_a_buffered_protocol_gets_everything(loop, size):
    data = PATTERN[: 300 if size == 1 else None]
    with peer_of(loop, lambda: Buffered(size)) as (_, protocol, peer):
        sent = in_thread(loop, peer.sendall, data)
        loop.run_until_complete(protocol.until_size(len(data)))
        loop.run_until_complete(sent)

        assert protocol.data == data
        assert set(protocol.hints) == {-1}


def test_the_buffer_may_be_resized_in_buffer_updated(loop):
    class Resizing(Buffered):
        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            self.buffer = self.buffer[:0]
            self.buffer.extend(bytes(500))

    with peer_of(loop, Resizing) as (_, protocol, peer):
        peer.sendall(PATTERN[:10_000])
        loop.run_until_complete(protocol.until_size(10_000))

        assert protocol.data == PATTERN[:10_000]


def test_a_buffered_protocol_sees_the_end(loop):
    with peer_of(loop, Buffered) as (_, protocol, peer):
        peer.sendall(b'x')
        peer.close()
        loop.run_until_complete(protocol.lost.wait())

        assert 'eof_received' in protocol.calls
        assert protocol.error is None


@pytest.mark.parametrize('name', ['get_buffer', 'buffer_updated'])
def test_a_buffered_protocol_raising_is_reported(loop, reports, name):
    with peer_of(loop, lambda: Buffered(raises=name)) as (_, protocol, peer):
        peer.sendall(b'x')
        loop.run_until_complete(protocol.lost.wait())

        [report] = reports.take()
        assert report['message'] == (
            f'Fatal error: protocol.{name}() call failed.'
        )
        assert isinstance(protocol.error, ZeroDivisionError)


def test_an_empty_buffer_is_an_error(loop, reports):
    with peer_of(loop, lambda: Buffered(0)) as (_, protocol, peer):
        peer.sendall(b'x')
        loop.run_until_complete(protocol.lost.wait())

        [report] = reports.take()
        assert str(report['exception']) == (
            'get_buffer() returned an empty buffer'
        )


def test_a_buffer_that_is_none_is_an_error(loop, reports):
    class Wrong(Buffered):
        def get_buffer(self, sizehint):
            return b'read-only'

    with peer_of(loop, Wrong) as (_, protocol, peer):
        peer.sendall(b'x')
        loop.run_until_complete(protocol.lost.wait())

        [report] = reports.take()
        assert isinstance(protocol.error, TypeError | BufferError)
        assert report['exception'] is protocol.error


@pytest.mark.parametrize('how', ['close', 'abort', 'pause_reading'])
def test_stopping_inside_get_buffer(our_loop, how):
    class Stopping(Buffered):
        def get_buffer(self, sizehint):
            getattr(self.transport, how)()
            return super().get_buffer(sizehint)

    with peer_of(our_loop, Stopping) as (_transport, protocol, peer):
        peer.sendall(b'x')
        our_loop.run_until_complete(protocol.until('get_buffer'))
        spin(our_loop, 5)

        assert protocol.calls.count('get_buffer') == 1
        assert 'buffer_updated' not in protocol.calls


def test_from_a_plain_to_a_buffered_protocol_and_back(loop):
    class Plain(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.set_protocol(buffered)

    class Back(Buffered):
        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            plain.transport.set_protocol(plain)

    buffered = Back()
    with peer_of(loop, Plain) as (_, plain, peer):
        peer.sendall(b'a')
        loop.run_until_complete(plain.until_size(1))
        peer.sendall(b'b')
        loop.run_until_complete(buffered.until_size(1))
        peer.sendall(b'c')
        loop.run_until_complete(plain.until_size(2))

        assert (plain.data, buffered.data) == (b'ac', b'b')
        plain.transport.set_protocol(plain)


def test_a_class_that_only_looks_like_a_buffered_protocol(our_loop):
    """uvloop's rule: get_buffer makes it one, unless it is a Protocol."""

    class Duck:
        def __init__(self):
            self.buffer = bytearray(10)
            self.count = None
            self.lost = asyncio.Event()

        def connection_made(self, transport):
            self.transport = transport

        def get_buffer(self, sizehint):
            return memoryview(self.buffer)

        def buffer_updated(self, nbytes):
            self.count = nbytes

        def eof_received(self):
            pass

        def connection_lost(self, error):
            self.lost.set()

    with peer_of(our_loop, Duck) as (_, protocol, peer):
        peer.sendall(b'quack')
        peer.close()
        our_loop.run_until_complete(protocol.lost.wait())

        assert protocol.buffer[: protocol.count] == b'quack'
