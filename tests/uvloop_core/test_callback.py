"""Handle and TimerHandle: what call_soon, call_later and the like return."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import tracemalloc
import weakref

import pytest

from uvloop_core import Loop

variable = contextvars.ContextVar('variable', default='unset')


class Thing:
    """Can be referenced weakly."""

    def method(self, *args):
        pass


def run_turn(loop) -> None:
    loop.stop()
    loop.run_forever()


def run_in_thread(function, *args) -> None:
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join()


SCHEDULE = {
    'call_soon': lambda loop, *args, **kw: loop.call_soon(*args, **kw),
    'call_soon_threadsafe': lambda loop, *args, **kw: (
        loop.call_soon_threadsafe(*args, **kw)
    ),
    'call_later': lambda loop, *args, **kw: loop.call_later(0, *args, **kw),
    'call_at': lambda loop, *args, **kw: loop.call_at(0, *args, **kw),
}


@pytest.fixture(params=SCHEDULE)
def schedule(request, loop):
    """Each way to schedule a callback: schedule(callback, *args)."""

    def call(*args, **kwargs):
        return SCHEDULE[request.param](loop, *args, **kwargs)

    return call


@pytest.fixture(params=SCHEDULE)
def schedule_ours(request, our_loop):
    def call(*args, **kwargs):
        return SCHEDULE[request.param](our_loop, *args, **kwargs)

    return call


# Arguments


@pytest.mark.parametrize('count', range(7))
def test_the_callback_gets_its_arguments(loop, schedule, count):
    calls = []
    schedule(lambda *args: calls.append(args), *range(count))

    run_turn(loop)

    assert calls == [tuple(range(count))]


def test_only_context_is_a_keyword(loop, schedule):
    with pytest.raises(TypeError):
        schedule(print, spam=1)
    with pytest.raises(TypeError):
        schedule()


def test_a_context_is_a_context(loop):
    calls = []

    with pytest.raises(TypeError):
        Loop.call_soon(object(), print)
    loop.call_soon(calls.append, 1, context=None)
    run_turn(loop)

    assert calls == [1]


@pytest.mark.parametrize('name', ['Handle', 'TimerHandle'])
def test_handles_are_made_by_the_loop_alone(our_loop, name):
    handle = (
        our_loop.call_soon(print)
        if name == 'Handle'
        else our_loop.call_later(1, print)
    )

    assert type(handle).__name__ == name
    with pytest.raises(TypeError):
        type(handle)()
    handle.cancel()


# Cancelling


def test_a_cancelled_callback_does_not_run(loop, schedule):
    calls = []
    handle = schedule(calls.append, 1)
    assert not handle.cancelled()

    handle.cancel()
    handle.cancel()
    run_turn(loop)

    assert handle.cancelled()
    assert calls == []


def test_cancelling_drops_callback_and_arguments(loop, schedule):
    loop.set_debug(False)
    first, second = Thing(), Thing()
    refs = [weakref.ref(first), weakref.ref(second)]
    handle = schedule(first.method, second, 1)

    handle.cancel()
    del first, second
    gc.collect()

    assert [ref() for ref in refs] == [None, None]


def test_a_run_drops_callback_and_arguments(our_loop, schedule_ours):
    """asyncio keeps them for as long as the handle is held."""
    first, second = Thing(), Thing()
    refs = [weakref.ref(first), weakref.ref(second)]
    handle = schedule_ours(first.method, second, 1)

    del first, second
    run_turn(our_loop)

    assert [ref() for ref in refs] == [None, None]
    assert handle._callback is None
    assert handle._args is None


def test_a_run_leaves_the_handle_not_cancelled(loop, schedule):
    handle = schedule(int)

    run_turn(loop)

    assert not handle.cancelled()
    handle.cancel()
    assert handle.cancelled()


def test_a_callback_may_cancel_itself(loop, schedule):
    calls = []

    def callback(argument):
        handles[0].cancel()
        gc.collect()
        calls.append((argument, handles[0].cancelled()))

    handles = [schedule(callback, Thing())]
    ref = weakref.ref(handles[0])

    run_turn(loop)

    ((argument, cancelled),) = calls
    assert isinstance(argument, Thing) and cancelled
    handles.clear()
    assert ref() is None


def test_a_callback_that_cancels_itself_and_fails_is_reported(
    loop, schedule, reports
):
    def callback():
        handles[0].cancel()
        raise ZeroDivisionError

    handles = [schedule(callback)]

    run_turn(loop)

    (context,) = reports.take()
    assert context['handle'] is handles[0]


def test_another_thread_may_cancel(loop, schedule):
    calls = []
    handle = schedule(calls.append, 1)

    run_in_thread(handle.cancel)
    run_turn(loop)

    assert handle.cancelled()
    assert calls == []


@pytest.mark.parametrize('delay', [0, 0.01])
def test_another_thread_may_cancel_while_the_loop_runs(our_loop, delay):
    calls = []

    def callback():
        # In debug mode too, where asyncio has no check either.
        run_in_thread(handle.cancel)
        our_loop.call_later(0.02, our_loop.stop)

    our_loop.call_soon(callback)
    handle = (
        our_loop.call_later(delay, calls.append, Thing())
        if delay
        else our_loop.call_soon(calls.append, Thing())
    )
    our_loop.run_forever()

    assert handle.cancelled()
    assert calls == []
    assert handle._callback is None


def test_cancelling_may_run_code_that_schedules_and_cancels(loop, schedule):
    calls = []

    class Evil:
        def __del__(self):
            others.pop().cancel()
            others.append(loop.call_later(60, print))
            loop.call_soon(calls.append, 'from __del__')

    loop.set_debug(False)
    others = [loop.call_later(60, print), loop.call_later(60, print)]
    handle = schedule(print, Evil())
    handle.cancel()
    gc.collect()

    run_turn(loop)
    for other in others:
        other.cancel()

    assert calls == ['from __del__']


def test_a_handle_outlives_its_loop(our_loop, schedule_ours):
    loop = Loop()
    handles = [
        loop.call_soon(print, 1),
        loop.call_later(60, print, 1),
        loop.call_soon_threadsafe(print, 1),
    ]
    loop.close()
    del loop
    gc.collect()

    for handle in handles:
        assert handle.cancelled()
        assert 'cancelled' in repr(handle)
        handle.cancel()
        handle._run()


# What a handle shows


def test_the_repr_names_the_callback(loop, schedule):
    loop.set_debug(False)
    thing = Thing()
    handle = schedule(thing.method, 'an argument')

    text = repr(handle)

    # The third is asyncio's, from 3.14 on.
    names = ('<Handle ', '<TimerHandle when=', '<_ThreadSafeHandle ')
    assert text.startswith(names)
    assert 'Thing.method(' in text
    handle.cancel()
    assert ' cancelled' in repr(handle)
    assert 'Thing' not in repr(handle)


def test_in_debug_mode_it_names_the_place_too(loop, schedule):
    loop.set_debug(True)
    handle = schedule(Thing().method)

    assert 'Thing.method(' in repr(handle)
    assert f'created at {__file__}:' in repr(handle)
    handle.cancel()
    assert ' cancelled' in repr(handle)
    assert 'Thing.method(' in repr(handle)
    assert handle._source_traceback[-1].filename == __file__


def test_a_repr_that_fails_is_no_worse_than_an_exception(loop, schedule):
    class Rude:
        def __call__(self):
            pass

        def __repr__(self):
            raise ZeroDivisionError

    loop.set_debug(False)
    handle = schedule(Rude())

    with pytest.raises(ZeroDivisionError):
        repr(handle)
    run_turn(loop)


def test_a_callback_without_a_repr_is_reported(our_loop, reports):
    class Rude:
        def __call__(self):
            raise KeyError

        def __repr__(self):
            raise ZeroDivisionError

    our_loop.call_soon(Rude())
    run_turn(our_loop)

    (context,) = reports.take()
    assert isinstance(context['exception'], KeyError)


def test_a_report_says_where_the_callback_was_scheduled(loop, reports):
    loop.set_debug(True)
    loop.call_soon(lambda: 1 / 0)
    run_turn(loop)

    (context,) = reports.take()
    assert context['source_traceback'][-1].filename == __file__


def test_handles_can_be_referenced_weakly(loop, schedule):
    handle = schedule(int)
    ref = weakref.ref(handle)

    assert ref() is handle
    del handle
    run_turn(loop)
    gc.collect()
    assert ref() is None


def test_a_weak_reference_does_not_see_the_next_callback(loop):
    """The memory of a handle that has run is used again."""
    refs = []
    for _ in range(10):
        refs.append(weakref.ref(loop.call_soon(int)))
        run_turn(loop)
    handles = [loop.call_soon(int) for _ in range(10)]

    assert [ref() for ref in refs] == [None] * 10
    run_turn(loop)
    assert not any(handle.cancelled() for handle in handles)


def test_private_names_that_libraries_read(loop, schedule):
    handle = schedule(int, 1, 2)

    assert handle._callback is int
    assert handle._args == (1, 2)
    assert handle._loop is loop
    assert handle._cancelled is False
    handle.cancel()
    assert handle._cancelled is True
    assert handle._callback is None
    assert handle._args is None


def test_run_by_hand_is_a_run(loop):
    calls = []
    handle = loop.call_soon(calls.append, 1)

    handle._run()
    handle.cancel()
    run_turn(loop)

    assert calls == [1]


# Contexts


@pytest.mark.skipif(sys.version_info < (3, 12), reason='new in Python 3.12')
def test_get_context_is_the_one_that_was_given(loop, schedule):
    context = contextvars.copy_context()
    handle = schedule(int, context=context)

    assert handle.get_context() is context
    handle.cancel()
    assert handle.get_context() is context


@pytest.mark.skipif(sys.version_info < (3, 12), reason='new in Python 3.12')
def test_get_context_is_a_copy_of_the_current_one(loop, schedule):
    token = variable.set('at schedule')
    handle = schedule(int)
    variable.reset(token)

    assert handle.get_context()[variable] == 'at schedule'
    run_turn(loop)
    assert handle.get_context()[variable] == 'at schedule'


# Timers


def test_when_is_what_was_asked_for(loop):
    handle = loop.call_at(1234567.25, int)
    before = loop.time()
    later = loop.call_later(100, int)

    assert handle.when() == 1234567.25
    assert before + 100 <= later.when() <= loop.time() + 100
    handle.cancel()
    later.cancel()
    assert handle.when() == 1234567.25


def test_when_stays_after_the_run(loop):
    handle = loop.call_at(0.5, int)

    run_turn(loop)

    assert handle.when() == 0.5


def test_timers_are_ordered_by_their_times(loop):
    first, second = loop.call_at(1, int), loop.call_at(2, int)

    assert first < second and first <= second
    assert second > first and second >= first
    assert not second < first and not second <= first
    assert sorted([second, first]) == [first, second]
    with pytest.raises(TypeError):
        assert first < 2


def test_timers_are_equal_if_all_they_hold_is(loop):
    one = loop.call_at(1e9, int, 1, 2)

    assert one == loop.call_at(1e9, int, 1, 2)
    assert one != loop.call_at(1e9, int, 1)
    assert one != loop.call_at(1e9, int, 1, 3)
    assert one != loop.call_at(1e9, str, 1, 2)
    assert one != loop.call_at(2e9, int, 1, 2)
    assert one != 1
    assert one <= loop.call_at(1e9, int, 1, 2)
    cancelled = loop.call_at(1e9, int, 1, 2)
    cancelled.cancel()
    assert one != cancelled


def test_a_timers_hash_is_that_of_its_time(loop):
    handle = loop.call_at(7.5, int)

    assert hash(handle) == hash(7.5)
    assert handle in {handle}


def test_a_comparison_that_fails_is_an_exception(loop):
    class Rude:
        def __eq__(self, other):
            raise ZeroDivisionError

    one, two = loop.call_at(1, int, Rude()), loop.call_at(1, int, Rude())

    with pytest.raises(ZeroDivisionError):
        assert one == two
    one.cancel()
    two.cancel()


def test_scheduled_is_true_until_the_timer_is_due(loop):
    handle = loop.call_later(0, int)

    assert handle._scheduled is True
    run_turn(loop)
    assert handle._scheduled is False


# What they are


@pytest.mark.parametrize('name', SCHEDULE)
def test_handles_are_instances_of_asyncios_classes(loop, name):
    handle = SCHEDULE[name](loop, print, '')

    assert isinstance(handle, asyncio.Handle)
    is_timer = name in ('call_later', 'call_at')
    assert isinstance(handle, asyncio.TimerHandle) == is_timer
    handle.cancel()


def test_timers_compare_with_asyncios(our_loop):
    ours = our_loop.call_at(our_loop.time() + 100, print, 1)
    other = asyncio.SelectorEventLoop()
    theirs = other.call_at(ours.when() + 1, print, 1)

    assert ours < theirs
    assert theirs > ours
    assert ours != theirs
    for handle in (ours, theirs):
        handle.cancel()
    other.close()


# From 3.14 on, cancel() and cancelled() in another thread wait for a call
# that has begun.


@pytest.fixture
def running(loop):
    """A callback of call_soon_threadsafe that runs, and what lets it end."""
    started, go_on = threading.Event(), threading.Event()
    done = []

    def callback():
        started.set()
        go_on.wait(10)
        done.append('done')
        loop.stop()

    thread = threading.Thread(target=loop.run_forever)
    handle = loop.call_soon_threadsafe(callback)
    thread.start()
    assert started.wait(10)
    yield handle, go_on, done
    go_on.set()
    thread.join()


@pytest.mark.skipif(sys.version_info < (3, 14), reason='3.14 brought it')
@pytest.mark.parametrize('name', ['cancel', 'cancelled'])
def test_another_thread_waits_for_a_call_that_has_begun(running, name):
    handle, go_on, done = running
    seen = []

    def ask():
        result = getattr(handle, name)()
        seen.append((list(done), result))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join()

    assert [before for before, _ in seen] == [['done']] * 3
    assert handle.cancelled() == (name == 'cancel')


@pytest.mark.skipif(sys.version_info >= (3, 14), reason='3.14 waits')
def test_before_3_14_another_thread_does_not_wait(running):
    handle, go_on, done = running

    was_cancelled = handle.cancelled()
    handle.cancel()

    assert done == []
    assert (was_cancelled, handle.cancelled()) == (False, True)


def test_its_own_thread_never_waits(loop):
    seen = []

    def callback():
        seen.append(handle.cancelled())
        handle.cancel()
        seen.append(handle.cancelled())
        loop.stop()

    handle = loop.call_soon_threadsafe(callback)
    loop.run_forever()

    assert seen == [False, True]


def test_a_threadsafe_handle_cancelled_in_time_does_not_run(our_loop):
    calls = []

    def cancel():
        handle = our_loop.call_soon_threadsafe(calls.append, 1)
        handle.cancel()
        our_loop.call_soon_threadsafe(our_loop.stop)

    def block():
        # It cannot run before it is cancelled.
        run_in_thread(cancel)

    our_loop.call_soon(block)
    our_loop.run_forever()

    assert calls == []


def test_many_threads_cancel_while_it_runs(our_loop):
    """Each call is either made or cancelled, and nobody waits for ever."""
    ran, cancelled = [], []

    def work():
        for number in range(300):
            handle = our_loop.call_soon_threadsafe(ran.append, number)
            handle.cancel()
            cancelled.append(handle.cancelled())

    threads = [threading.Thread(target=work) for _ in range(3)]
    runner = threading.Thread(target=our_loop.run_forever)
    runner.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    our_loop.call_soon_threadsafe(our_loop.stop)
    runner.join()

    assert cancelled == [True] * 900
    assert len(ran) <= 900


def test_what_a_burst_took_is_given_back_while_the_loop_waits(our_loop):
    async def wait_often():
        for _ in range(200):
            await asyncio.sleep(1e-4)

    async def burst():
        for _ in range(40_000):
            our_loop.call_soon(int)

    our_loop.set_debug(False)
    tracemalloc.start()
    our_loop.run_until_complete(burst())
    our_loop.run_until_complete(wait_often())
    left, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert left < most / 4
