"""Other threads: call_soon_threadsafe, and what they must not call."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

# Without a GIL, a foreign thread is turned away in any mode.
FREE_THREADED = not getattr(sys, '_is_gil_enabled', lambda: True)()


def storm(loop, threads: int, calls: int) -> None:
    """Each of the threads calls, and after each burst waits to be heard: so
    the loop falls asleep over and over, and one lost wake-up stops it."""
    heard = [0] * threads

    def call(index):
        for number in range(1, calls + 1):
            loop.call_soon_threadsafe(count, index)
            if number % 50 == 0:
                done = threading.Event()
                loop.call_soon_threadsafe(done.set)
                assert done.wait(30), 'the wake-up is lost'

    def count(index):
        heard[index] += 1

    async def main():
        with ThreadPoolExecutor(threads) as pool:
            await asyncio.gather(
                *(
                    loop.run_in_executor(pool, call, index)
                    for index in range(threads)
                )
            )

    loop.run_until_complete(main())
    assert heard == [calls] * threads


def test_a_storm_of_threadsafe_calls_loses_no_wakeup(our_loop):
    our_loop.set_debug(False)

    storm(our_loop, threads=4, calls=10_000)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_storm_of_a_million_threadsafe_calls_loses_no_wakeup(our_loop):
    if our_loop.get_debug():
        pytest.skip('each call would extract the stack')

    storm(our_loop, threads=4, calls=250_000)


def test_single_calls_with_pauses_wake_the_loop_each_time(loop):
    """The loop waits each time: no call may come too early or too late."""

    async def main():
        for _ in range(500):
            future = loop.create_future()
            thread = threading.Thread(
                target=loop.call_soon_threadsafe,
                args=(future.set_result, None),
            )
            thread.start()
            await asyncio.wait_for(future, 30)
            thread.join()

    loop.run_until_complete(main())


# A loop that waits starves no other thread
#
# Nothing is timed, for the machine may be busy: the loop waits for what a
# thread does only while the loop waits. If that kept the thread from running,
# it would wait for ever, or until the timer that says so.


@pytest.fixture
def no_switches():
    """Who runs goes on until it waits: no thread gets a turn otherwise."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(interval)


@contextlib.contextmanager
def heart(loop):
    """A function that waits for a thread to beat: to compute for a while."""
    asked = queue.SimpleQueue()

    def beat():
        while (future := asked.get()) is not None:
            sum(range(10_000))
            loop.call_soon_threadsafe(future.set_result, None)

    async def listen():
        future = loop.create_future()
        asked.put(future)
        await future

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield listen
    finally:
        asked.put(None)
        thread.join()


@pytest.mark.parametrize('timer', [False, True], ids=['for ever', 'a timer'])
def test_a_waiting_loop_starves_no_other_thread(loop, no_switches, timer):
    async def main():
        handle = loop.call_later(40, pytest.fail) if timer else None
        with heart(loop) as listen:
            for _ in range(200):
                await listen()
        if timer:
            handle.cancel()

    loop.run_until_complete(main())


def test_a_loop_that_adds_connections_starves_no_other_thread(
    loop, no_switches
):
    """libuv adds the sockets to its set in the turn that then waits."""

    async def main():
        server = await loop.create_server(asyncio.Protocol, '127.0.0.1', 0)
        address = server.sockets[0].getsockname()
        with heart(loop) as listen:
            for _ in range(100):
                transport, _ = await loop.create_connection(
                    asyncio.Protocol, *address
                )
                await listen()
                transport.close()
                await listen()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_a_thread_that_computes_does_not_starve_the_loop(loop):
    """Its timers take some switch intervals, by the clock of the thread that
    computes: if the machine is busy, that one stands still too."""

    async def main():
        for _ in range(20):
            await asyncio.sleep(0.005)

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    began = time.thread_time()
    thread.start()
    while thread.is_alive():
        sum(range(1000))

    assert time.thread_time() - began < 20 * 0.1
    thread.join()


# What only the loop's own thread may call

FOREIGN_CALLS = {
    'call_soon': lambda loop: loop.call_soon(print),
    'call_later': lambda loop: loop.call_later(1, print),
    'call_at': lambda loop: loop.call_at(1, print),
}


def call_elsewhere(function, *args):
    """What the call returns or raises in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


@pytest.mark.parametrize('name', FOREIGN_CALLS)
def test_debug_mode_turns_another_threads_call_away(loop, name):
    async def main():
        with pytest.raises(RuntimeError, match=r'^Non-thread-safe operation'):
            call_elsewhere(FOREIGN_CALLS[name], loop)

    loop.set_debug(True)
    loop.run_until_complete(main())


@pytest.mark.skipif(not FREE_THREADED, reason='only without a GIL')
@pytest.mark.parametrize('name', FOREIGN_CALLS)
def test_without_a_gil_any_mode_does(our_loop, name):
    async def main():
        with pytest.raises(RuntimeError, match=r'^Non-thread-safe operation'):
            call_elsewhere(FOREIGN_CALLS[name], our_loop)

    our_loop.run_until_complete(main())


@pytest.mark.parametrize('call', ['_add_reader', '_add_writer'])
def test_debug_mode_guards_the_files_too(our_loop, call):
    async def main():
        with pytest.raises(RuntimeError, match=r'^Non-thread-safe operation'):
            call_elsewhere(getattr(our_loop, call), 0, print)

    our_loop.set_debug(True)
    our_loop.run_until_complete(main())


def test_a_loop_that_does_not_run_belongs_to_nobody(loop):
    calls = []
    loop.set_debug(True)
    call_elsewhere(loop.call_soon, calls.append, 1)
    call_elsewhere(loop.call_later, 0, calls.append, 2)

    loop.stop()
    loop.run_forever()

    assert calls == [1, 2]


def test_a_running_loop_does_not_run_in_another_thread(our_loop):
    """asyncio's own loop breaks by the attempt."""

    async def main():
        with pytest.raises(RuntimeError, match='already running'):
            call_elsewhere(our_loop.run_forever)
        with pytest.raises(RuntimeError, match='Cannot close a running'):
            call_elsewhere(our_loop.close)

    our_loop.run_until_complete(main())


def test_a_loop_may_run_in_one_thread_after_the_other(loop):
    async def main():
        await asyncio.sleep(0)
        return threading.get_ident()

    idents = [
        call_elsewhere(loop.run_until_complete, main()) for _ in range(3)
    ]
    idents.append(loop.run_until_complete(main()))

    assert idents[-1] == threading.get_ident()


def test_two_loops_run_in_two_threads(loop):
    other = type(loop)()
    other.set_debug(loop.get_debug())

    async def ping_pong(mine, theirs):
        for _ in range(200):
            future = mine.create_future()
            theirs.call_soon_threadsafe(
                mine.call_soon_threadsafe, future.set_result, None
            )
            await asyncio.wait_for(future, 30)

    async def wait(event):
        await event.wait()

    event = asyncio.Event()
    thread = threading.Thread(
        target=other.run_until_complete, args=(wait(event),)
    )
    thread.start()
    loop.run_until_complete(ping_pong(loop, other))
    other.call_soon_threadsafe(event.set)
    thread.join()
    other.close()


def test_threadsafe_calls_to_a_closing_loop_fail_or_are_dropped(our_loop):
    """Never a crash, whenever the loop is closed between them."""
    started = threading.Event()

    def call():
        while True:
            try:
                our_loop.call_soon_threadsafe(int)
            except RuntimeError as error:
                return str(error)
            started.set()

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(call) for _ in range(4)]
        assert started.wait(30)
        our_loop.stop()
        our_loop.run_forever()
        our_loop.close()
        answers = {future.result() for future in futures}

    assert answers == {'Event loop is closed'}
