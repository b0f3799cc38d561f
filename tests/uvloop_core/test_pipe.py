"""connect_read_pipe and connect_write_pipe: pipes, sockets and terminals."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import io
import os
import pty
import socket
import subprocess
import sys
import tty
import warnings

import pytest

from tests.uvloop_core.peers import Recorder

PATTERN = bytes(range(256)) * 4096  # 1 MiB, more than a pipe takes


class Writer(Recorder):
    """Has no data_received: nothing shall look for it."""

    data_received = property()
    eof_received = property()


def spin(loop, turns=3):
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()


@contextlib.contextmanager
def reading(loop, make=Recorder):
    """A transport that reads a pipe, its protocol, and the other end."""
    reader, writer = os.pipe()
    file = io.FileIO(reader, 'rb')
    transport, protocol = loop.run_until_complete(
        loop.connect_read_pipe(make, file)
    )
    with open(writer, 'wb', 0) as peer:
        yield transport, protocol, peer
    finish(loop, transport, protocol)


@contextlib.contextmanager
def writing(loop, make=Writer):
    """A transport that writes to a pipe, its protocol, and the other end."""
    reader, writer = os.pipe()
    file = io.FileIO(writer, 'wb')
    transport, protocol = loop.run_until_complete(
        loop.connect_write_pipe(make, file)
    )
    with open(reader, 'rb', 0) as peer:
        yield transport, protocol, peer
        if not transport.is_closing():
            transport.abort()
    finish(loop, transport, protocol)


def finish(loop, transport, protocol):
    if not loop.is_closed():
        if not transport.is_closing():
            transport.close()
        loop.run_until_complete(protocol.lost.wait())
        spin(loop)


def read_all(loop, peer):
    """What is there until the end, read in a thread."""
    return loop.run_until_complete(loop.run_in_executor(None, peer.read))


# Reading


def test_what_is_written_to_the_pipe_is_received(loop):
    with reading(loop) as (_, protocol, peer):
        peer.write(b'one')
        loop.run_until_complete(protocol.until_size(3))
        peer.write(b'two')
        loop.run_until_complete(protocol.until_size(6))

        assert protocol.data == b'onetwo'


def test_a_lot_is_received_whole_and_in_order(loop):
    with reading(loop) as (_, protocol, peer):
        sent = loop.run_in_executor(None, peer.write, PATTERN)
        loop.run_until_complete(sent)
        loop.run_until_complete(protocol.until_size(sent.result()))

        assert protocol.data == PATTERN[: sent.result()]


@pytest.mark.parametrize('keep_open', [False, True])
def test_the_end_is_told_and_nothing_keeps_it_open(loop, keep_open):
    with reading(loop, lambda: Recorder(keep_open=keep_open)) as (
        transport,
        protocol,
        peer,
    ):
        peer.write(b'last')
        peer.close()
        loop.run_until_complete(protocol.lost.wait())

        assert protocol.calls == [
            'connection_made',
            'data_received',
            'eof_received',
            'connection_lost',
        ]
        assert protocol.error is None
        spin(loop)
        assert transport.get_extra_info('pipe').closed


def test_nothing_is_received_while_reading_is_paused(loop):
    with reading(loop) as (transport, protocol, peer):
        transport.pause_reading()
        peer.write(b'data')
        spin(loop)

        assert not transport.is_reading()
        assert protocol.data == b''
        transport.resume_reading()
        loop.run_until_complete(protocol.until_size(4))
        assert transport.is_reading()


def test_the_end_is_not_seen_while_reading_is_paused(loop):
    with reading(loop) as (transport, protocol, peer):
        transport.pause_reading()
        peer.close()
        spin(loop)

        assert not transport.is_closing()
        transport.resume_reading()
        loop.run_until_complete(protocol.lost.wait())


def test_close_ends_reading_and_closes_the_file(loop):
    with reading(loop) as (transport, protocol, peer):
        transport.close()
        transport.close()
        peer.write(b'too late')
        assert transport.is_closing()
        loop.run_until_complete(protocol.lost.wait())
        spin(loop)

        assert protocol.calls == ['connection_made', 'connection_lost']
        with pytest.raises(BrokenPipeError):
            peer.write(b'nobody there')


def test_a_reading_transport_has_no_way_out(loop):
    with reading(loop) as (transport, _, _):
        assert isinstance(transport, asyncio.ReadTransport)
        assert not isinstance(transport, asyncio.WriteTransport)
        for name in ('write', 'abort', 'get_write_buffer_size'):
            assert not hasattr(transport, name)


def test_another_protocol_can_be_set(loop):
    with reading(loop) as (transport, first, peer):
        second = Recorder()
        transport.set_protocol(second)
        peer.write(b'data')
        loop.run_until_complete(second.until_size(4))

        assert transport.get_protocol() is second
        assert first.data == b''
        transport.set_protocol(first)


def test_a_buffered_protocol_reads_into_its_own(our_loop):
    class Buffered(Recorder, asyncio.BufferedProtocol):
        buffer = bytearray(10)

        def get_buffer(self, sizehint):
            return self.buffer

        def buffer_updated(self, count):
            self.data += self.buffer[:count]
            self.note('buffer_updated')

    with reading(our_loop, Buffered) as (_, protocol, peer):
        peer.write(b'more than ten bytes')
        our_loop.run_until_complete(protocol.until_size(19))

        assert protocol.data == b'more than ten bytes'


def test_an_exception_of_data_received_closes(our_loop, reports):
    with reading(our_loop, lambda: Recorder('data_received')) as (
        transport,
        protocol,
        peer,
    ):
        peer.write(b'x')
        our_loop.run_until_complete(protocol.lost.wait())

        assert isinstance(protocol.error, ZeroDivisionError)
        [report] = reports.take()
        assert report['transport'] is transport


# Writing


def test_what_the_transport_writes_arrives(loop):
    with writing(loop) as (transport, _, peer):
        transport.write(b'one')
        transport.write(bytearray(b'two'))
        transport.write(memoryview(b'three'))
        transport.writelines([b'four', b'five'])

        assert peer.read(100) == b'onetwothreefourfive'
        assert transport.get_write_buffer_size() == 0


def test_more_than_the_pipe_takes_pauses_and_is_sent(loop):
    with writing(loop) as (transport, protocol, peer):
        transport.write(PATTERN)
        assert transport.get_write_buffer_size() > 64 * 1024
        assert protocol.calls[-1] == 'pause_writing'
        transport.write(b'the end')
        transport.write_eof()

        assert read_all(loop, peer) == PATTERN + b'the end'
        loop.run_until_complete(protocol.lost.wait())
        assert protocol.calls[-2:] == ['resume_writing', 'connection_lost']
        assert protocol.error is None


def test_limits_can_be_set(loop):
    with writing(loop) as (transport, protocol, peer):
        transport.set_write_buffer_limits(high=0)
        assert transport.get_write_buffer_limits() == (0, 0)
        transport.write(PATTERN)
        with open(os.dup(peer.fileno()), 'rb') as copy:
            reading = loop.run_in_executor(None, copy.read, len(PATTERN))
            loop.run_until_complete(protocol.until('resume_writing'))
            loop.run_until_complete(reading)

        assert protocol.calls[1:] == ['pause_writing', 'resume_writing']


@pytest.mark.parametrize('name', ['close', 'write_eof'])
def test_what_is_written_after_the_end_is_dropped(loop, name):
    with writing(loop) as (transport, protocol, peer):
        transport.write(PATTERN)
        getattr(transport, name)()
        transport.write(b'too late')
        transport.writelines([b'too', b'late'])
        assert transport.is_closing()
        assert transport.can_write_eof()

        assert read_all(loop, peer) == PATTERN
        loop.run_until_complete(protocol.lost.wait())


def test_writes_to_a_lost_pipe_are_told_in_the_log(loop, caplog):
    with writing(loop) as (transport, protocol, _):
        transport.abort()
        loop.run_until_complete(protocol.lost.wait())
        for _ in range(8):
            transport.write(b'x')

    warned = [
        each.getMessage()
        for each in caplog.records
        if each.levelname == 'WARNING'
    ]
    assert set(warned) == {
        'pipe closed by peer or os.write(pipe, data) raised exception.'
    }


def test_abort_drops_what_is_not_sent(loop):
    with writing(loop) as (transport, protocol, peer):
        transport.write(PATTERN)
        transport.abort()
        assert transport.get_write_buffer_size() == 0
        loop.run_until_complete(protocol.lost.wait())
        spin(loop)

        assert 0 < len(read_all(loop, peer)) < len(PATTERN)
        assert protocol.error is None


def test_a_reader_that_goes_ends_an_idle_transport(loop):
    with writing(loop) as (_, protocol, peer):
        peer.close()
        loop.run_until_complete(protocol.lost.wait())

        assert protocol.error is None


def test_a_reader_that_goes_breaks_what_is_being_sent(loop):
    with writing(loop) as (transport, protocol, peer):
        transport.write(PATTERN)
        peer.close()
        loop.run_until_complete(protocol.lost.wait())

        assert isinstance(protocol.error, BrokenPipeError)


def test_a_reader_that_goes_while_closing_ends_it(loop):
    with writing(loop) as (transport, protocol, peer):
        transport.write(PATTERN)
        transport.close()
        peer.close()
        loop.run_until_complete(protocol.lost.wait())

        assert isinstance(protocol.error, BrokenPipeError)


def test_a_write_to_a_pipe_without_reader_is_a_lost_connection(loop):
    with writing(loop) as (transport, protocol, peer):
        peer.close()
        transport.write(b'data')
        loop.run_until_complete(protocol.lost.wait())

        assert isinstance(protocol.error, BrokenPipeError)


def test_a_writing_transport_has_no_way_in(loop):
    with writing(loop) as (transport, _, _):
        assert isinstance(transport, asyncio.WriteTransport)
        for name in ('pause_reading', 'resume_reading', 'is_reading'):
            with pytest.raises(NotImplementedError):
                getattr(transport, name)()


def test_a_device_that_cannot_be_watched_is_written_to(loop):
    async def main():
        transport, protocol = await loop.connect_write_pipe(
            Writer, io.FileIO('/dev/null', 'wb')
        )
        transport.write(PATTERN)
        transport.close()
        await protocol.lost.wait()

        assert protocol.error is None

    loop.run_until_complete(main())


# Files of other kinds


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('connect_read_pipe', r'^Pipe transport is for pipes/sockets only\.$'),
        (
            'connect_write_pipe',
            '^Pipe transport is only for pipes, sockets and character'
            ' devices$',
        ),
    ],
)
def test_a_regular_file_is_refused_and_stays_open(
    loop, tmp_path, name, message
):
    with open(tmp_path / 'file', 'wb+', 0) as file:
        connect = getattr(loop, name)(Recorder, file)
        with pytest.raises(ValueError, match=message):
            loop.run_until_complete(connect)
        gc.collect()

        assert file.write(b'x') == 1


def test_a_device_that_cannot_be_polled_is_lost(our_loop):
    async def main():
        _, protocol = await our_loop.connect_read_pipe(
            Recorder, io.FileIO('/dev/null', 'rb')
        )
        await protocol.lost.wait()
        assert isinstance(protocol.error, PermissionError)

    our_loop.run_until_complete(main())


@pytest.mark.parametrize('name', ['connect_read_pipe', 'connect_write_pipe'])
def test_a_closed_file_is_refused(our_loop, name):
    connect = getattr(our_loop, name)
    reader, writer = os.pipe()
    os.close(writer)
    file = io.FileIO(reader, 'rb')
    file.close()
    with pytest.raises(ValueError, match='closed file'):
        our_loop.run_until_complete(connect(Recorder, file))

    sock = socket.socket()
    sock.close()
    with pytest.raises(OSError, match='Bad file descriptor'):
        our_loop.run_until_complete(connect(Recorder, sock))


def test_a_number_is_no_file(our_loop):
    with pytest.raises(AttributeError):
        our_loop.run_until_complete(our_loop.connect_read_pipe(Recorder, 0))


def test_sockets_do_as_well(loop):
    async def main():
        left, right = socket.socketpair()
        writer, sender = await loop.connect_write_pipe(Writer, left)
        _, receiver = await loop.connect_read_pipe(Recorder, right)
        writer.write(b'data')
        await receiver.until_size(4)
        writer.close()
        await receiver.lost.wait()
        await sender.lost.wait()

    loop.run_until_complete(main())


def test_a_terminal_goes_both_ways_and_keeps_its_input(loop):
    master, slave = pty.openpty()
    tty.setraw(slave)

    async def main():
        out, sender = await loop.connect_write_pipe(
            Writer, io.FileIO(os.dup(slave), 'wb')
        )
        back, receiver = await loop.connect_read_pipe(
            Recorder, io.FileIO(slave, 'rb')
        )
        for number in range(1, 21):
            os.write(master, b'in')
            await receiver.until_size(2 * number)
            out.write(b'out')
        out.close()
        back.close()
        await sender.lost.wait()
        await receiver.lost.wait()

    loop.run_until_complete(main())

    output = b''
    while len(output) < 60:
        output += os.read(master, 1000)
    assert output == b'out' * 20
    os.close(master)


def test_a_terminal_that_hangs_up_ends_with_eio_in_silence(loop):
    master, slave = pty.openpty()

    async def main():
        _, protocol = await loop.connect_read_pipe(
            Recorder, io.FileIO(master, 'rb')
        )
        os.close(slave)
        await protocol.lost.wait()
        assert isinstance(protocol.error, OSError)

    loop.run_until_complete(main())


# What a transport tells of itself


def test_the_file_is_known_also_after_close(loop):
    with reading(loop) as (transport, _, _):
        file = transport.get_extra_info('pipe')
        assert transport._pipe is file
        assert transport.get_extra_info('peername', 'none') == 'none'

    assert file.closed
    assert transport._pipe is None
    assert transport.get_extra_info('pipe') is file


def test_repr_of_a_reading_transport(loop):
    with reading(loop) as (transport, _, _):
        fd = transport.get_extra_info('pipe').fileno()
        name = type(transport).__name__
        assert repr(transport) == f'<{name} fd={fd} polling>'
        transport.pause_reading()
        assert repr(transport) == f'<{name} fd={fd} idle>'
        transport.close()
        assert repr(transport) == f'<{name} closing fd={fd} idle>'

    assert repr(transport) == f'<{name} closed fd={fd} closed>'


def test_repr_of_a_writing_transport(loop):
    with writing(loop) as (transport, _, _):
        fd = transport.get_extra_info('pipe').fileno()
        name = type(transport).__name__
        assert repr(transport) == f'<{name} fd={fd} idle bufsize=0>'
        transport.write(PATTERN)
        size = transport.get_write_buffer_size()
        assert repr(transport) == f'<{name} fd={fd} polling bufsize={size}>'

    assert repr(transport) == f'<{name} closed fd={fd} closed>'


def test_the_names_are_uvloops(our_loop):
    with reading(our_loop) as (transport, _, _):
        assert type(transport).__name__ == 'ReadUnixTransport'
        with pytest.raises(TypeError):
            type(transport)()
    with writing(our_loop) as (transport, _, _):
        assert type(transport).__name__ == 'WriteUnixTransport'


def test_the_protocol_is_called_in_the_context_of_connect(our_loop):
    variable = contextvars.ContextVar('variable', default='')
    seen = []

    class Protocol(Recorder):
        def note(self, name):
            seen.append((name, variable.get()))
            super().note(name)

    async def main():
        variable.set('connect')
        reader, writer = os.pipe()
        _, protocol = await our_loop.connect_read_pipe(
            Protocol, io.FileIO(reader, 'rb')
        )
        os.write(writer, b'x')
        os.close(writer)
        await protocol.lost.wait()

    our_loop.run_until_complete(main())

    assert len(seen) == 4
    assert {value for _, value in seen} == {'connect'}


# Descriptors that clash or go


def test_a_descriptor_of_a_transport_is_not_to_be_watched(our_loop):
    with reading(our_loop) as (transport, _, _):
        file = transport.get_extra_info('pipe')
        with pytest.raises(RuntimeError, match='is used by transport <Read'):
            our_loop.add_reader(file, print)
        with pytest.raises(RuntimeError, match='is used by transport <Read'):
            our_loop.run_until_complete(
                our_loop.connect_read_pipe(Recorder, file)
            )


def test_a_number_is_free_again_after_the_transport(our_loop):
    with reading(our_loop) as (transport, _, _):
        fd = transport.get_extra_info('pipe').fileno()
    reader, writer = os.pipe()
    other = os.dup2(reader, fd)

    our_loop.add_reader(other, print)
    assert our_loop.remove_reader(other)
    for each in {reader, writer, other}:
        os.close(each)


def test_a_reading_end_closed_behind_its_back_closes_in_peace(
    our_loop, reports
):
    with reading(our_loop) as (transport, protocol, _):
        os.close(transport.get_extra_info('pipe').fileno())
        transport.pause_reading()
        spin(our_loop)
        transport.close()
        our_loop.run_until_complete(protocol.lost.wait())
        spin(our_loop)

        # The file's own close().
        [report] = reports.take()
        assert isinstance(report['exception'], OSError)


def test_a_reading_end_closed_behind_its_back_ends_when_it_resumes(
    our_loop, reports
):
    with reading(our_loop) as (transport, protocol, _):
        transport.pause_reading()
        spin(our_loop)
        os.close(transport.get_extra_info('pipe').fileno())
        transport.resume_reading()
        our_loop.run_until_complete(protocol.lost.wait())
        spin(our_loop)

        assert isinstance(protocol.error, OSError)
        [report] = reports.take()
        assert isinstance(report['exception'], OSError)


def test_a_writing_end_closed_behind_its_back_ends_by_the_next_write(
    our_loop, reports
):
    with writing(our_loop) as (transport, protocol, _):
        os.close(transport.get_extra_info('pipe').fileno())
        transport.write(b'x')
        our_loop.run_until_complete(protocol.lost.wait())
        spin(our_loop)

        assert isinstance(protocol.error, OSError)
        [report] = reports.take()
        assert isinstance(report['exception'], OSError)


# Ends of other things


def test_a_cancelled_connect_closes_the_file(loop):
    reader, writer = os.pipe()
    file = io.FileIO(reader, 'rb')

    async def main():
        task = asyncio.ensure_future(loop.connect_read_pipe(Recorder, file))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop.run_until_complete(main())

    assert file.closed
    os.close(writer)


def test_a_factory_that_raises_leaves_the_file_alone(loop):
    reader, writer = os.pipe()
    os.close(writer)
    with open(reader, 'rb', 0) as file:
        with pytest.raises(ZeroDivisionError):
            loop.run_until_complete(
                loop.connect_read_pipe(lambda: 1 / 0, file)
            )
        assert file.read() == b''


def test_a_loop_that_closes_leaves_the_file_to_its_owner(our_loop):
    with reading(our_loop) as (transport, _, peer):
        file = transport.get_extra_info('pipe')
        with pytest.warns(ResourceWarning, match='unclosed transport <Read'):
            our_loop.close()
        assert 'open' in repr(transport)
        peer.write(b'data')

        assert file.read(4) == b'data'
        file.close()


def test_a_loop_that_closes_drops_what_is_not_written(our_loop):
    with writing(our_loop) as (transport, _, _):
        transport.write(PATTERN)
        file = transport.get_extra_info('pipe')
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', ResourceWarning)
            our_loop.close()

        assert transport.get_write_buffer_size() == 0
        transport.write(b'x')
        file.close()


def test_many_pipes_leave_nothing(loop):
    async def use():
        reader, writer = os.pipe()
        into, sender = await loop.connect_write_pipe(
            Writer, io.FileIO(writer, 'wb')
        )
        _, receiver = await loop.connect_read_pipe(
            Recorder, io.FileIO(reader, 'rb')
        )
        into.write(b'data')
        into.close()
        await receiver.lost.wait()
        await sender.lost.wait()
        assert receiver.data == b'data'

    async def main():
        for _ in range(20):
            await asyncio.gather(*(use() for _ in range(10)))

    loop.run_until_complete(main())


WITHOUT_MEMORY = """
import asyncio, contextvars, io, os
import _testcapi
import uvloop_core
from uvloop_core import _core

loop = uvloop_core.new_event_loop()
loop.set_exception_handler(lambda loop, context: None)
context = contextvars.copy_context()
data = [bytes(1 << 20), bytearray(1000)]


def spin():
    for _ in range(4):
        loop.call_soon(loop.stop)
        loop.run_forever()


class Protocol(asyncio.Protocol):
    lost = 0

    def connection_lost(self, error):
        self.lost += 1


def attempt(what, number):
    reader, writer = os.pipe()
    ends = io.FileIO(reader, 'rb'), io.FileIO(writer, 'wb')
    protocol = Protocol()
    opens = _core.open_read_pipe if what == 'read' else _core.open_write_pipe
    file = ends[what != 'read']
    transport = None
    if what == 'start':
        # In the turn in which the transport starts.
        loop.call_soon(_testcapi.set_nomemory, number, number + 1)
        transport = opens(loop, file, protocol, None, context)
        loop.call_soon(_testcapi.remove_mem_hooks)
    if what == 'room':
        transport = opens(loop, file, protocol, None, context)
        spin()
    if what != 'start':
        _testcapi.set_nomemory(number, number + 1)
    try:
        if what == 'room':
            transport.writelines(data)
        elif what != 'start':
            transport = opens(loop, file, protocol, None, context)
    except MemoryError:
        pass
    finally:
        _testcapi.remove_mem_hooks()
    spin()
    if transport is not None:
        transport.close()
        ends[what == 'read'].close()
        spin()
        assert protocol.lost == 1
    for end in ends:
        end.close()


for what in ['read', 'write', 'start', 'room']:
    for number in range(40):
        attempt(what, number)
spin()
assert loop._handles_opened == loop._handles_closed > 0
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
