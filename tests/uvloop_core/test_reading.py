"""The coroutines of a StreamReader: asyncio's, whoever reads."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import sys
import weakref
from unittest import mock

import pytest

from .test_reader import arrived, stream, turns

METHODS = ['read', 'readexactly', 'readuntil', 'readline']


async def begun(reader, far):
    """The reader has had data from its transport, and that is read."""
    far.send(b'.')
    assert await reader.read(1) == b'.'


async def gathered(reader, far, data):
    far.send(data)
    await arrived(reader, len(data))


async def suspended(coroutine):
    """A task of it that waits for data."""
    task = asyncio.ensure_future(coroutine)
    await turns()
    assert not task.done()
    return task


def call(reader, name):
    """A read that 'da\\n' ends, and nothing less."""
    arguments = {'read': (3,), 'readexactly': (3,)}.get(name, ())
    return getattr(reader, name)(*arguments)


@pytest.mark.parametrize('name', METHODS)
def test_data_that_is_there_is_read_in_the_same_turn(loop, name):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            await gathered(reader, far, b'da\nta')
            with pytest.raises(StopIteration) as caught:
                call(reader, name).send(None)
            assert caught.value.value == b'da\n'
            assert bytes(reader._buffer) == b'ta'

    loop.run_until_complete(main())


@pytest.mark.parametrize('name', METHODS[1:])
def test_data_that_comes_in_pieces_is_waited_for(loop, name):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            task = await suspended(call(reader, name))
            for byte in (b'd', b'a'):
                far.send(byte)
                await turns()
                assert not task.done()
            far.send(b'\nta')
            assert await task == b'da\n'
            assert reader._waiter is None
            assert bytes(reader._buffer) == b'ta'

    loop.run_until_complete(main())


def test_read_returns_what_there_is(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            task = await suspended(reader.read(100))
            far.send(b'data')
            assert await task == b'data'

    loop.run_until_complete(main())


def test_who_was_woken_for_nothing_reads_nothing(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            task = await suspended(reader.read(100))
            reader._wakeup_waiter()
            assert await task == b''

    loop.run_until_complete(main())


@pytest.mark.parametrize(
    ('separator', 'line'),
    [(b'\r\n', b'a\rb\r\n'), (b'\r\nc\r', b'a\rb\r\nc\r'), (b'a', b'a')],
)
def test_a_separator_may_come_in_pieces(loop, separator, line):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            task = asyncio.ensure_future(reader.readuntil(separator))
            for byte in b'a\rb\r\nc\r\n':
                far.send(bytes([byte]))
                await turns()
            assert await task == line

    loop.run_until_complete(main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason='it came with 3.13')
def test_the_first_of_several_separators_ends_the_data(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            far.send(b'one\r\ntwo\n')
            assert await reader.readuntil((b'\n', b'\r\n')) == b'one\r\n'
            assert await reader.readuntil((b'\n', b'\r\n')) == b'two\n'

    loop.run_until_complete(main())


@pytest.mark.parametrize('name', METHODS)
@pytest.mark.parametrize('early', [True, False])
def test_the_end_is_told_as_it_is_by_asyncio(loop, name, early):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            if early:
                reader.feed_eof()
                task = asyncio.ensure_future(call(reader, name))
            else:
                task = await suspended(call(reader, name))
                far.close()
            if name in ('read', 'readline'):
                assert await task == b''
                return
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await task
            assert caught.value.partial == b''
            assert caught.value.expected == (
                3 if name == 'readexactly' else None
            )

    loop.run_until_complete(main())


@pytest.mark.parametrize('name', ['readexactly', 'readuntil'])
def test_what_is_incomplete_is_in_the_exception(loop, name):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            task = await suspended(call(reader, name))
            far.send(b'da')
            await turns()
            far.close()
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await task
            assert caught.value.partial == b'da'
            assert not reader._buffer

    loop.run_until_complete(main())


def test_a_line_that_nothing_ends_is_what_there_is(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            task = await suspended(reader.readline())
            far.send(b'da')
            await turns()
            far.close()
            assert await task == b'da'
            assert reader.at_eof()

    loop.run_until_complete(main())


def test_read_of_all_ends_at_the_end(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            task = await suspended(reader.read())
            far.send(b'da')
            await turns()
            far.send(b'ta')
            far.close()
            assert await task == b'data'

    loop.run_until_complete(main())


@pytest.mark.parametrize(
    ('sent', 'message', 'consumed'),
    [
        (b'123456', 'Separator is not found, and chunk exceed the limit', 6),
        (b'12345\n', 'Separator is found, but chunk is longer than limit', 5),
    ],
)
def test_a_chunk_over_the_limit_stays_in_the_buffer(
    loop, sent, message, consumed
):
    async def main():
        async with stream(limit=4) as (reader, _, far):
            await begun(reader, far)
            task = await suspended(reader.readuntil())
            far.send(sent)
            with pytest.raises(asyncio.LimitOverrunError) as caught:
                await task
            assert str(caught.value) == message
            assert caught.value.consumed == consumed
            assert bytes(reader._buffer) == sent

    loop.run_until_complete(main())


def test_a_line_over_the_limit_is_dropped(loop):
    async def main():
        async with stream(limit=4) as (reader, _, far):
            await begun(reader, far)
            task = await suspended(reader.readline())
            far.send(b'12345\n67\n')
            with pytest.raises(ValueError, match='longer than limit'):
                await task
            assert await reader.readline() == b'67\n'

    loop.run_until_complete(main())


def test_a_line_as_long_as_the_limit_is_read(loop):
    async def main():
        async with stream(limit=4) as (reader, _, far):
            await begun(reader, far)
            task = await suspended(reader.readline())
            far.send(b'1234\n')
            assert await task == b'1234\n'

    loop.run_until_complete(main())


@pytest.mark.parametrize(
    ('name', 'argument', 'error'),
    [
        ('readexactly', -1, ValueError),
        ('readuntil', b'', ValueError),
        ('readuntil', 'text', TypeError),
        ('read', 'text', TypeError),
        ('readexactly', None, TypeError),
    ],
)
def test_a_wrong_argument_is_refused(loop, name, argument, error):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            await gathered(reader, far, b'data')
            with pytest.raises(error):
                await getattr(reader, name)(argument)
            assert await reader.read(9) == b'data'

    loop.run_until_complete(main())


@pytest.mark.parametrize('name', ['read', 'readexactly'])
def test_nothing_is_read_of_nothing(loop, name):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            assert await getattr(reader, name)(0) == b''

    loop.run_until_complete(main())


@pytest.mark.parametrize(('size', 'data'), [(True, b'd'), (1 << 80, b'data')])
def test_a_size_of_another_kind_is_taken(loop, size, data):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            await gathered(reader, far, b'data')
            assert await reader.read(size) == data

    loop.run_until_complete(main())


@pytest.mark.parametrize('name', METHODS)
def test_a_second_coroutine_that_would_wait_is_refused(loop, name):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            task = await suspended(reader.read(9))
            with pytest.raises(RuntimeError) as caught:
                await call(reader, name)
            far.send(b'data')
            assert await task == b'data'
            called = 'readuntil' if name == 'readline' else name
            assert str(caught.value) == (
                f'{called}() called while another coroutine is already '
                'waiting for incoming data'
            )

    loop.run_until_complete(main())


@pytest.mark.parametrize('name', METHODS)
@pytest.mark.parametrize('waits', [False, True])
def test_the_exception_that_was_set_is_raised(loop, name, waits):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            error = ConnectionError('broken')
            if waits:
                task = await suspended(call(reader, name))
                reader.set_exception(error)
            else:
                reader.set_exception(error)
                task = asyncio.ensure_future(call(reader, name))
            with pytest.raises(ConnectionError) as caught:
                await task
            assert caught.value is error
            assert reader._waiter is None

    loop.run_until_complete(main())


def test_data_fed_by_hand_is_read(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            task = await suspended(reader.readline())
            reader.feed_data(b'by ')
            reader.feed_data(b'hand\n')
            assert await task == b'by hand\n'

    loop.run_until_complete(main())


@pytest.mark.parametrize('name', METHODS)
def test_a_cancelled_read_loses_nothing(loop, name):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            task = await suspended(call(reader, name))
            far.send(b'da\n')
            await arrived(reader, 3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert reader._waiter is None
            assert await call(reader, name) == b'da\n'

    loop.run_until_complete(main())


def test_a_read_is_cancelled_before_any_data(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(reader.read(9), 0.01)
            assert reader._waiter is None
            far.send(b'data')
            assert await asyncio.wait_for(reader.read(9), 5) == b'data'

    loop.run_until_complete(main())


def test_a_shielded_read_goes_on(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            inner = asyncio.ensure_future(reader.read(9))
            outer = asyncio.ensure_future(asyncio.shield(inner))
            await turns()
            outer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await outer
            far.send(b'data')
            assert await inner == b'data'

    loop.run_until_complete(main())


def test_reads_of_several_readers_are_gathered(loop):
    async def main():
        async with stream() as (one, _, far), stream() as (two, _, far2):
            await begun(one, far)
            await begun(two, far2)
            both = asyncio.gather(one.readexactly(3), two.readline())
            far.send(b'one')
            far2.send(b'two\n')
            assert await both == [b'one', b'two\n']

    loop.run_until_complete(main())


def test_more_than_the_limit_is_read_by_resuming(loop):
    async def main():
        async with stream(limit=4) as (reader, _, far):
            await begun(reader, far)
            far.send(b'123456789')
            await arrived(reader, 9)
            assert reader._paused
            task = await suspended(reader.readexactly(12))
            assert not reader._paused
            assert reader._transport.is_reading()
            far.send(b'012')
            assert await task == b'123456789012'

    loop.run_until_complete(main())


def test_reading_below_the_limit_resumes(loop):
    async def main():
        async with stream(limit=4) as (reader, _, far):
            await begun(reader, far)
            far.send(b'123456789')
            await arrived(reader, 9)
            assert await reader.readexactly(4) == b'1234'
            assert reader._paused
            assert await reader.read(1) == b'5'
            assert not reader._paused
            assert reader._transport.is_reading()

    loop.run_until_complete(main())


@pytest.mark.parametrize('waits', [False, True])
def test_what_resume_reading_raises_comes_out(loop, waits):
    async def main():
        async with stream(limit=4) as (reader, _, far):
            await begun(reader, far)
            far.send(b'123456789')
            await arrived(reader, 9)
            transport = reader._transport
            reader._transport = mock.Mock()
            reader._transport.resume_reading.side_effect = OSError('broken')
            with pytest.raises(OSError, match='broken'):
                await reader.readexactly(10 if waits else 9)
            assert not reader._paused
            assert len(reader._buffer) == (9 if waits else 0)
            reader._transport = transport

    loop.run_until_complete(main())


def test_a_buffer_that_somebody_looks_at_cannot_be_read(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            await gathered(reader, far, b'data')
            with memoryview(reader._buffer), pytest.raises(BufferError):
                await reader.read(9)
            assert await reader.read(9) == b'data'

    loop.run_until_complete(main())


def test_lines_are_iterated_over(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            far.send(b'one\ntwo\nthree')
            far.close()
            lines = [line async for line in reader]
            assert lines == [b'one\n', b'two\n', b'three']

    loop.run_until_complete(main())


def test_a_protocol_of_lines_and_lengths_is_read(loop):
    async def main():
        async with stream() as (reader, _, far):
            for size in (0, 1, 70, 20_000):
                sending = loop.run_in_executor(
                    None, far.sendall, b'$%d\r\n%s\r\n' % (size, b'x' * size)
                )
                header = await reader.readuntil(b'\r\n')
                body = await reader.readexactly(int(header[1:]) + 2)
                assert body == b'x' * size + b'\r\n'
                await sending

    loop.run_until_complete(main())


@pytest.mark.parametrize('name', METHODS)
def test_what_is_returned_is_a_coroutine(loop, name):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            function = getattr(reader, name)
            coroutine = call(reader, name)
            assert inspect.iscoroutinefunction(function)
            assert inspect.iscoroutine(coroutine)
            assert coroutine.__qualname__ == f'StreamReader.{name}'
            assert inspect.signature(function) == inspect.signature(
                getattr(asyncio.StreamReader(loop=loop), name)
            )
            assert inspect.getdoc(function) == inspect.getdoc(
                getattr(asyncio.StreamReader, name)
            )
            coroutine.close()

    loop.run_until_complete(main())


def test_a_coroutine_that_is_not_awaited_warns(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            with pytest.warns(RuntimeWarning) as caught:
                reader.read(1)
                gc.collect()
            assert str(caught[0].message).startswith(
                "coroutine 'StreamReader.read' was never awaited"
            )

    loop.run_until_complete(main())


def test_a_coroutine_is_awaited_once(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            await gathered(reader, far, b'data')
            coroutine = reader.read(9)
            assert await coroutine == b'data'
            with pytest.raises(RuntimeError, match='cannot reuse already'):
                await coroutine

    loop.run_until_complete(main())


@pytest.mark.parametrize('how', ['close', 'throw', 'send'])
def test_a_coroutine_may_be_driven_by_hand(loop, how):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            coroutine = reader.readexactly(3)
            future = coroutine.send(None)
            assert future is reader._waiter
            if how == 'close':
                coroutine.close()
            elif how == 'throw':
                with pytest.raises(KeyError):
                    coroutine.throw(KeyError('thrown'))
            else:
                future.set_result(None)
                reader._waiter = None
                reader._buffer += b'123'
                with pytest.raises(StopIteration) as caught:
                    coroutine.send('anything')
                assert caught.value.value == b'123'
            assert reader._waiter is None

    loop.run_until_complete(main())


def test_a_step_before_its_time_is_refused(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            coroutine = reader.read(3)
            coroutine.send(None)
            with pytest.raises(RuntimeError, match="await wasn't used"):
                coroutine.send(None)
            assert reader._waiter is None

    loop.run_until_complete(main())


def test_the_stack_of_a_task_shows_the_coroutine(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            task = await suspended(reader.read(9))
            (frame,) = task.get_stack()
            assert frame.f_code.co_name == 'read'
            assert 'StreamReader.read() running at' in repr(task)
            far.send(b'data')
            await task

    loop.run_until_complete(main())


def test_a_reader_with_more_attributes_reads_on(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            reader.name = 'mine'
            task = await suspended(reader.readline())
            far.send(b'data\n')
            assert await task == b'data\n'

    loop.run_until_complete(main())


@pytest.mark.parametrize('where', ['reader', 'its class', 'the other class'])
@pytest.mark.parametrize('method', ['readuntil', '_wait_for_data'])
def test_a_replaced_method_is_called(loop, monkeypatch, where, method):
    called = []

    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            owners = {'reader': reader, 'its class': type(reader)}
            owner = owners.get(where, asyncio.StreamReader)
            old = getattr(owner, method)

            async def replaced(*args):
                called.append(args[-1])
                return await old(*args)

            monkeypatch.setattr(owner, method, replaced)
            task = await suspended(reader.readuntil(b'a'))
            far.send(b'data')
            assert await task == b'da'
            monkeypatch.undo()
            assert await reader.readuntil(b'a') == b'ta'

    loop.run_until_complete(main())
    assert called == [b'a' if method == 'readuntil' else 'readuntil']


def test_readline_calls_a_readuntil_in_its_place(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            reader.readuntil = mock.AsyncMock(return_value=b'mine')
            assert await reader.readline() == b'mine'

    loop.run_until_complete(main())


def test_a_future_of_another_kind_is_awaited(loop):
    class Future(asyncio.Future):
        pass

    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            reader._loop = mock.Mock()
            reader._loop.create_future = lambda: Future(loop=loop)
            task = await suspended(reader.read(9))
            assert type(reader._waiter) is Future
            far.send(b'data')
            assert await task == b'data'

    loop.run_until_complete(main())


@pytest.mark.parametrize('what', ['fails', 'is missing'])
def test_a_loop_that_makes_no_future_fails_the_read(loop, what):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            if what == 'fails':
                reader._loop = mock.Mock()
                reader._loop.create_future.side_effect = OSError('broken')
            else:
                del reader._loop
            with pytest.raises((OSError, AttributeError)):
                await reader.read(9)
            assert reader._waiter is None

    loop.run_until_complete(main())


@pytest.mark.parametrize('name', ['_buffer', '_eof', '_paused', '_waiter'])
def test_a_reader_without_an_attribute_says_so(loop, name):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            kept = getattr(reader, name)
            delattr(reader, name)
            with pytest.raises(AttributeError, match=name):
                await reader.read(9)
            setattr(reader, name, kept)

    loop.run_until_complete(main())


def test_a_buffer_of_another_kind_is_read(loop):
    class Buffer(bytearray):
        pass

    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            reader._buffer = Buffer(b'data')
            assert await reader.read(3) == b'dat'
            assert type(reader._buffer) is Buffer

    loop.run_until_complete(main())


def test_a_class_that_asyncio_gets_back_reads_on(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            reader.__class__ = asyncio.StreamReader
            task = await suspended(reader.readline())
            far.send(b'data\n')
            assert await task == b'data\n'

    loop.run_until_complete(main())


def test_a_reader_is_of_asyncios_class_by_every_name(loop):
    async def main():
        async with stream() as (reader, _, far):
            attributes = set(vars(reader))
            await begun(reader, far)
            kind = type(reader)
            assert isinstance(reader, asyncio.StreamReader)
            assert kind.__name__ == kind.__qualname__ == 'StreamReader'
            assert kind.__module__ == 'asyncio.streams'
            assert repr(kind) == "<class 'asyncio.streams.StreamReader'>"
            assert repr(reader).startswith('<StreamReader')
            assert set(vars(reader)) == attributes

    loop.run_until_complete(main())


def test_a_subclass_stays_what_it_is(loop):
    class Reader(asyncio.StreamReader):
        pass

    async def main():
        async with stream(Reader) as (reader, _, far):
            await begun(reader, far)
            assert type(reader) is Reader

    loop.run_until_complete(main())


def test_a_subclass_of_what_a_reader_became_reads(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)

            class Reader(type(reader)):
                pass

            other = Reader(loop=loop)
            other.feed_data(b'data\n')
            assert await other.readline() == b'data\n'

    loop.run_until_complete(main())


def test_a_read_that_nobody_ends_is_collected(loop):
    async def main():
        async with stream() as (reader, _, far):
            await begun(reader, far)
            other = type(reader)(loop=loop)
            other.__dict__['cycle'] = coroutine = other.read(9)
            other.__dict__['future'] = coroutine.send(None)
            ref = weakref.ref(other)
            del other, coroutine
            gc.collect()
            assert ref() is None

    loop.run_until_complete(main())


def test_data_in_pieces_of_any_size_is_the_same(loop):
    text = b'one\r\ntwo\nthree\r\n' * 40

    async def main():
        async with stream() as (reader, _, far):
            sizes = itertools.cycle([1, 7, 64])
            rest = text
            lines = []
            while rest:
                size = next(sizes)
                far.send(rest[:size])
                rest = rest[size:]
                await turns(2)
                while b'\n' in reader._buffer:
                    lines.append(await reader.readline())
            while len(b''.join(lines)) < len(text):
                lines.append(await reader.readline())
            assert lines == text.splitlines(keepends=True)

    loop.run_until_complete(main())
