"""add_reader and add_writer: the user's own files and sockets."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import select
import socket
import weakref
from collections.abc import Iterator

import pytest

import uvloop_core


def is_ours(loop) -> bool:
    return isinstance(loop, uvloop_core.Loop)


def run_turns(loop, count: int = 3) -> None:
    for _ in range(count):
        loop.stop()
        loop.run_forever()


def run_until(loop, condition, timeout: float = 30) -> None:
    """Run the loop until condition() is true."""

    async def wait():
        while not condition():
            await asyncio.sleep(0.001)

    loop.run_until_complete(asyncio.wait_for(wait(), timeout))


class Pipe(list[int]):
    """The two descriptors of a pipe, of which a test may close one."""

    def __init__(self) -> None:
        super().__init__(os.pipe())
        self.open = set(self)
        for fd in self:
            os.set_blocking(fd, False)

    def close(self, fd: int) -> None:
        self.open.remove(fd)
        os.close(fd)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    for fd in list(pipe.open):
        pipe.close(fd)


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, two = socket.socketpair()
    one.setblocking(False)
    two.setblocking(False)
    yield one, two
    one.close()
    two.close()


@pytest.fixture
def events() -> list[object]:
    return []


# Reading and writing


def test_a_reader_is_called_when_there_is_something_to_read(
    loop, pipe, events
):
    reader, writer = pipe
    loop.add_reader(reader, lambda: events.append(os.read(reader, 10)))
    run_turns(loop)
    assert events == []

    os.write(writer, b'spam')
    run_turns(loop)

    assert events == [b'spam']
    assert loop.remove_reader(reader) is True


def test_a_writer_is_called_as_long_as_there_is_room(loop, pipe, events):
    _, writer = pipe
    loop.add_writer(writer, events.append, 1)
    run_turns(loop, 2)
    assert events == [1, 1]

    while True:
        try:
            os.write(writer, bytes(65536))
        except BlockingIOError:
            break
    events.clear()
    run_turns(loop)

    assert events == []
    assert loop.remove_writer(writer) is True


def test_a_waiting_loop_is_woken_by_a_file(loop, sockets):
    one, two = sockets

    def readable():
        loop.remove_reader(one)
        future.set_result(one.recv(10))

    future = loop.create_future()
    loop.add_reader(one, readable)
    loop.call_later(0.01, two.send, b'spam')

    assert loop.run_until_complete(future) == b'spam'


def test_a_reader_is_called_again_until_all_is_read(loop, pipe, events):
    """Level-triggered: whoever reads a part is told of the rest."""
    reader, writer = pipe
    os.write(writer, b'spam')
    loop.add_reader(reader, lambda: events.append(os.read(reader, 1)))

    run_turns(loop, 10)

    assert events == [b's', b'p', b'a', b'm']
    loop.remove_reader(reader)


def test_a_reader_is_called_once_a_turn(loop, pipe, events):
    os.write(pipe[1], b'x')
    loop.add_reader(pipe[0], events.append, 1)

    run_turns(loop, 1)

    assert events == [1]
    loop.remove_reader(pipe[0])


def test_both_directions_of_one_file(loop, sockets, events):
    one, two = sockets
    loop.add_reader(one, events.append, 'read')
    loop.add_writer(one, events.append, 'write')
    run_turns(loop, 1)
    assert events == ['write']

    two.send(b'x')
    events.clear()
    run_turns(loop, 1)
    assert sorted(events) == ['read', 'write']

    assert loop.remove_writer(one) is True
    events.clear()
    run_turns(loop, 1)
    assert events == ['read']

    assert loop.remove_reader(one) is True
    events.clear()
    run_turns(loop, 1)
    assert events == []


def test_a_hangup_is_told_to_reader_and_writer(loop, sockets, events):
    one, two = sockets
    loop.add_reader(one, events.append, 'read')
    loop.add_writer(one, events.append, 'write')
    two.close()

    run_turns(loop, 1)

    assert sorted(events) == ['read', 'write']
    loop.remove_reader(one)
    loop.remove_writer(one)


def test_a_hangup_of_a_pipe_is_told_to_its_reader(loop, pipe, events):
    reader, writer = pipe
    loop.add_reader(reader, lambda: events.append(os.read(reader, 10)))
    pipe.close(writer)

    run_turns(loop, 1)

    assert events == [b'']
    loop.remove_reader(reader)


def test_an_error_of_a_pipe_is_told_to_its_writer(loop, pipe, events):
    reader, writer = pipe
    while True:
        try:
            os.write(writer, bytes(65536))
        except BlockingIOError:
            break
    loop.add_writer(writer, events.append, 1)
    pipe.close(reader)

    run_turns(loop, 1)

    assert events == [1]
    loop.remove_writer(writer)


# Replacing and removing


def test_a_second_reader_takes_the_place_of_the_first(loop, pipe, events):
    os.write(pipe[1], b'x')
    loop.add_reader(pipe[0], events.append, 1)
    loop.add_reader(pipe[0], events.append, 2)

    run_turns(loop, 1)

    assert events == [2]
    assert loop.remove_reader(pipe[0]) is True
    assert loop.remove_reader(pipe[0]) is False


def test_removing_what_is_not_there_is_false(loop, pipe):
    assert loop.remove_reader(pipe[0]) is False
    assert loop.remove_writer(pipe[0]) is False
    loop.add_reader(pipe[0], print)
    assert loop.remove_writer(pipe[0]) is False
    assert loop.remove_reader(pipe[0]) is True


def test_a_reader_may_remove_itself(loop, pipe, events):
    def readable(thing):
        assert loop.remove_reader(pipe[0]) is True
        gc.collect()
        events.append(thing)

    os.write(pipe[1], b'x')
    loop.add_reader(pipe[0], readable, 'thing')

    run_turns(loop)

    assert events == ['thing']


def test_a_reader_may_be_removed_by_what_runs_before_it(loop, sockets, events):
    one, two = sockets

    def first(me, other):
        events.append(me)
        loop.remove_reader(other)

    one.send(b'x')
    two.send(b'x')
    loop.add_reader(one, first, 1, two)
    loop.add_reader(two, first, 2, one)

    run_turns(loop, 1)
    assert len(events) == 1
    run_turns(loop)
    assert len(set(events)) == 1
    loop.remove_reader(one)
    loop.remove_reader(two)


def test_a_reader_may_replace_itself(loop, pipe, events):
    def first():
        events.append(1)
        loop.add_reader(pipe[0], second)

    def second():
        events.append(2)
        os.read(pipe[0], 1)

    os.write(pipe[1], b'x')
    loop.add_reader(pipe[0], first)

    run_turns(loop, 4)

    assert events == [1, 2]
    loop.remove_reader(pipe[0])


def test_a_reader_that_fails_is_reported_and_stays(
    loop, pipe, events, reports
):
    def readable():
        events.append(os.read(pipe[0], 1))
        raise ZeroDivisionError

    os.write(pipe[1], b'ab')
    loop.add_reader(pipe[0], readable)

    run_turns(loop, 4)

    assert events == [b'a', b'b']
    assert len(reports.take()) == 2
    loop.remove_reader(pipe[0])


def test_cancelling_a_readers_handle_removes_it(loop, pipe, events):
    os.write(pipe[1], b'x')
    handle = loop._add_reader(pipe[0], events.append, 1)

    handle.cancel()
    run_turns(loop)

    assert events == []
    assert loop.remove_reader(pipe[0]) is False


def test_a_reader_may_cancel_its_handle(loop, pipe, events):
    def readable():
        events.append(1)
        handle.cancel()

    os.write(pipe[1], b'x')
    handle = loop._add_reader(pipe[0], readable)

    run_turns(loop)

    assert events == [1]
    assert loop.remove_reader(pipe[0]) is False


def test_a_removed_readers_handle_is_cancelled(loop, pipe):
    handle = loop._add_reader(pipe[0], print)

    loop.remove_reader(pipe[0])

    assert handle.cancelled()


def test_a_removed_reader_is_let_go(loop, pipe):
    class Thing:
        def method(self, *args):
            pass

    loop.set_debug(False)
    thing = Thing()
    ref = weakref.ref(thing)
    loop.add_reader(pipe[0], thing.method, thing)
    del thing
    assert ref() is not None

    loop.remove_reader(pipe[0])
    gc.collect()

    assert ref() is None


def test_close_lets_readers_go(our_loop, pipe):
    class Thing:
        def method(self):
            pass

    thing = Thing()
    ref = weakref.ref(thing)
    our_loop.add_reader(pipe[0], thing.method)
    our_loop.add_writer(pipe[1], thing.method)
    del thing

    our_loop.close()
    gc.collect()

    assert ref() is None
    assert our_loop.remove_reader(pipe[0]) is False


def test_removing_takes_the_file_out_of_the_set_at_once(our_loop, pipe):
    our_loop.add_reader(pipe[0], print)
    epoll = select.epoll.fromfd(os.dup(our_loop._get_backend_id()))

    epoll.modify(pipe[0], select.EPOLLIN)
    our_loop.remove_reader(pipe[0])

    with pytest.raises(FileNotFoundError):
        epoll.modify(pipe[0], select.EPOLLIN)
    epoll.close()


# Bad files


@pytest.mark.parametrize('call', ['add_reader', 'add_writer'])
def test_what_is_no_file_is_an_error(loop, call):
    for fd in (-1, -(2**31)):
        with pytest.raises(ValueError):
            getattr(loop, call)(fd, print)
    with pytest.raises(ValueError):
        getattr(loop, call)('spam', print)


@pytest.mark.parametrize('call', ['add_reader', 'add_writer'])
def test_a_closed_file_is_an_error(loop, pipe, call):
    pipe.close(pipe[0])

    with pytest.raises(OSError) as caught:
        getattr(loop, call)(pipe[0], print)
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize('call', ['add_reader', 'add_writer'])
def test_a_number_that_no_file_has_is_an_error(our_loop, call):
    """And takes no memory, however large it is."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)

    for fd in (limit, limit + 1, 2**31 - 1):
        with pytest.raises(OSError) as caught:
            getattr(our_loop, call)(fd, print)
        assert caught.value.errno == errno.EBADF
    with pytest.raises(OverflowError):
        getattr(our_loop, call)(2**40, print)


@pytest.mark.parametrize('call', ['add_reader', 'add_writer'])
def test_a_regular_file_is_an_error(loop, tmp_path, call):
    with open(tmp_path / 'file', 'w+') as file:
        with pytest.raises(PermissionError):
            getattr(loop, call)(file, print)
    run_turns(loop)


def test_a_file_that_failed_may_be_followed_by_one_that_works(
    loop, tmp_path, events
):
    with open(tmp_path / 'file', 'w+') as file:
        with pytest.raises(PermissionError):
            loop.add_reader(file, print)
        number = file.fileno()
    reader, writer = os.pipe()
    assert reader == number
    os.write(writer, b'x')
    loop.add_reader(reader, events.append, 1)

    run_turns(loop, 1)

    assert events == [1]
    assert loop.remove_reader(reader) is True
    os.close(reader)
    os.close(writer)


# Files closed behind the loop's back


def test_a_file_closed_behind_the_loops_back_falls_silent(loop, pipe, events):
    loop.add_reader(pipe[0], events.append, 1)
    pipe.close(pipe[0])

    run_turns(loop)
    run_until(loop, lambda: True)

    assert events == []
    loop.remove_reader(pipe[0])


def test_a_file_closed_by_its_own_reader(loop, pipe, events):
    def readable():
        events.append(1)
        pipe.close(pipe[0])

    os.write(pipe[1], b'x')
    loop.add_reader(pipe[0], readable)

    run_turns(loop, 5)

    assert events == [1]
    loop.remove_reader(pipe[0])


def test_a_file_closed_in_the_turn_it_is_ready_in(loop, pipe, events):
    os.write(pipe[1], b'x')
    loop.add_reader(pipe[0], events.append, 1)
    loop.call_soon(pipe.close, pipe[0])

    run_turns(loop, 3)

    assert events == [1]
    loop.remove_reader(pipe[0])


def test_other_files_go_on_after_one_was_closed(loop, pipe, sockets, events):
    one, two = sockets
    loop.add_reader(pipe[0], events.append, 'closed')
    loop.add_reader(one, lambda: events.append(one.recv(10)))
    pipe.close(pipe[0])
    two.send(b'x')

    run_turns(loop)

    assert events == [b'x']
    loop.remove_reader(one)
    loop.remove_reader(pipe[0])


def test_a_reused_number_is_watched_after_a_removal(loop, events):
    """The number is removed only after it was closed."""
    for count in range(5):
        reader, writer = os.pipe()
        loop.add_reader(reader, events.append, count)
        os.write(writer, b'x')
        run_turns(loop, 1)
        os.close(reader)
        os.close(writer)
        loop.remove_reader(reader)

    assert events == [0, 1, 2, 3, 4]


def test_a_reused_number_is_watched_without_a_removal(our_loop, events):
    """asyncio raises FileNotFoundError here (its set has forgotten it)."""
    for count in range(5):
        reader, writer = os.pipe()
        our_loop.add_reader(reader, events.append, count)
        os.write(writer, b'x')
        run_turns(our_loop, 1)
        os.close(reader)
        os.close(writer)

    assert events == [0, 1, 2, 3, 4]
    our_loop.remove_reader(reader)


def test_a_reused_number_is_not_the_old_file(loop, events):
    """Nothing that the old file's reader had coming reaches the new one."""
    reader, writer = os.pipe()
    loop.add_reader(reader, events.append, 'old')
    os.close(reader)
    os.close(writer)
    new_reader, new_writer = os.pipe()
    assert new_reader == reader
    os.write(new_writer, b'x')

    run_turns(loop)

    assert events == []
    loop.remove_reader(reader)
    os.close(new_reader)
    os.close(new_writer)


def test_a_file_that_others_hold_open_too(loop, pipe, events):
    """The kernel goes on telling of it, by the closed number."""
    copy = os.dup(pipe[0])
    loop.add_reader(pipe[0], events.append, 1)
    loop.remove_reader(pipe[0])
    pipe.close(pipe[0])
    os.write(pipe[1], b'x')

    run_turns(loop)

    assert events == []
    os.close(copy)


# Many, and few


def test_many_files_at_once(our_loop, events):
    """More than one epoll_wait can tell of (libuv asks for 1024)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 1500
    if hard < 2 * count + 200:
        pytest.skip('too few open files are allowed')
    if soft < 2 * count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * count + 200, hard))
    pipes = [os.pipe() for _ in range(count)]

    def readable(fd):
        os.read(fd, 1)
        events.append(fd)

    for reader, writer in pipes:
        our_loop.add_reader(reader, readable, reader)
        os.write(writer, b'x')
    run_until(our_loop, lambda: len(events) >= count)

    assert sorted(events) == sorted(reader for reader, _ in pipes)
    for reader, writer in pipes:
        our_loop.remove_reader(reader)
        os.close(reader)
        os.close(writer)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_loop_works_when_no_more_files_can_be_opened(our_loop, pipe, events):
    run_turns(our_loop)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    our_loop.add_reader(pipe[0], lambda: events.append(os.read(pipe[0], 9)))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError) as caught:
            uvloop_core.new_event_loop()
        our_loop.call_soon_threadsafe(os.write, pipe[1], b'spam')
        run_turns(our_loop)
        our_loop.add_writer(pipe[1], events.append, 'writable')
        run_turns(our_loop, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert caught.value.errno == errno.EMFILE
    assert events == [b'spam', 'writable']
    our_loop.remove_reader(pipe[0])
    our_loop.remove_writer(pipe[1])


def test_a_loop_that_cannot_be_made_leaves_nothing_open(our_loop):
    """Whatever part of it is the one for which there is no file left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    first = len(os.listdir('/proc/self/fd'))
    made = 0
    for limit in range(first - 5, first + 8):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        try:
            uvloop_core.new_event_loop().close()
            made += 1
        except OSError as error:
            assert error.errno == errno.EMFILE
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert made > 0
