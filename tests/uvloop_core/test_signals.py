"""add_signal_handler, the wakeup fd, and Ctrl-C."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import uvloop_core

ROOT = Path(__file__).resolve().parents[2]


def wakeup_fd() -> int:
    fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(fd)
    return fd


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def send_soon(loop, number: int) -> threading.Timer:
    """From another thread, once the loop runs, while it waits."""
    thread = threading.Timer(0.02, send, (number,))
    loop.call_soon(thread.start)
    return thread


def test_a_handler_is_called_in_the_loop_with_its_arguments(loop):
    calls = []

    def handle(*args):
        calls.append((asyncio._get_running_loop() is loop, args))
        loop.stop()

    loop.add_signal_handler(signal.SIGUSR1, handle, 1, 2)
    thread = send_soon(loop, signal.SIGUSR1)
    loop.run_forever()
    thread.join()

    assert calls == [(True, (1, 2))]
    assert loop.remove_signal_handler(signal.SIGUSR1)


def test_a_signal_that_comes_while_the_loop_is_stopped_is_delivered(loop):
    calls = []
    loop.add_signal_handler(signal.SIGUSR1, calls.append, 1)
    loop.run_until_complete(asyncio.sleep(0))

    send(signal.SIGUSR1)
    loop.run_until_complete(asyncio.sleep(0.01))

    assert calls == [1]
    assert loop.remove_signal_handler(signal.SIGUSR1)


def test_a_handler_takes_the_place_of_an_earlier_one(loop):
    calls = []
    loop.add_signal_handler(signal.SIGUSR1, calls.append, 1)
    loop.add_signal_handler(signal.SIGUSR1, calls.append, 2)

    loop.call_soon(send, signal.SIGUSR1)
    loop.run_until_complete(asyncio.sleep(0.01))

    assert calls == [2]
    loop.remove_signal_handler(signal.SIGUSR1)


def test_removing_puts_the_default_back(loop):
    loop.add_signal_handler(signal.SIGUSR1, print)
    loop.add_signal_handler(signal.SIGINT, print)

    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert loop.remove_signal_handler(signal.SIGINT) is True
    assert loop.remove_signal_handler(signal.SIGUSR1) is False
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_closing_the_loop_removes_its_handlers(loop):
    loop.add_signal_handler(signal.SIGUSR1, print)

    loop.close()

    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


async def coroutine_function():
    pass


@pytest.mark.parametrize(
    ('number', 'callback', 'error', 'message'),
    [
        (signal.SIGUSR1, coroutine_function, TypeError, '^coroutines cannot'),
        ('spam', print, TypeError, "^sig must be an int, not 'spam'"),
        (9999, print, ValueError, '^invalid signal number 9999'),
        (signal.SIGKILL, print, RuntimeError, '^sig 9 cannot be caught'),
    ],
)
def test_what_cannot_be_handled_is_refused(
    loop, number, callback, error, message
):
    with pytest.raises(error, match=message):
        loop.add_signal_handler(number, callback)


def test_only_the_main_thread_may_add_a_handler(loop):
    errors = []

    def add():
        try:
            loop.add_signal_handler(signal.SIGUSR1, print)
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=add)
    thread.start()
    thread.join()

    assert len(errors) == 1
    assert 'main thread' in errors[0]


def test_child_processes_have_their_own_signal(our_loop):
    with pytest.raises(
        RuntimeError, match=r'^cannot add a signal handler for'
    ):
        our_loop.add_signal_handler(signal.SIGCHLD, print)


def test_the_wakeup_fd_is_put_back_after_each_run(our_loop):
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    with reader, writer:
        before = signal.set_wakeup_fd(writer.fileno())
        try:
            our_loop.run_until_complete(asyncio.sleep(0))
            assert wakeup_fd() == writer.fileno()
        finally:
            signal.set_wakeup_fd(before)


def test_a_wakeup_fd_that_was_set_meanwhile_stays(our_loop):
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    with reader, writer:
        our_loop.call_soon(signal.set_wakeup_fd, writer.fileno())
        our_loop.run_until_complete(asyncio.sleep(0))
        assert signal.set_wakeup_fd(-1) == writer.fileno()


def test_a_loop_in_another_thread_leaves_the_wakeup_fd_alone():
    seen = []

    async def look():
        seen.append(wakeup_fd_of_main())

    def wakeup_fd_of_main():
        with pytest.raises(ValueError):
            signal.set_wakeup_fd(-1)
        return True

    thread = threading.Thread(target=lambda: uvloop_core.run(look()))
    thread.start()
    thread.join()

    assert seen == [True]
    assert wakeup_fd() == -1


def test_ctrl_c_ends_an_idle_loop(loop):
    thread = send_soon(loop, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    thread.join()


def test_ctrl_c_ends_a_busy_loop(loop):
    def again():
        loop.call_soon(again)

    again()
    thread = send_soon(loop, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    thread.join()


@pytest.mark.parametrize(
    'make', [asyncio.new_event_loop, uvloop_core.new_event_loop]
)
def test_ctrl_c_cancels_the_main_task_of_a_runner(make):
    states = []
    threads = []

    async def main():
        threads.append(send_soon(asyncio.get_running_loop(), signal.SIGINT))
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            states.append('cancelled')
            raise

    with pytest.raises(KeyboardInterrupt):
        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(main())
    threads[0].join()

    assert states == ['cancelled']


def test_many_signals_do_not_fill_the_pipe(our_loop):
    calls = []
    our_loop.add_signal_handler(signal.SIGUSR1, calls.append, 1)

    def storm():
        for _ in range(5000):
            send(signal.SIGUSR1)

    our_loop.run_until_complete(asyncio.sleep(0))
    fcntl.fcntl(our_loop._wakeup.writer, fcntl.F_SETPIPE_SZ, 4096)
    our_loop.call_soon(storm)
    our_loop.run_until_complete(asyncio.sleep(0.01))

    assert calls
    our_loop.remove_signal_handler(signal.SIGUSR1)


def test_a_dropped_loop_is_not_kept_alive_by_its_handlers():
    program = """
import gc, os, signal, weakref, uvloop_core
loop = uvloop_core.new_event_loop()
loop.add_signal_handler(signal.SIGUSR1, print)
loop.call_soon(loop.stop)
loop.run_forever()
ref = weakref.ref(loop)
del loop
gc.collect()
assert ref() is None
os.kill(os.getpid(), signal.SIGUSR1)
print('alive')
"""
    assert run_program(program) == 'alive\n'


def test_a_forked_child_has_a_wakeup_pipe_of_its_own():
    program = """
import asyncio, os, signal, threading, time, uvloop_core
loop = uvloop_core.new_event_loop()
loop.run_until_complete(asyncio.sleep(0))
child = os.fork()
if child == 0:
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    loop.call_later(5, os._exit, 1)
    loop.run_forever()
    os._exit(0)
status = os.waitpid(child, 0)[1]
loop.run_until_complete(asyncio.sleep(0))
loop.close()
print('child', status)
"""
    assert run_program(program) == 'child 0\n'


def run_program(program: str) -> str:
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', program],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, '')
    return done.stdout
