"""The order of events in a turn, which is asyncio's.

Each test writes down what happens in `events` and compares it with a list;
that asyncio's own loop passes it too shows that the list is right.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest


@pytest.fixture
def events() -> list[object]:
    return []


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def run_turns(loop, count: int = 1) -> None:
    for _ in range(count):
        loop.stop()
        loop.run_forever()


def run_in_thread(function, *args) -> None:
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join()


# Callbacks


def test_callbacks_run_first_in_first_out(loop, events):
    for number in range(200):
        loop.call_soon(events.append, number)

    run_turns(loop)

    assert events == list(range(200))


def test_what_a_callback_schedules_runs_in_the_next_turn(loop, events):
    def callback(number):
        events.append(number)
        loop.call_soon(events.append, number + 10)

    loop.call_soon(callback, 1)
    loop.call_soon(callback, 2)
    run_turns(loop)

    assert events == [1, 2]
    run_turns(loop)
    assert events == [1, 2, 11, 12]


def test_a_chain_of_callbacks_takes_a_turn_each(loop, events):
    def chain(number):
        events.append(number)
        if number < 30:
            loop.call_soon(chain, number + 1)

    loop.call_soon(chain, 0)
    run_turns(loop, 20)

    assert events == list(range(20))


def test_a_callback_cancelled_by_an_earlier_one_does_not_run(loop, events):
    loop.call_soon(lambda: second.cancel())
    second = loop.call_soon(events.append, 2)
    loop.call_soon(events.append, 3)

    run_turns(loop)

    assert events == [3]


# Stopping


def test_stop_before_run_forever_runs_one_turn(loop, events):
    loop.call_soon(events.append, 1)
    loop.call_soon(loop.call_soon, events.append, 2)
    loop.stop()

    loop.run_forever()

    assert events == [1]


def test_stop_before_run_forever_does_not_wait(loop, events):
    loop.call_later(60, events.append, 1)
    loop.stop()
    began = time.monotonic()

    loop.run_forever()

    assert time.monotonic() - began < 10
    assert events == []


def test_stop_lasts_for_one_run(loop, events):
    loop.stop()
    loop.run_forever()
    loop.call_soon(loop.call_soon, events.append, 1)
    loop.call_soon(loop.call_soon, loop.stop)

    loop.run_forever()

    assert events == [1]


def test_callbacks_after_stop_in_the_same_turn_run(loop, events):
    loop.call_soon(events.append, 1)
    loop.call_soon(loop.stop)
    loop.call_soon(events.append, 2)

    loop.run_forever()

    assert events == [1, 2]


def test_callbacks_scheduled_after_stop_wait_for_the_next_run(loop, events):
    def stop():
        loop.stop()
        loop.call_soon(events.append, 2)

    loop.call_soon(events.append, 1)
    loop.call_soon(stop)
    loop.run_forever()

    assert events == [1]
    run_turns(loop)
    assert events == [1, 2]


def test_a_timer_that_is_due_stops_the_loop_in_its_turn(loop, events):
    loop.call_later(0.001, loop.stop)
    loop.call_later(0.001, events.append, 1)
    time.sleep(0.002)
    loop.call_soon(events.append, 0)

    loop.run_forever()

    assert events == [0, 1]


def test_stop_in_a_reader_lets_the_turn_end(loop, events, pipe):
    def readable():
        events.append('reader')
        loop.stop()

    loop.add_reader(pipe[0], readable)
    loop.add_writer(pipe[1], events.append, 'writer')
    os.write(pipe[1], b'x')
    loop.call_soon(events.append, 'soon')

    loop.run_forever()
    loop.remove_reader(pipe[0])
    loop.remove_writer(pipe[1])

    assert events[0] == 'soon'
    assert sorted(events[1:]) == ['reader', 'writer']


# Timers, files and callbacks that are ready at once


def test_ready_callbacks_go_before_files_and_these_before_timers(
    loop, events, pipe
):
    loop.call_later(0.001, events.append, 'timer')
    loop.add_reader(pipe[0], events.append, 'reader')
    os.write(pipe[1], b'x')
    time.sleep(0.002)
    loop.call_soon(events.append, 'soon')

    run_turns(loop)
    loop.remove_reader(pipe[0])

    assert events == ['soon', 'reader', 'timer']


def test_the_same_order_inside_a_run(loop, events, pipe):
    def start():
        os.write(pipe[1], b'x')
        loop.call_later(0, events.append, 'timer')
        loop.call_soon(events.append, 'soon')
        loop.call_soon(loop.stop)

    def first_turn_is_over():
        loop.call_soon(start)

    loop.add_reader(pipe[0], events.append, 'reader')
    loop.call_soon(first_turn_is_over)
    loop.run_forever()
    loop.remove_reader(pipe[0])

    assert events == ['soon', 'reader', 'timer']


def test_a_callback_that_blocks_lets_files_and_timers_come_next(
    loop, events, pipe
):
    def block():
        os.write(pipe[1], b'x')
        loop.call_later(0.001, events.append, 'timer')
        time.sleep(0.002)
        loop.call_soon(events.append, 'soon')
        loop.call_soon(loop.stop)

    loop.add_reader(pipe[0], events.append, 'reader')
    loop.call_soon(loop.call_soon, block)
    loop.run_forever()
    loop.remove_reader(pipe[0])

    assert events == ['soon', 'reader', 'timer']


def test_timers_run_in_the_order_of_their_times(loop, events):
    now = loop.time()
    for delay in (3, 1, 2, 5, 4):
        loop.call_at(now + delay / 10000, events.append, delay)
    time.sleep(0.002)

    run_turns(loop)

    assert events == [1, 2, 3, 4, 5]


def test_a_timer_cancelled_in_the_turn_it_is_due_in_does_not_run(loop, events):
    timer = loop.call_later(0.001, events.append, 'timer')
    time.sleep(0.002)
    loop.call_soon(timer.cancel)

    run_turns(loop)

    assert events == []


def test_a_timer_of_no_delay_runs_after_what_is_ready(loop, events):
    def start():
        loop.call_later(0, events.append, 'timer')
        loop.call_later(-5, events.append, 'earlier')
        loop.call_soon(events.append, 'soon')

    loop.call_soon(start)
    run_turns(loop, 2)

    assert events == ['soon', 'earlier', 'timer']


# Other threads


def test_threadsafe_calls_keep_their_place_among_the_others(loop, events):
    loop.call_soon(events.append, 1)
    loop.call_soon_threadsafe(events.append, 2)
    loop.call_soon(events.append, 3)
    loop.call_soon_threadsafe(events.append, 4)

    run_turns(loop)

    assert events == [1, 2, 3, 4]


def test_threadsafe_calls_keep_their_place_inside_a_run(loop, events):
    def callback():
        loop.call_soon_threadsafe(events.append, 1)
        loop.call_soon(events.append, 2)
        loop.call_soon_threadsafe(loop.stop)
        loop.call_soon(events.append, 3)

    loop.call_soon(loop.call_soon, callback)
    loop.run_forever()

    assert events == [1, 2, 3]


def test_another_threads_call_goes_before_what_is_scheduled_after_it(
    loop, events
):
    def callback():
        run_in_thread(loop.call_soon_threadsafe, events.append, 1)
        loop.call_soon(events.append, 2)
        loop.call_soon(loop.stop)

    loop.call_soon(callback)
    loop.run_forever()

    assert events == [1, 2]


def test_another_threads_call_goes_before_files_and_timers(loop, events, pipe):
    loop.add_reader(pipe[0], events.append, 'reader')
    loop.call_later(0.001, events.append, 'timer')
    os.write(pipe[1], b'x')
    run_in_thread(loop.call_soon_threadsafe, events.append, 'thread')
    time.sleep(0.002)

    run_turns(loop)
    loop.remove_reader(pipe[0])

    assert events == ['thread', 'reader', 'timer']


def test_each_threads_calls_stay_in_order(loop, events):
    def call(thread):
        for number in range(100):
            loop.call_soon_threadsafe(events.append, (thread, number))

    threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run_turns(loop)

    for i in range(4):
        mine = [number for thread, number in events if thread == i]
        assert mine == list(range(100))


# Exceptions


def test_an_exception_does_not_keep_the_others_from_running(
    loop, events, reports
):
    def fail():
        events.append('fail')
        raise ZeroDivisionError

    loop.call_soon(events.append, 1)
    loop.call_soon(fail)
    loop.call_soon(events.append, 2)
    run_turns(loop)

    assert events == [1, 'fail', 2]
    (context,) = reports.take()
    assert isinstance(context['exception'], ZeroDivisionError)


def test_an_exception_is_reported_before_the_next_callback(loop, events):
    def fail():
        raise ZeroDivisionError

    loop.set_exception_handler(lambda *_: events.append('report'))
    loop.call_soon(fail)
    loop.call_soon(events.append, 1)
    run_turns(loop)

    assert events == ['report', 1]


@pytest.mark.parametrize('error', [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_leaves_the_rest_queued(loop, events, error):
    def fail():
        events.append('fail')
        loop.call_soon(events.append, 3)
        raise error

    loop.call_soon(events.append, 1)
    loop.call_soon(fail)
    loop.call_soon(events.append, 2)

    with pytest.raises(error):
        loop.run_forever()
    assert events == [1, 'fail']
    run_turns(loop)
    assert events == [1, 'fail', 2, 3]


@pytest.mark.parametrize('kind', ['timer', 'reader', 'thread'])
def test_it_ends_the_run_from_wherever_it_is_raised(loop, events, pipe, kind):
    def fail():
        os.read(pipe[0], 1)
        raise KeyboardInterrupt

    os.write(pipe[1], b'x')
    if kind == 'timer':
        loop.call_later(0.001, fail)
    elif kind == 'reader':
        loop.add_reader(pipe[0], fail)
    else:
        run_in_thread(loop.call_soon_threadsafe, fail)

    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert not loop.is_running()
    loop.call_soon(events.append, 1)
    run_turns(loop)
    loop.remove_reader(pipe[0])
    assert events == [1]


def test_stop_is_forgotten_if_the_run_ends_by_an_exception(loop, events):
    def fail():
        loop.stop()
        raise KeyboardInterrupt

    loop.call_soon(fail)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.call_soon(loop.call_soon, events.append, 1)
    loop.call_soon(loop.call_soon, loop.stop)

    loop.run_forever()

    assert events == [1]


def test_a_report_that_ends_the_program_ends_the_run(loop, events):
    def handler(loop, context):
        raise SystemExit

    loop.set_exception_handler(handler)
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(events.append, 1)

    with pytest.raises(SystemExit):
        loop.run_forever()
    assert events == []
    run_turns(loop)
    assert events == [1]


def test_other_base_exceptions_are_reported(loop, events, reports):
    class Strange(BaseException):
        pass

    def fail():
        raise Strange

    loop.call_soon(fail)
    loop.call_soon(events.append, 1)
    run_turns(loop)

    (context,) = reports.take()
    assert isinstance(context['exception'], Strange)
    assert events == [1]
