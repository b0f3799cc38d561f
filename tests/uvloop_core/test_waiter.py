"""What a sock_* call awaits, and how its descriptor is watched."""

from __future__ import annotations

import asyncio
import errno
import gc
import inspect
import os
import socket
import weakref
from unittest import mock

import pytest

from tests.programs import run_code


async def waiting(loop, coroutine) -> asyncio.Task:
    """The task of a call that waits by now."""
    task = loop.create_task(coroutine)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    return task


def fill(sock: socket.socket) -> None:
    try:
        while True:
            sock.send(bytes(65536))
    except BlockingIOError:
        pass


def drain(sock: socket.socket) -> None:
    try:
        while sock.recv(1 << 20):
            pass
    except BlockingIOError:
        pass


class Reluctant(socket.socket):
    """What comes is not there yet, a few times."""

    left = 3
    error: type[BaseException] = BlockingIOError

    def recv(self, *args):
        if self.left:
            self.left -= 1
            raise self.error
        return super().recv(*args)


@pytest.fixture
def reluctant(pair):
    with Reluctant(fileno=pair[0].detach()) as sock:
        sock.setblocking(False)
        yield sock


# Waiting again, and beside others


def test_one_wait_follows_another(loop, pair):
    async def main():
        for number in range(5):
            task = await waiting(loop, loop.sock_recv(pair[0], 10))
            pair[1].send(b'%d' % number)
            assert await task == b'%d' % number

    loop.run_until_complete(main())

    assert loop.remove_reader(pair[0]) is False


def test_a_call_that_would_block_again_waits_again(loop, pair, reluctant):
    pair[1].send(b'spam')

    assert loop.run_until_complete(loop.sock_recv(reluctant, 10)) == b'spam'
    assert reluctant.left == 0


def test_receiving_and_sending_wait_side_by_side(loop, pair):
    left, right = pair
    fill(left)

    async def main():
        sending = await waiting(loop, loop.sock_sendall(left, b'end'))
        receiving = await waiting(loop, loop.sock_recv(left, 10))
        right.send(b'spam')
        assert await receiving == b'spam'
        assert not sending.done()
        receiving = await waiting(loop, loop.sock_recv(left, 10))
        drain(right)
        await sending
        right.send(b'eggs')
        assert await receiving == b'eggs'

    loop.run_until_complete(main())


def test_a_reader_stays_while_a_call_waits_to_send(loop, pair):
    left, right = pair
    received = []
    fill(left)

    async def main():
        loop.add_reader(left, lambda: received.append(left.recv(1)))
        sending = await waiting(loop, loop.sock_sendall(left, b'end'))
        right.send(b'a')
        while not received:
            await asyncio.sleep(0)
        drain(right)
        await sending
        right.send(b'bc')
        while len(received) < 3:
            await asyncio.sleep(0)

    loop.run_until_complete(asyncio.wait_for(main(), 30))

    assert received == [b'a', b'b', b'c']
    assert loop.remove_reader(left)


def test_a_reader_may_follow_a_wait(loop, pair):
    left, right = pair
    received = []

    async def main():
        task = await waiting(loop, loop.sock_recv(left, 10))
        right.send(b'spam')
        await task
        loop.add_reader(left, lambda: received.append(left.recv(1)))
        right.send(b'ab')
        while len(received) < 2:
            await asyncio.sleep(0)

    loop.run_until_complete(asyncio.wait_for(main(), 30))

    assert received == [b'a', b'b']
    assert loop.remove_reader(left)


def test_a_transport_may_follow_a_wait(loop, pair):
    left, right = pair

    async def main():
        task = await waiting(loop, loop.sock_recv(left, 10))
        right.send(b'spam')
        assert await task == b'spam'
        reader, writer = await asyncio.open_unix_connection(sock=left)
        right.send(b'eggs')
        assert await reader.read(10) == b'eggs'
        writer.close()
        await writer.wait_closed()

    loop.run_until_complete(main())


def test_a_number_that_is_used_again_is_watched_anew(loop):
    async def main():
        numbers = set()
        for _ in range(3):
            left, right = socket.socketpair()
            with left, right:
                left.setblocking(False)
                numbers.add(left.fileno())
                task = await waiting(loop, loop.sock_recv(left, 10))
                right.send(b'spam')
                assert await task == b'spam'
        assert len(numbers) == 1

    loop.run_until_complete(asyncio.wait_for(main(), 30))


def test_a_reader_takes_the_place_of_a_call_that_waits(our_loop, pair):
    # asyncio's call, cancelled, takes the new reader away.
    left, right = pair
    received = []

    async def main():
        task = await waiting(our_loop, our_loop.sock_recv(left, 10))
        our_loop.add_reader(left, lambda: received.append(left.recv(10)))
        task.cancel()
        right.send(b'spam')
        while not received:
            await asyncio.sleep(0)

    our_loop.run_until_complete(asyncio.wait_for(main(), 30))

    assert received == [b'spam']
    assert our_loop.remove_reader(left)


# A coroutine, and a future to its task


def test_the_calls_are_coroutines(loop, pair):
    coroutine = loop.sock_recv(pair[0], 1)

    assert asyncio.iscoroutine(coroutine)
    assert inspect.iscoroutinefunction(loop.sock_recv)
    coroutine.close()


def test_what_a_call_awaits_is_a_future(loop, pair):
    coroutine = loop.sock_recv(pair[0], 1)
    waiter = coroutine.send(None)

    assert asyncio.isfuture(waiter)
    assert waiter.get_loop() is loop
    assert not waiter.done()
    coroutine.close()


def test_a_coroutine_that_is_closed_gives_its_descriptor_up(our_loop, pair):
    coroutine = our_loop.sock_recv(pair[0], 1)
    coroutine.send(None)

    coroutine.close()

    assert our_loop.remove_reader(pair[0]) is False


def test_a_coroutine_that_is_thrown_into_gives_its_descriptor_up(
    our_loop, pair
):
    coroutine = our_loop.sock_recv(pair[0], 1)
    coroutine.send(None)

    with pytest.raises(KeyError, match=r'spam'):
        coroutine.throw(KeyError('spam'))
    assert our_loop.remove_reader(pair[0]) is False


def test_a_waiter_is_awaited_by_one_only(our_loop, pair):
    coroutine = our_loop.sock_recv(pair[0], 1)
    waiter = coroutine.send(None)
    waiter.add_done_callback(print)

    with pytest.raises(RuntimeError, match=r'^it is awaited already$'):
        waiter.add_done_callback(print)
    with pytest.raises(asyncio.InvalidStateError):
        waiter.result()
    with pytest.raises(RuntimeError, match=r"^await wasn't used with future"):
        next(waiter)
    coroutine.close()


def test_the_message_of_a_cancel_comes_out(loop, pair):
    async def main():
        task = await waiting(loop, loop.sock_recv(pair[0], 1))
        task.cancel('why')
        with pytest.raises(asyncio.CancelledError, match=r'^why$'):
            await task

    loop.run_until_complete(main())


def test_a_timeout_ends_a_wait(loop, pair):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await loop.sock_recv(pair[0], 1)

    loop.run_until_complete(main())

    assert loop.remove_reader(pair[0]) is False


def test_a_result_that_is_there_is_not_cancelled(loop, pair):
    async def main():
        task = await waiting(loop, loop.sock_recv(pair[0], 10))
        waiter = task._fut_waiter
        pair[1].send(b'spam')
        while not waiter.done():
            await asyncio.sleep(0)
        return waiter.cancel(), waiter.cancelled(), await task

    assert loop.run_until_complete(main()) == (False, False, b'spam')


async def receive_after(error, loop, reluctant, peer):
    """What comes once the socket has raised, in the middle of the wait."""
    reluctant.left = 1
    task = await waiting(loop, loop.sock_recv(reluctant, 10))
    reluctant.left, reluctant.error = 1, error
    peer.send(b'spam')
    return await task


def test_system_exit_from_a_socket_stops_the_loop(our_loop, pair, reluctant):
    # asyncio forgets that the call waits.
    task = our_loop.create_task(
        receive_after(SystemExit, our_loop, reluctant, pair[1])
    )
    with pytest.raises(SystemExit):
        our_loop.run_until_complete(task)
    assert our_loop.run_until_complete(task) == b'spam'


def test_stop_iteration_from_a_socket_is_no_result(our_loop, pair, reluctant):
    # asyncio's is the same from 3.12 on, and never ends before.
    with pytest.raises(RuntimeError, match='^StopIteration inter') as caught:
        our_loop.run_until_complete(
            receive_after(StopIteration, our_loop, reluctant, pair[1])
        )
    assert isinstance(caught.value.__cause__, StopIteration)


def test_an_error_leaves_no_cycle(our_loop, pair):
    left, right = pair

    class Error(OSError):
        pass

    async def main(sock):
        try:
            await our_loop.sock_recv_into(sock, bytearray(1))
        except Error as error:
            return weakref.ref(error)

    class Broken(socket.socket):
        def recv_into(self, *args):
            super().recv_into(*args)
            raise Error

    gc.disable()
    try:
        with Broken(fileno=left.detach()) as sock:
            sock.setblocking(False)
            our_loop.call_soon(right.send, b'a')
            assert our_loop.run_until_complete(main(sock))() is None
    finally:
        gc.enable()


def test_a_loop_that_is_dropped_takes_its_waiters_along(pair):
    from uvloop_core import Loop

    loop = Loop()
    coroutine = loop.sock_recv(pair[0], 1)
    waiter = coroutine.send(None)
    waiter.add_done_callback(print)
    gone = weakref.ref(loop)

    with pytest.warns(ResourceWarning, match=r'unclosed event loop'):
        del loop, coroutine, waiter
        gc.collect()

    assert gone() is None
    pair[0].close()
    assert pair[0].fileno() == -1


# The system calls


@pytest.mark.parametrize('size', [0, 1, 16384, 16385, 65536, 200_000])
def test_what_was_received_stays_as_it_was(loop, pair, size):
    left, right = pair
    right.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 500_000)
    first, second = os.urandom(size or 1), os.urandom(100)

    async def main():
        right.send(first)
        one = await loop.sock_recv(left, 2_000_000)
        right.send(second)
        return one, await loop.sock_recv(left, 2_000_000)

    one, two = loop.run_until_complete(main())
    assert first.startswith(one) and one
    assert (first + second).startswith(one + two)


def test_no_more_is_received_than_was_asked_for(loop, pair):
    left, right = pair
    right.send(b'spam')

    async def main():
        return [await loop.sock_recv(left, n) for n in (0, 1, True, 100)]

    assert loop.run_until_complete(main()) == [b'', b's', b'p', b'am']


def test_the_end_of_a_connection_is_no_bytes(loop, pair):
    pair[1].close()

    assert loop.run_until_complete(loop.sock_recv(pair[0], 10)) == b''


@pytest.mark.parametrize(
    ('n', 'error'),
    [(-1, ValueError), (1 << 80, OverflowError), ('1', TypeError)],
)
def test_a_size_that_is_none_is_refused(loop, pair, n, error):
    with pytest.raises(error):
        loop.run_until_complete(loop.sock_recv(pair[0], n))


def test_only_bytes_are_sent(loop, pair):
    with pytest.raises(TypeError, match=r"bytes-like object.*not 'str'"):
        loop.run_until_complete(loop.sock_sendall(pair[0], 'spam'))


@pytest.mark.parametrize(
    'call',
    [
        lambda loop, sock: loop.sock_recv(sock, 1),
        lambda loop, sock: loop.sock_sendall(sock, b'a'),
    ],
)
def test_a_closed_socket_is_an_error(loop, pair, call):
    pair[0].close()

    with pytest.raises(OSError) as error:
        loop.run_until_complete(call(loop, pair[0]))
    assert error.value.errno == errno.EBADF


def test_a_peer_that_is_gone_is_an_error(loop, pair):
    pair[1].close()

    with pytest.raises(BrokenPipeError):
        loop.run_until_complete(loop.sock_sendall(pair[0], b'a'))


def test_a_socket_detached_while_it_is_waited_for_is_an_error(our_loop, pair):
    left, right = pair

    async def main():
        task = await waiting(our_loop, our_loop.sock_recv(left, 10))
        with socket.socket(fileno=left.detach()):
            right.send(b'spam')
            with pytest.raises(OSError) as error:
                await task
        assert error.value.errno == errno.EBADF

    our_loop.run_until_complete(main())


def test_a_socket_of_another_class_sends_by_its_own_method(loop, pair):
    sent = []

    class Counting(socket.socket):
        def send(self, data, *args):
            sent.append(len(data))
            return super().send(data[:3], *args)

    with Counting(fileno=pair[0].detach()) as sock:
        sock.setblocking(False)
        loop.run_until_complete(loop.sock_sendall(sock, b'spameggs'))

    assert sent == [8, 5, 2]
    assert pair[1].recv(10) == b'spameggs'


def test_a_transports_socket_is_not_waited_for(our_loop, pair):
    async def main():
        _, writer = await asyncio.open_unix_connection(sock=pair[0])
        with pytest.raises(RuntimeError, match=r'is used by transport'):
            await our_loop.sock_recv(pair[0], 1)
        writer.close()
        await writer.wait_closed()

    our_loop.run_until_complete(main())


def test_a_closed_loop_waits_for_nothing(our_loop, pair):
    our_loop.close()

    with pytest.raises(RuntimeError, match=r'^Event loop is closed$'):
        our_loop.sock_recv(pair[0], 1).send(None)


INTERRUPTED = """
import asyncio, os, signal, socket, sys, uvloop_core

lost = 0


def interrupt(*_):
    raise KeyboardInterrupt


def count(unraisable):
    global lost
    lost += 1


async def send(loop, sock):
    while True:
        await loop.sock_sendall(sock, bytes(100_000))


async def receive(loop, sock):
    while True:
        await loop.sock_recv(sock, 1_000_000)


make = {'asyncio': asyncio, 'uvloop_core': uvloop_core}[sys.argv[1]]
signal.signal(signal.SIGVTALRM, interrupt)
sys.unraisablehook = count
raised = 0
for number in range(50):
    loop = make.new_event_loop()
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    tasks = [
        loop.create_task(send(loop, near)),
        loop.create_task(receive(loop, far)),
    ]
    loop.call_later(10, loop.stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.002 + number * 1e-5)
    try:
        loop.run_forever()
    except KeyboardInterrupt:
        raised += 1
    asyncio._set_running_loop(None)
print(raised, lost, flush=True)
os._exit(0)  # what a round has left behind is not the question
"""


@pytest.mark.parametrize('name', ['asyncio', 'uvloop_core'])
def test_what_a_signal_handler_raises_is_not_lost(name):
    printed, _ = run_code(INTERRUPTED, name)

    # One or two may meet a finalizer, whichever loop it is.
    raised, lost = map(int, printed.split())
    assert (raised >= 45, lost <= 5) == (True, True)


def test_a_socket_that_is_closed_meanwhile_closes_with_the_wait(
    our_loop, pair
):
    near, _ = pair

    async def main():
        task = await waiting(our_loop, our_loop.sock_recv(near, 1))
        near.close()
        assert near.fileno() >= 0  # put off
        task.cancel()
        await asyncio.wait([task])

    our_loop.run_until_complete(main())
    assert near.fileno() == -1


def test_what_a_task_waits_for_is_asyncios_future_to_isinstance(loop, pair):
    near, far = pair

    async def main():
        task = await waiting(loop, loop.sock_recv(near, 10))
        assert isinstance(task._fut_waiter, asyncio.Future)
        far.send(b'data')
        while not task._fut_waiter.done():
            await asyncio.sleep(0)
        assert task._fut_waiter.exception() is None
        return await task

    assert loop.run_until_complete(main()) == b'data'


def test_what_looks_like_a_socket_is_waited_for(loop, pair):
    near, far = pair
    copy = mock.Mock(near)
    copy.gettimeout = near.gettimeout
    copy.fileno = near.fileno
    copy.recv.configure_mock(side_effect=BlockingIOError)

    async def main():
        task = await waiting(loop, loop.sock_recv(copy, 4))
        copy.recv = near.recv
        far.send(b'spam')
        return await task

    assert loop.run_until_complete(main()) == b'spam'


def test_data_that_is_sent_is_not_locked_any_more(loop, pair):
    near, far = pair
    data = bytearray(4_000_000)

    async def receive():
        size = 0
        while size < 4_000_000:
            size += len(await loop.sock_recv(far, 1 << 20))

    async def main():
        receiving = loop.create_task(receive())
        await loop.sock_sendall(near, data)
        data.clear()
        await receiving

    loop.run_until_complete(main())
    assert data == b''


def test_data_whose_sending_is_cancelled_is_not_locked_any_more(loop, pair):
    near, _ = pair
    data = bytearray(4_000_000)

    async def send():
        try:
            await loop.sock_sendall(near, data)
        except asyncio.CancelledError:
            data.clear()

    async def main():
        task = await waiting(loop, send())
        task.cancel()
        await task

    loop.run_until_complete(main())
    assert data == b''


def test_a_loop_that_never_ran_is_collected_with_what_waits_on_it(pair):
    from uvloop_core import Loop

    loop = Loop()
    reference = weakref.ref(loop)
    coroutine = loop.sock_recv(pair[0], 10)
    future = coroutine.send(None)
    future.add_done_callback(lambda _, coroutine=coroutine: None)

    del loop, coroutine, future
    with pytest.warns(ResourceWarning):
        gc.collect()

    assert reference() is None
