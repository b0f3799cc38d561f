"""The border between libuv and Python: attached, in the right context, and
open to signals.

In the debug profile each libuv callback asserts that it holds a thread state;
the stress here is what it is asserted under.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

variable = contextvars.ContextVar('variable', default='unset')


def run_turns(loop, count: int = 1) -> None:
    for _ in range(count):
        loop.stop()
        loop.run_forever()


def context_with(value: str) -> contextvars.Context:
    context = contextvars.copy_context()
    context.run(variable.set, value)
    return context


# The stress


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def echo_for(host, port, until, counts):
    """Short connections, one after the other."""
    while not until.is_set():
        reader, writer = await asyncio.open_connection(host, port)
        for size in (1, 1000, 100_000):
            writer.write(bytes(size))
            await writer.drain()
            assert len(await reader.readexactly(size)) == size
            counts['echo'] += 1
        writer.close()
        await writer.wait_closed()


async def tick(until, counts):
    while not until.is_set():
        await asyncio.sleep(0.0003)
        counts['timer'] += 1


def burn(until, counts):
    """A thread that computes and makes garbage."""
    while not until.is_set():
        for _ in range(100):
            cycle = [list(range(10))]
            cycle.append(cycle)
        gc.collect(0)
        counts['collect'] += 1
    gc.collect()


def knock(loop, until, counts):
    """A thread that calls the loop's."""

    def called():
        counts['called'] += 1

    while not until.is_set():
        for _ in range(20):
            loop.call_soon_threadsafe(called)
            counts['knock'] += 1
        time.sleep(0.0005)


def send_signals(until, counts):
    while not until.is_set():
        os.kill(os.getpid(), signal.SIGUSR1)
        counts['sent'] += 1
        time.sleep(0.002)


async def enough(loop, seconds, counts):
    """For so long, and until all of it has happened, some of it often."""
    await asyncio.sleep(seconds)
    while min(counts.values()) < 5:
        await asyncio.sleep(0.01)


async def stress(loop, seconds, counts):
    until = threading.Event()
    threads = [
        threading.Thread(target=burn, args=(until, counts)),
        threading.Thread(target=burn, args=(until, counts)),
        threading.Thread(target=knock, args=(loop, until, counts)),
        threading.Thread(target=send_signals, args=(until, counts)),
    ]
    server = await loop.create_server(Echo, '127.0.0.1', 0)
    address = server.sockets[0].getsockname()
    for thread in threads:
        thread.start()
    work = asyncio.gather(
        tick(until, counts),
        *(echo_for(*address, until, counts) for _ in range(4)),
    )
    try:
        await enough(loop, seconds, counts)
        until.set()
        await work
    finally:
        until.set()
        for thread in threads:
            await loop.run_in_executor(None, thread.join)
        server.close()
        await server.wait_closed()


def run_stress(loop, seconds):
    counts = dict.fromkeys(
        'echo timer collect called knock sent signal'.split(), 0
    )

    def on_signal():
        counts['signal'] += 1

    loop.add_signal_handler(signal.SIGUSR1, on_signal)
    try:
        loop.run_until_complete(stress(loop, seconds, counts))
        # Those that were on their way.
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)
    assert counts['called'] == counts['knock']


def test_callbacks_are_attached_under_stress(our_loop):
    run_stress(our_loop, 1.0)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_callbacks_are_attached_under_long_stress(our_loop):
    run_stress(our_loop, 10.0)


# Signals


def interrupt_soon(loop, delay=0.05):
    """SIGINT to this process, from a thread; the time it was sent.

    The delay begins when the loop runs: before, the test would be hit.
    """
    sent = []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(delay, interrupt)
    loop.call_soon(timer.start)
    return timer, sent


def shortest_interrupt(loop):
    """Seconds from SIGINT to KeyboardInterrupt, the least of some runs: of
    few, but of as many as it takes on a machine that is busy elsewhere."""
    late = []
    began = time.monotonic()
    while len(late) < 3 or (
        min(late) >= 0.1 and time.monotonic() - began < 30
    ):
        timer, sent = interrupt_soon(loop)
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
        late.append(time.monotonic() - sent[0])
        timer.join()
    return min(late)


def test_sigint_to_an_idle_loop_raises_within_100_ms(loop):
    assert shortest_interrupt(loop) < 0.1
    assert not loop.is_running()


def test_sigint_to_a_loop_that_waits_for_a_timer(loop):
    handle = loop.call_later(60, pytest.fail, 'the timer ran')

    assert shortest_interrupt(loop) < 0.1
    handle.cancel()


def test_sigint_to_a_busy_loop_raises_within_100_ms(loop):
    def again():
        loop.call_soon(again)

    loop.set_debug(False)
    loop.call_soon(again)

    assert shortest_interrupt(loop) < 0.1


def test_sigint_under_a_runner_cancels_the_main_task(loop):
    cancelled = []

    async def main():
        interrupt = threading.Timer(
            0.05, os.kill, (os.getpid(), signal.SIGINT)
        )
        interrupt.start()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        finally:
            interrupt.join()

    with pytest.raises(KeyboardInterrupt):
        with asyncio.Runner(loop_factory=type(loop)) as runner:
            runner.run(main())
    assert cancelled == [True]


@pytest.fixture
def handle_usr1():
    """Set Python's handler of SIGUSR1."""
    previous = signal.getsignal(signal.SIGUSR1)
    yield lambda handler: signal.signal(signal.SIGUSR1, handler)
    signal.signal(signal.SIGUSR1, previous)


def signal_soon(loop, context=None):
    """SIGUSR1 to this process, from a thread, once the loop runs."""
    timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
    loop.call_soon(timer.start, context=context)
    return timer


def test_a_handler_of_signal_signal_may_stop_a_waiting_loop(
    our_loop, handle_usr1
):
    """asyncio's loop goes on waiting."""
    handle_usr1(lambda *args: our_loop.stop())

    timer = signal_soon(our_loop)
    our_loop.run_forever()
    timer.join()


def test_a_handler_of_signal_signal_that_fails_ends_the_run(loop, handle_usr1):
    def handler(*args):
        raise ZeroDivisionError

    handle_usr1(handler)
    timer = signal_soon(loop)

    with pytest.raises(ZeroDivisionError):
        loop.run_forever()
    timer.join()
    assert not loop.is_running()
    run_turns(loop)


# Contexts


def test_each_callback_runs_in_its_own_context(loop):
    seen = []
    for value in 'abc':
        context = context_with(value)
        loop.call_soon(lambda: seen.append(variable.get()), context=context)
        loop.call_soon(lambda: seen.append(variable.get()))

    run_turns(loop)

    assert seen == ['a', 'unset', 'b', 'unset', 'c', 'unset']


def test_what_a_callback_sets_does_not_leak(loop):
    seen = []

    def callback():
        seen.append(variable.get())
        variable.set('leaked')

    for _ in range(5):
        loop.call_soon(callback)
    loop.call_later(0, callback)
    loop.call_soon_threadsafe(callback)
    run_turns(loop)

    assert seen == ['unset'] * 7
    assert variable.get() == 'unset'


def test_callbacks_of_one_context_see_each_other(loop):
    seen = []
    context = contextvars.copy_context()

    def callback(value):
        seen.append(variable.get())
        variable.set(value)

    for value in 'abc':
        loop.call_soon(callback, value, context=context)
    run_turns(loop)

    assert seen == ['unset', 'a', 'b']
    assert context[variable] == 'c'
    assert variable.get() == 'unset'


def test_a_callback_after_one_that_failed_has_its_context(loop, reports):
    seen = []
    context = context_with('set')

    def fail():
        raise ZeroDivisionError

    loop.call_soon(fail, context=context)
    loop.call_soon(lambda: seen.append(variable.get()))
    loop.call_soon(lambda: seen.append(variable.get()), context=context)
    run_turns(loop)

    assert seen == ['unset', 'set']
    assert len(reports.take()) == 1


def test_a_context_is_left_when_the_run_ends(loop):
    context = context_with('set')

    def stop(error):
        loop.stop()
        if error:
            raise KeyboardInterrupt

    loop.call_soon(stop, False, context=context)
    loop.run_forever()
    assert variable.get() == 'unset'
    loop.call_soon(stop, True, context=context)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()

    assert variable.get() == 'unset'
    assert context.run(variable.get) == 'set'


def test_a_context_is_left_while_the_loop_waits(loop):
    """Another thread may enter it then."""
    context = context_with('set')
    answers = []

    def elsewhere():
        answers.append(context.run(variable.get))
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Timer(0.02, elsewhere)
    loop.call_soon(thread.start, context=context)
    loop.run_forever()
    thread.join()

    assert answers == ['set']


def test_a_context_is_left_for_signal_handlers(our_loop, handle_usr1):
    seen = []

    def handler(*args):
        seen.append(variable.get())
        our_loop.stop()

    handle_usr1(handler)
    timer = signal_soon(our_loop, context=context_with('set'))
    our_loop.run_forever()
    timer.join()

    assert seen == ['unset']


def test_a_context_that_is_entered_already_is_an_error(loop, reports, caplog):
    calls = []
    context = contextvars.copy_context()

    def run():
        loop.call_soon(calls.append, 1, context=context)
        loop.call_soon(calls.append, 2)
        run_turns(loop)

    context.run(run)

    # From 3.12 on the exception handler cannot run in it either.
    assert 'already entered' in f'{reports.take()}{caplog.text}'
    assert calls == [2]


def test_a_callback_cannot_enter_its_own_context_again(loop, reports):
    context = contextvars.copy_context()
    loop.call_soon(context.run, int, context=context)

    run_turns(loop)

    (report,) = reports.take()
    assert 'already entered' in str(report['exception'])


def test_the_exception_handler_runs_in_no_callbacks_context(loop):
    """But from 3.12 on in the one of what has failed."""
    seen = []
    context = context_with('set')

    def handler(*args):
        seen.append(variable.get())
        # It is not entered: else this would fail.
        if sys.version_info < (3, 12):
            seen.append(context.run(variable.get))

    loop.set_exception_handler(handler)
    loop.call_soon(lambda: 1 / 0, context=context)
    run_turns(loop)

    if sys.version_info < (3, 12):
        assert seen == ['unset', 'set']
    else:
        assert seen == ['set']


def test_readers_run_in_the_context_they_were_added_in(loop):
    seen = []
    reader, writer = os.pipe()
    os.write(writer, b'x')
    context_with('set').run(
        loop.add_reader, reader, lambda: seen.append(variable.get())
    )
    loop.call_soon(lambda: seen.append(variable.get()))
    run_turns(loop)
    loop.remove_reader(reader)
    os.close(reader)
    os.close(writer)

    assert seen == ['unset', 'set']


def test_tasks_that_take_turns_keep_their_contexts(loop):
    seen = []

    async def task(value):
        variable.set(value)
        for _ in range(20):
            await asyncio.sleep(0)
            seen.append(variable.get() == value)

    async def main():
        await asyncio.gather(*(task(value) for value in 'abc'))
        return variable.get()

    assert loop.run_until_complete(main()) == 'unset'
    assert seen == [True] * 60


def test_one_context_for_many_tasks(loop):
    """Python allows it; then they see each other's variables."""
    context = contextvars.copy_context()
    seen = []

    async def task(value):
        seen.append(variable.get())
        variable.set(value)
        await asyncio.sleep(0)
        seen.append(variable.get())

    async def main():
        await asyncio.gather(
            *(loop.create_task(task(value), context=context) for value in 'ab')
        )

    loop.run_until_complete(main())

    assert seen == ['unset', 'a', 'b', 'b']


# The end of the interpreter

DAEMON = """
import asyncio, sys, threading, warnings
import uvloop_core

warnings.simplefilter('error')
started = threading.Event()

async def main():
    asyncio.get_running_loop().call_soon(started.set)
    {work}

def run():
    uvloop_core.run(main())

threading.Thread(target=run, daemon=True).start()
assert started.wait(30)
"""

DAEMON_WORK = {
    'idle': 'await asyncio.sleep(60)',
    'busy': 'while True: await asyncio.sleep(0)',
    'timers': 'while True: await asyncio.sleep(0.0001)',
    'server': (
        "server = await asyncio.get_running_loop().create_server("
        "asyncio.Protocol, '127.0.0.1', 0)\n"
        '    await server.serve_forever()'
    ),
}


@pytest.mark.parametrize('work', DAEMON_WORK)
def test_a_daemon_threads_loop_does_not_disturb_the_exit(work):
    source = DAEMON.format(work=DAEMON_WORK[work])

    done = subprocess.run(
        [sys.executable, '-c', source],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, '')
