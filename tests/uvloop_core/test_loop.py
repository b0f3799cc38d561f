"""The Loop: running, closing, tasks, debug mode, executor, errors."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import logging
import sys
import threading
import time
import warnings
from concurrent.futures import Executor, Future

import pytest

from uvloop_core import Loop, _core

variable = contextvars.ContextVar('variable', default='unset')


async def answer() -> int:
    return 42


def test_the_repr_shows_the_state(loop):
    loop.set_debug(False)

    assert repr(loop).endswith(' running=False closed=False debug=False>')


# Running


def test_run_until_complete_returns_the_result(loop):
    assert loop.run_until_complete(answer()) == 42


def test_run_until_complete_raises_what_the_coroutine_raises(loop):
    async def fail():
        raise ValueError('spam')

    with pytest.raises(ValueError, match=r'spam'):
        loop.run_until_complete(fail())


def test_run_until_complete_takes_only_what_can_be_awaited(loop):
    with pytest.raises(TypeError):
        loop.run_until_complete('spam')


def test_run_until_complete_refuses_another_loops_future(loop):
    other = asyncio.new_event_loop()
    future = other.create_future()
    other.close()

    with pytest.raises(ValueError):
        loop.run_until_complete(future)


def test_run_until_complete_says_so_if_it_was_stopped(loop):
    async def stop():
        loop.stop()
        await asyncio.sleep(10)

    with pytest.raises(RuntimeError, match=r'^Event loop stopped before'):
        loop.run_until_complete(stop())
    cancel_all(loop)


def test_a_running_loop_does_not_run_and_leaves_the_coroutine_alone(loop):
    coroutine = answer()

    async def run():
        with pytest.raises(RuntimeError, match=r'already running'):
            loop.run_until_complete(coroutine)

    loop.run_until_complete(run())
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
    coroutine.close()


def test_no_loop_runs_inside_of_another_one(loop):
    other = asyncio.new_event_loop()

    async def run():
        with pytest.raises(RuntimeError, match=r'while another loop is runn'):
            loop.run_forever()

    other.run_until_complete(run())
    other.close()


@pytest.mark.parametrize('error', [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_comes_out_and_the_loop_runs_again(loop, error):
    def fail():
        raise error

    loop.call_soon(fail)

    with pytest.raises(error):
        loop.run_forever()
    assert loop.run_until_complete(answer()) == 42


def test_a_task_that_ends_the_program_does_not_stop_the_next_run(loop):
    async def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(fail())
    loop.run_until_complete(asyncio.sleep(0.01))


def test_an_interrupted_run_forgets_its_future(loop):
    def fail():
        raise KeyboardInterrupt

    future = loop.create_future()
    loop.call_soon(fail)
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(future)
    loop.call_soon(future.set_result, None)

    loop.run_until_complete(asyncio.sleep(0.01))


def test_stop_before_run_forever_lets_it_run_one_turn(loop):
    calls = []
    loop.call_soon(calls.append, 1)
    loop.call_soon(loop.call_soon, calls.append, 2)
    loop.stop()

    loop.run_forever()

    assert calls == [1]


def test_the_running_loop_is_known_only_while_it_runs(loop):
    async def running():
        return asyncio.get_running_loop()

    assert loop.run_until_complete(running()) is loop
    assert asyncio._get_running_loop() is None
    assert not loop.is_running()


# Closing


def test_close_may_be_called_again(loop):
    loop.close()
    loop.close()

    assert loop.is_closed()


def test_a_running_loop_is_not_closed(loop):
    async def close():
        with pytest.raises(
            RuntimeError, match=r'Cannot close a running event'
        ):
            loop.close()

    loop.run_until_complete(close())


@pytest.mark.parametrize(
    'use',
    [
        lambda loop: loop.run_forever(),
        lambda loop: loop.call_soon(print),
        lambda loop: loop.call_soon_threadsafe(print),
        lambda loop: loop.call_later(1, print),
        lambda loop: loop.call_at(1, print),
        lambda loop: loop.run_in_executor(None, print),
    ],
)
def test_a_closed_loop_refuses_work(loop, use):
    loop.close()

    with pytest.raises(RuntimeError, match=r'Event loop is closed'):
        use(loop)


def test_a_closed_loop_makes_no_task(loop):
    coroutine = answer()
    loop.close()

    with pytest.raises(RuntimeError, match=r'Event loop is closed'):
        loop.create_task(coroutine)
    coroutine.close()


# Subclasses


@pytest.mark.parametrize('method', ['call_soon', 'create_task', 'get_debug'])
def test_a_subclass_may_override_what_asyncio_calls(method):
    called = []

    def override(self, *args, **kwargs):
        called.append(method)
        return getattr(super(Mine, self), method)(*args, **kwargs)

    Mine = type('Mine', (Loop,), {method: override})
    loop = Mine()
    loop.run_until_complete(answer())
    loop.close()

    assert called


def test_an_attribute_of_the_loop_goes_before_its_method(loop):
    called = []
    call_soon = loop.call_soon

    def look(*args, **kwargs):
        called.append(args)
        return call_soon(*args, **kwargs)

    loop.call_soon = look
    loop.run_until_complete(answer())

    assert called


def test_a_class_gets_the_methods_that_it_does_not_override():
    class Mine(_core.Loop):
        def time(self):
            return 42

    override = Mine.time
    Mine._own_methods()

    assert vars(Mine)['time'] is override
    assert vars(Mine)['call_soon'].__objclass__ is Mine
    assert vars(Loop)['call_soon'].__objclass__ is Loop


# Tasks


def test_create_task_takes_a_name_and_a_context(loop):
    async def look():
        return asyncio.current_task().get_name(), variable.get()

    context = contextvars.copy_context()
    context.run(variable.set, 'set')
    task = loop.create_task(look(), name='spam', context=context)

    assert loop.run_until_complete(task) == ('spam', 'set')


def test_create_task_takes_the_coroutine_by_keyword(loop):
    task = loop.create_task(coro=answer())

    assert loop.run_until_complete(task) == loop.run_until_complete(answer())


@pytest.mark.parametrize('keywords', [{'loop': None}, {'spam': 1}])
def test_create_task_takes_no_other_keywords(loop, keywords):
    coroutine = answer()

    with pytest.raises(TypeError):
        loop.create_task(coroutine, **keywords)
    coroutine.close()


@pytest.mark.parametrize('keywords', [{'loop': None}, {'spam': 1}])
def test_nor_does_it_while_the_loop_runs(loop, keywords):
    async def main():
        coroutine = answer()
        with pytest.raises(TypeError):
            loop.create_task(coroutine, **keywords)
        coroutine.close()

    loop.run_until_complete(main())


@pytest.mark.parametrize('keywords', [{}, {'name': 'spam'}])
def test_a_task_belongs_to_the_loop_that_was_asked(loop, keywords):
    other = asyncio.new_event_loop()

    async def main():
        mine = loop.create_task(answer(), **keywords)
        others = other.create_task(answer(), **keywords)
        return mine.get_loop(), others

    got, others = loop.run_until_complete(main())

    assert got is loop
    assert others.get_loop() is other
    other.run_until_complete(others)
    other.close()


def test_a_task_belongs_to_the_loop_that_was_asked_if_no_one_runs(loop):
    """Some code hides the loop that runs."""

    async def main():
        asyncio._set_running_loop(None)
        try:
            return loop.create_task(answer())
        finally:
            asyncio._set_running_loop(loop)

    task = loop.run_until_complete(main())

    assert task.get_loop() is loop
    assert loop.run_until_complete(task) == 42


@pytest.mark.skipif(sys.version_info < (3, 12), reason='new in Python 3.12')
def test_a_task_may_be_eager_by_itself(our_loop):
    """asyncio's create_task() takes it from 3.14 on."""

    async def main():
        return our_loop.create_task(answer(), eager_start=True).done()

    assert our_loop.run_until_complete(main())


@pytest.mark.parametrize('count', [0, 2])
def test_create_task_takes_one_coroutine(loop, count):
    with pytest.raises(TypeError, match=r'create_task\(\)'):
        loop.create_task(*[None] * count)


def test_a_task_remembers_who_created_it_in_debug_mode(loop):
    loop.set_debug(True)
    task = loop.create_task(answer())
    loop.run_until_complete(task)

    last = task._source_traceback[-1]

    assert last.name == 'test_a_task_remembers_who_created_it_in_debug_mode'


def test_a_task_factory_is_told_what_was_asked_for_and_no_more(loop):
    asked = []

    def factory(loop, coro, **kwargs):
        asked.append(kwargs)
        return asyncio.Task(coro, loop=loop, **kwargs)

    context = contextvars.copy_context()
    loop.set_task_factory(factory)
    loop.run_until_complete(loop.create_task(answer()))
    loop.run_until_complete(loop.create_task(answer(), context=context))

    assert loop.get_task_factory() is factory
    assert asked == [{}, {'context': context}]


def test_a_task_of_a_factory_gets_its_name(loop):
    def factory(loop, coro, **kwargs):
        return asyncio.Task(coro, loop=loop, **kwargs)

    loop.set_task_factory(factory)
    task = loop.create_task(answer(), name='spam')
    loop.run_until_complete(task)

    assert task.get_name() == 'spam'


@pytest.mark.skipif(sys.version_info < (3, 12), reason='new in Python 3.12')
def test_the_eager_task_factory_is_eager(loop):
    async def main():
        return asyncio.create_task(answer()).done()

    loop.set_task_factory(asyncio.eager_task_factory)

    assert loop.run_until_complete(main())


def test_a_task_factory_has_to_be_callable(loop):
    with pytest.raises(
        TypeError, match=r'^task factory must be a callable or'
    ):
        loop.set_task_factory(1)


# Errors


def test_what_a_callback_raises_is_reported_and_the_loop_goes_on(
    loop, reports
):
    def fail():
        raise ZeroDivisionError

    loop.call_soon(fail)
    loop.run_until_complete(answer())

    (context,) = reports.take()
    assert context['message'].startswith('Exception in callback ')
    assert '.fail' in context['message']
    assert isinstance(context['exception'], ZeroDivisionError)
    assert context['handle'] is not None


def test_the_default_handler_logs_all_keys_in_order(loop, caplog):
    loop.set_exception_handler(None)
    loop.call_exception_handler({'message': 'Spam', 'zeta': 1, 'alpha': 2})

    (record,) = caplog.records
    assert (record.name, record.levelname) == ('asyncio', 'ERROR')
    assert record.getMessage() == 'Spam\nalpha: 2\nzeta: 1'


def test_the_default_handler_shows_where_an_object_was_created(loop, caplog):
    loop.set_exception_handler(None)
    source = [(__file__, 1, 'spam', 'eggs')]

    loop.call_exception_handler({'source_traceback': source})

    message = caplog.records[0].getMessage()
    assert message.startswith('Unhandled exception in event loop\n')
    assert 'source_traceback: Object created at (most recent' in message


def test_a_handler_that_fails_is_reported_by_the_default_one(loop, caplog):
    def handler(loop, context):
        raise ZeroDivisionError

    loop.set_exception_handler(handler)
    loop.call_exception_handler({'message': 'Spam'})

    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith('Unhandled error in exception handler\n')
    assert "context: {'message': 'Spam'}" in message
    assert record.exc_info[0] is ZeroDivisionError


def test_an_overridden_default_handler_that_fails_is_logged(caplog):
    class Broken(Loop):
        def default_exception_handler(self, context):
            raise ZeroDivisionError

    loop = Broken()
    loop.call_soon(lambda: 1 / 0)
    loop.run_until_complete(answer())
    loop.set_exception_handler(lambda loop, context: 1 / 0)
    loop.call_exception_handler({'message': 'Spam'})
    loop.close()

    assert [record.getMessage() for record in caplog.records] == [
        'Exception in default exception handler',
        'Exception in default exception handler while handling an unexpected'
        ' error in custom exception handler',
    ]


@pytest.mark.skipif(sys.version_info < (3, 12), reason='new in Python 3.12')
@pytest.mark.parametrize('key', ['task', 'future', 'handle'])
def test_the_handler_runs_in_the_context_of_what_failed(loop, key):
    seen = []
    context = contextvars.copy_context()
    context.run(variable.set, 'failed')
    if key == 'handle':
        failed = loop.call_soon(print, context=context)
        failed.cancel()
    else:
        failed = loop.create_task(answer(), context=context)
        loop.run_until_complete(failed)
    loop.set_exception_handler(lambda *_: seen.append(variable.get()))

    loop.call_exception_handler({'message': 'Spam', key: failed})

    assert seen == ['failed']


def test_an_exception_handler_has_to_be_callable(loop):
    with pytest.raises(TypeError, match=r'^A callable object or None is exp'):
        loop.set_exception_handler(1)


# Debug mode


def test_debug_mode_logs_a_slow_callback(loop, caplog):
    loop.set_debug(True)
    loop.slow_callback_duration = 0.01

    loop.call_soon(time.sleep, 0.02)
    loop.run_until_complete(answer())

    # On a busy machine another one may be slow too.
    slow = [text for text in caplog.messages if 'sleep' in text]
    assert slow[0].startswith('Executing <Handle sleep')
    assert slow[0].endswith('seconds')


def test_debug_mode_logs_the_task_of_a_slow_step(loop, caplog):
    async def slow():
        time.sleep(0.02)

    loop.set_debug(True)
    loop.slow_callback_duration = 0.01
    loop.run_until_complete(slow())

    slow_ones = [text for text in caplog.messages if 'slow()' in text]
    assert slow_ones[0].startswith('Executing <Task finished')


def test_debug_mode_tracks_origins_while_the_loop_runs(loop):
    depths = []

    async def look():
        for enabled in (True, False):
            loop.set_debug(enabled)
            await asyncio.sleep(0)
            depths.append(sys.get_coroutine_origin_tracking_depth())

    before = sys.get_coroutine_origin_tracking_depth()
    loop.set_debug(False)
    loop.run_until_complete(look())

    assert depths == [10, before]
    loop.set_debug(True)
    loop.run_until_complete(answer())
    assert sys.get_coroutine_origin_tracking_depth() == before


@pytest.mark.parametrize('callback', [answer, 'spam'])
def test_debug_mode_refuses_what_cannot_be_called(loop, callback):
    loop.set_debug(True)

    with pytest.raises(TypeError, match=r'(used with|expected by) call_soon'):
        loop.call_soon(callback)
    with pytest.raises(TypeError, match=r'(used with|expected by) run_in_ex'):
        loop.run_in_executor(None, callback)


# Asynchronous generators


async def numbers(closed):
    try:
        yield 1
        yield 2
    finally:
        await asyncio.sleep(0)
        closed.append(True)


def test_a_dropped_generator_is_closed_by_the_loop(loop):
    closed = []

    async def drop():
        async for _ in numbers(closed):
            break
        gc.collect()
        await asyncio.sleep(0.01)

    loop.run_until_complete(drop())

    assert closed == [True]


def test_shutdown_asyncgens_closes_generators(loop):
    closed = []
    generator = numbers(closed)

    async def use():
        await anext(generator)
        await loop.shutdown_asyncgens()

    loop.run_until_complete(use())

    assert closed == [True]


def test_shutdown_asyncgens_reports_what_closing_raises(loop, reports):
    async def broken():
        try:
            yield 1
        finally:
            raise ZeroDivisionError

    generator = broken()

    async def use():
        await anext(generator)
        await loop.shutdown_asyncgens()

    loop.run_until_complete(use())

    (context,) = reports.take()
    assert context['message'].startswith(
        'an error occurred during closing of asynchronous generator <async'
    )
    assert context['asyncgen'] is generator


def test_a_generator_after_shutdown_asyncgens_warns(loop):
    async def use():
        await loop.shutdown_asyncgens()
        async for _ in numbers([]):
            pass

    with pytest.warns(ResourceWarning, match=r'was scheduled after loop.shut'):
        loop.run_until_complete(use())


def test_the_generator_hooks_are_put_back(loop):
    before = sys.get_asyncgen_hooks()

    loop.run_until_complete(answer())

    assert sys.get_asyncgen_hooks() == before


# Executor


def test_run_in_executor_runs_in_a_thread_that_tells_whose_it_is():
    loop = Loop()

    name = loop.run_until_complete(
        loop.run_in_executor(None, lambda: threading.current_thread().name)
    )

    assert name.startswith('uvloop_core')
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_what_a_job_raises_comes_out_of_run_in_executor(loop):
    job = loop.run_in_executor(None, int, 'spam')

    with pytest.raises(ValueError, match=r'spam'):
        loop.run_until_complete(job)


class Given(Executor):
    """Its only job is this future."""

    def __init__(self, future) -> None:
        self.future = future

    def submit(self, fn, /, *args, **kwargs):
        return self.future


def test_a_job_of_an_executor_that_is_done_at_once(loop):
    done = Future()
    done.set_result(1)

    assert loop.run_until_complete(loop.run_in_executor(Given(done), int)) == 1


def test_an_executor_may_answer_with_a_future_of_asyncio(loop):
    future = loop.create_future()

    assert loop.run_in_executor(Given(future), int) is future


def test_cancelling_what_run_in_executor_returned_cancels_the_job(loop):
    job = Future()

    async def cancel():
        future = loop.run_in_executor(Given(job), int)
        future.cancel()
        await asyncio.sleep(0)
        return job.cancelled()

    assert loop.run_until_complete(cancel())


def test_a_cancelled_job_cancels_what_run_in_executor_returned(loop):
    job = Future()
    future = loop.run_in_executor(Given(job), int)
    job.cancel()

    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(future)


def test_a_job_that_ends_after_the_loop_is_closed_is_of_no_account(loop):
    job = Future()
    loop.run_in_executor(Given(job), int)
    loop.close()

    job.set_result(1)


def test_only_a_thread_pool_may_be_the_default_executor(loop):
    with pytest.raises(TypeError, match=r'^executor must be ThreadPoolExe'):
        loop.set_default_executor(Executor())


def test_a_default_executor_that_was_shut_down_takes_no_work(loop):
    loop.run_until_complete(loop.run_in_executor(None, int))
    loop.run_until_complete(loop.shutdown_default_executor())

    with pytest.raises(
        RuntimeError, match=r'^Executor shutdown has been call'
    ):
        loop.run_in_executor(None, int)


def test_shutdown_default_executor_gives_up_after_the_timeout(our_loop):
    # asyncio's own, before 3.12.2, waits for ever.
    loop = our_loop
    goes_on = threading.Event()
    work = loop.run_in_executor(None, goes_on.wait)

    with pytest.warns(RuntimeWarning, match=r'within 0.01 seconds'):
        loop.run_until_complete(loop.shutdown_default_executor(0.01))
    goes_on.set()

    assert loop.run_until_complete(work)


def test_a_slow_lookup_is_logged_in_debug_mode(loop, caplog):
    caplog.set_level(logging.DEBUG, 'asyncio')
    loop.set_debug(True)

    loop.run_until_complete(loop.getaddrinfo('127.0.0.1', 80, family=2))

    messages = [record.getMessage() for record in caplog.records]
    assert any("127.0.0.1:80, family=2" in message for message in messages)


def cancel_all(loop):
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    with warnings.catch_warnings():
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


def test_calls_take_their_arguments_by_keyword(
    loop: asyncio.AbstractEventLoop,
) -> None:
    ran: list[str] = []
    context = contextvars.copy_context()

    loop.call_soon(callback=lambda: ran.append('soon'))
    loop.call_soon_threadsafe(
        callback=lambda: ran.append('threadsafe'), context=context
    )
    loop.call_later(delay=0, callback=lambda: ran.append('later'))
    loop.call_at(when=loop.time(), callback=loop.stop)
    loop.run_forever()

    assert ran == ['soon', 'threadsafe', 'later']


@pytest.mark.parametrize('name', ['call_soon', 'call_later', 'call_at'])
def test_a_call_without_its_callback_is_a_type_error(
    loop: asyncio.AbstractEventLoop, name: str
) -> None:
    with pytest.raises(TypeError, match='callback'):
        getattr(loop, name)(*([1.0] if name != 'call_soon' else []))


class Incomparable:
    def __eq__(self, other):
        raise ValueError

    def __hash__(self):
        return 0

    def __call__(self, future):
        pass


def test_a_callback_that_does_not_compare_keeps_no_result_back(loop):
    async def main():
        future = loop.run_in_executor(None, time.sleep, 0.01)
        future.add_done_callback(Incomparable())
        await asyncio.wait_for(asyncio.wait([future]), 20)
        return future.done()

    assert loop.run_until_complete(main())
