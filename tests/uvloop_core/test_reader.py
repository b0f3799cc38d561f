"""asyncio's streams on our transports: a reader is asyncio's, whoever fills
it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.programs import run_code


@asynccontextmanager
async def stream(
    make: type[asyncio.StreamReader] = asyncio.StreamReader,
    protocol_of: type[asyncio.StreamReaderProtocol] = (
        asyncio.StreamReaderProtocol
    ),
    **options: int,
) -> AsyncIterator[
    tuple[asyncio.StreamReader, asyncio.StreamReaderProtocol, socket.socket]
]:
    """A reader of one end of a pair of sockets, its protocol, and the other
    end."""
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    reader = make(loop=loop, **options)
    transport, protocol = await loop.create_connection(
        lambda: protocol_of(reader, loop=loop), sock=near
    )
    with far:
        yield reader, protocol, far
    transport.close()
    await asyncio.wait([protocol._closed])  # type: ignore[attr-defined]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def arrived(reader: asyncio.StreamReader, size: int) -> None:
    while len(reader._buffer) < size:  # type: ignore[attr-defined]
        await asyncio.sleep(0)


MUCH = bytes(range(256)) * 40


async def begun(reader: asyncio.StreamReader, far: socket.socket) -> None:
    """Much has come at a time, and been read."""
    for _ in range(2):
        far.send(MUCH)
        assert await reader.readexactly(len(MUCH)) == MUCH


def test_what_comes_while_nobody_reads_is_kept_in_order(loop):
    async def main():
        async with stream() as (reader, _, far):
            far.send(b'one')
            await arrived(reader, 3)
            far.send(b' two\nthree')
            await arrived(reader, 12)

            assert bytes(reader._buffer) == b'one two\nthree'
            assert await reader.readline() == b'one two\n'
            assert await reader.readexactly(3) == b'thr'
            assert await reader.read(9) == b'ee'

    loop.run_until_complete(main())


def test_who_waits_is_woken_in_the_turn_after_the_data(loop):
    async def main():
        async with stream() as (reader, _, far):
            order = []
            task = asyncio.ensure_future(reader.read(9))
            task.add_done_callback(lambda task: order.append(task.result()))
            await turns()
            waiter = reader._waiter
            waiter.add_done_callback(lambda _: order.append(reader._waiter))

            far.send(b'data')
            await task
            await turns()

            assert waiter.result() is None
            assert order == [None, b'data']

    loop.run_until_complete(main())


@pytest.mark.parametrize('size', [1, 20_000, 300_000])
def test_messages_of_any_size_come_through(loop, size):
    async def serve(reader, writer):
        while data := await reader.read(100_000):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def main():
        server = await asyncio.start_server(serve, '127.0.0.1', 0)
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname()
        )
        for i in range(4):
            message = bytes([i]) * size
            writer.write(message)
            assert await reader.readexactly(size) == message
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_more_than_twice_the_limit_pauses_until_it_is_read(loop):
    async def main():
        async with stream(limit=4) as (reader, _, far):
            far.send(b'12345678')
            await arrived(reader, 8)
            assert not reader._paused

            far.send(b'9')
            await arrived(reader, 9)
            assert reader._paused
            assert not reader._transport.is_reading()

            assert await reader.read(5) == b'12345'
            assert not reader._paused
            assert reader._transport.is_reading()

    loop.run_until_complete(main())


def test_much_comes_after_what_is_there(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            for data in (MUCH, b'little', MUCH, MUCH):
                size = len(reader._buffer)
                far.send(data)
                await arrived(reader, size + len(data))
            text = MUCH + b'little' + MUCH + MUCH
            assert bytes(reader._buffer) == text
            assert await reader.readexactly(len(text)) == text

    loop.run_until_complete(main())


@pytest.mark.parametrize('size', [1, 5_000, 10_240, 60_000])
def test_the_next_message_may_have_any_size(loop, size):
    async def main():
        async with stream() as (reader, _, far):
            for _ in range(3):
                await begun(reader, far)
                far.send(MUCH * 6)
                assert await reader.readexactly(len(MUCH) * 6) == MUCH * 6
                far.send(b'a' * size)
                assert await reader.readexactly(size) == b'a' * size
            assert not reader._buffer

    loop.run_until_complete(main())


def test_the_end_comes_after_much(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            far.send(MUCH)
            far.shutdown(socket.SHUT_WR)
            assert await reader.read() == MUCH
            assert reader.at_eof()

    loop.run_until_complete(main())


def test_much_for_many_readers_is_each_ones_own(loop):
    async def read(number):
        text = bytes([number]) * 20_000
        async with stream() as (reader, _, far):
            for _ in range(5):
                far.send(text)
                assert await reader.readexactly(len(text)) == text
                await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*map(read, range(20)))

    loop.run_until_complete(main())


def test_a_buffer_that_somebody_holds_stays_the_readers(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            buffer = reader._buffer
            for _ in range(2):
                far.send(MUCH)
                await arrived(reader, len(MUCH))
                assert reader._buffer is buffer
                assert await reader.readexactly(len(MUCH)) == MUCH
                assert reader._buffer is buffer
                assert not buffer

    loop.run_until_complete(main())


def test_much_pauses_at_twice_the_limit(loop):
    async def main():
        async with stream(limit=8192) as (reader, _, far):
            await begun(reader, far)
            for paused in (False, True):
                size = len(reader._buffer)
                far.send(MUCH)
                await arrived(reader, size + len(MUCH))
                assert reader._paused is paused
            assert await reader.readexactly(2 * len(MUCH)) == MUCH * 2
            assert not reader._paused

    loop.run_until_complete(main())


def test_a_cancelled_read_leaves_much_in_the_buffer(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            task = asyncio.ensure_future(reader.read(1 << 20))
            await turns()
            far.send(MUCH)
            await arrived(reader, len(MUCH))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert bytes(reader._buffer) == MUCH
            assert await reader.read(1 << 20) == MUCH

    loop.run_until_complete(main())


def test_a_limit_of_no_ordinary_number_is_the_readers_business(loop):
    async def main():
        async with stream() as (reader, _, far):
            for limit in (1.5, 1 << 80, True):
                reader._limit = limit
                far.send(b'12')
                assert await reader.readexactly(2) == b'12'
                assert not reader._paused

    loop.run_until_complete(main())


def test_a_reader_that_has_ended_refuses_data(loop, reports):
    async def main():
        async with stream() as (reader, protocol, far):
            reader.feed_eof()
            far.send(b'late')
            with pytest.raises(AssertionError) as caught:
                await protocol._closed
            assert str(caught.value) == 'feed_data after feed_eof'

    loop.run_until_complete(main())
    (report,) = reports.take()
    assert report['message'].startswith('Fatal error: protocol.data_received')


@pytest.mark.parametrize('data', [b'12', MUCH])
def test_a_buffer_that_somebody_looks_at_cannot_grow(loop, reports, data):
    async def main():
        async with stream() as (reader, protocol, far):
            await begun(reader, far)
            far.send(data)
            await arrived(reader, len(data))
            view = memoryview(reader._buffer)
            far.send(data)
            with pytest.raises(BufferError) as caught:
                await protocol._closed
            view.release()
            assert caught.value is reader.exception()

    loop.run_until_complete(main())
    (report,) = reports.take()
    assert type(report['exception']) is BufferError


def test_a_subclass_feeds_itself(loop):
    fed = []

    class Reader(asyncio.StreamReader):
        def feed_data(self, data):
            fed.append(data)
            super().feed_data(data)

    async def main():
        async with stream(Reader) as (reader, _, far):
            far.send(b'data')
            assert await reader.read(9) == b'data'

    loop.run_until_complete(main())
    assert fed == [b'data']


def test_a_protocol_of_a_subclass_receives_itself(loop):
    received = []

    class Protocol(asyncio.StreamReaderProtocol):
        def data_received(self, data):
            received.append(data)
            super().data_received(data)

    async def main():
        async with stream(protocol_of=Protocol) as (reader, _, far):
            far.send(b'data')
            assert await reader.read(9) == b'data'

    loop.run_until_complete(main())
    assert received == [b'data']


@pytest.mark.parametrize('where', ['reader', 'its class', 'its protocol'])
def test_a_method_that_is_replaced_meanwhile_is_called(
    loop, monkeypatch, where
):
    fed = []

    async def main():
        async with stream() as (reader, protocol, far):
            far.send(b'1')
            assert await reader.read(9) == b'1'
            feed = reader.feed_data

            def replaced(*args):
                fed.append(args[-1])
                feed(args[-1])

            if where == 'its protocol':
                protocol.data_received = replaced
            else:
                owner = reader if where == 'reader' else asyncio.StreamReader
                monkeypatch.setattr(owner, 'feed_data', replaced)
            far.send(b'2')
            assert await reader.read(9) == b'2'

    loop.run_until_complete(main())
    assert fed == [b'2']


def test_a_reader_in_the_place_of_another_gets_the_data(loop):
    async def main():
        async with stream() as (reader, protocol, far):
            other = asyncio.StreamReader(loop=loop)
            protocol._stream_reader_wr = asyncio.streams.weakref.ref(other)
            far.send(b'data')
            assert await other.read(9) == b'data'
            assert not reader._buffer

    loop.run_until_complete(main())


def test_data_for_a_reader_that_is_collected_is_dropped(loop):
    async def main():
        near, far = socket.socketpair()
        transport, protocol = await loop.create_connection(
            lambda: asyncio.StreamReaderProtocol(
                asyncio.StreamReader(loop=loop), loop=loop
            ),
            sock=near,
        )
        assert protocol._stream_reader is None
        with far:
            far.send(b'data')
            await turns()
        await turns()
        assert not transport.is_closing()
        transport.close()
        await protocol._closed

    loop.run_until_complete(main())


def test_data_after_a_cancelled_read_is_kept(loop):
    async def main():
        async with stream() as (reader, _, far):
            task = asyncio.ensure_future(reader.read(9))
            await turns()
            far.send(b'data')
            reader._waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await reader.read(9) == b'data'

    loop.run_until_complete(main())


def test_data_between_the_cancel_and_its_turn_is_kept(loop):
    async def main():
        async with stream() as (reader, protocol, far):
            waiter = reader._waiter = loop.create_future()
            waiter.cancel()
            far.send(b'data')
            await arrived(reader, 4)
            assert reader._waiter is None
            assert await reader.read(9) == b'data'

    loop.run_until_complete(main())


def test_a_waiter_of_another_kind_is_woken(loop):
    class Future(asyncio.Future):
        def set_result(self, result):
            super().set_result([result])

    async def main():
        async with stream() as (reader, _, far):
            waiter = reader._waiter = Future(loop=loop)
            far.send(b'data')
            assert await waiter == [None]
            assert reader._waiter is None

    loop.run_until_complete(main())


def test_a_waiter_that_is_done_fails_the_connection(loop, reports):
    async def main():
        async with stream() as (reader, protocol, far):
            reader._waiter = loop.create_future()
            reader._waiter.set_result(None)
            far.send(b'data')
            with pytest.raises(asyncio.InvalidStateError):
                await protocol._closed

    loop.run_until_complete(main())
    (report,) = reports.take()
    assert type(report['exception']) is asyncio.InvalidStateError


def test_two_reads_at_once_are_refused(loop):
    async def main():
        async with stream() as (reader, _, far):
            task = asyncio.ensure_future(reader.read(9))
            await turns()
            with pytest.raises(RuntimeError) as caught:
                await reader.readline()
            far.send(b'data')
            assert await task == b'data'
            assert str(caught.value) == (
                'readuntil() called while another coroutine is already '
                'waiting for incoming data'
            )

    loop.run_until_complete(main())


def test_a_method_of_another_reader_is_that_one(loop):
    async def main():
        other = asyncio.StreamReader()
        async with stream() as (reader, _, far):
            reader.feed_data = other.feed_data
            far.send(b'x')
            assert await asyncio.wait_for(other.read(1), 5) == b'x'
            assert bytes(reader._buffer) == b''

    loop.run_until_complete(main())


WITHOUT_MEMORY = """
import asyncio
import socket

import _testcapi

import uvloop_core

MUCH = bytes(range(256)) * 40


async def begun(near, far):
    reader, writer = await asyncio.open_connection(sock=near)
    for _ in range(2):
        far.send(MUCH)
        assert await reader.readexactly(len(MUCH)) == MUCH
    return reader, writer


def attempt(data, number):
    near, far = socket.socketpair()
    reader, writer = loop.run_until_complete(begun(near, far))
    done = loop.create_future()

    def begin():
        far.send(data)
        loop.call_later(0, end)
        _testcapi.set_nomemory(number, number + 1)

    def end():
        _testcapi.remove_mem_hooks()
        done.set_result(None)

    loop.call_soon(begin)
    loop.run_until_complete(done)
    far.close()
    try:
        assert loop.run_until_complete(reader.read()) == data
    except MemoryError:
        assert bytes(reader._buffer) in (b'', data)
    writer.close()
    loop.run_until_complete(asyncio.sleep(0))


loop = uvloop_core.new_event_loop()
loop.set_exception_handler(lambda loop, context: None)
for data in (MUCH, b'little'):
    for number in range(40):
        attempt(data, number)
loop.close()
"""


def test_without_memory_a_buffer_holds_nothing_that_did_not_come():
    pytest.importorskip('_testcapi')

    run_code(WITHOUT_MEMORY)
