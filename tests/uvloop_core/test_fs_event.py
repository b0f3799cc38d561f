"""_monitor_fs, which asyncio does not have."""

from __future__ import annotations

import contextvars
import gc
import os
import warnings
import weakref

import pytest

from uvloop_core import _core
from uvloop_core.monitor import FileSystemEvent


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'file'
    path.write_text('spam')
    return path


class Watch:
    """Remembers what it is told."""

    def __init__(self, loop):
        self.loop = loop
        self.told = []

    def __call__(self, name, event):
        self.told.append((name, event))
        self.loop.stop()

    def until_told(self, *expected):
        """Run until all of that was told."""
        self.loop.call_later(30, pytest.fail, 'nothing was told')
        while not set(expected) <= set(self.told):
            self.loop.run_forever()


def spin(loop, turns=5):
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()


def test_a_write_is_told(our_loop, path):
    watch = Watch(our_loop)
    handle = our_loop._monitor_fs(str(path), watch)

    path.write_text('eggs')
    watch.until_told((b'file', FileSystemEvent.CHANGE))
    handle.cancel()

    assert all(type(event) is FileSystemEvent for _, event in watch.told)


def test_a_folder_tells_of_the_files_in_it(our_loop, path):
    watch = Watch(our_loop)
    handle = our_loop._monitor_fs(path.parent, watch)

    path.rename(path.parent / 'other')
    watch.until_told(
        (b'file', FileSystemEvent.RENAME), (b'other', FileSystemEvent.RENAME)
    )
    handle.cancel()


def test_bytes_name_a_path(our_loop, path):
    watch = Watch(our_loop)
    handle = our_loop._monitor_fs(os.fsencode(path), watch)

    path.unlink()
    watch.until_told((b'file', FileSystemEvent.RENAME))
    handle.cancel()


def test_cancel_ends_it(our_loop, path):
    watch = Watch(our_loop)
    handle = our_loop._monitor_fs(path, watch)
    before = handle.cancelled()

    handle.cancel()
    handle.cancel()
    path.write_text('eggs')
    spin(our_loop)

    assert (before, handle.cancelled()) == (False, True)
    assert watch.told == []


def test_nothing_is_told_after_cancel(our_loop, path):
    told = []

    def watch(name, event):
        told.append(event)
        handle.cancel()
        our_loop.stop()

    handle = our_loop._monitor_fs(path, watch)
    for _ in range(3):
        with path.open('a') as file:
            file.write('eggs')
    our_loop.run_forever()
    spin(our_loop)

    assert told == [FileSystemEvent.CHANGE]


def test_a_callback_may_change_the_file(our_loop, path):
    told = []

    def watch(name, event):
        told.append(event)
        path.write_text('more')
        if len(told) == 100:
            our_loop.stop()

    handle = our_loop._monitor_fs(path, watch)
    path.write_text('eggs')
    our_loop.run_forever()
    handle.cancel()

    assert len(told) >= 100


def test_two_watch_one_file(our_loop, path):
    one, two = Watch(our_loop), Watch(our_loop)
    handles = [our_loop._monitor_fs(path, watch) for watch in (one, two)]

    path.write_text('eggs')
    one.until_told((b'file', FileSystemEvent.CHANGE))
    handles[0].cancel()
    count = len(one.told)
    path.write_text('eggs')
    two.until_told((b'file', FileSystemEvent.CHANGE))
    spin(our_loop)
    handles[1].cancel()

    assert len(one.told) == count < len(two.told)


def test_a_callback_raises(our_loop, path, reports):
    def watch(name, event):
        our_loop.stop()
        raise ZeroDivisionError

    handle = our_loop._monitor_fs(path, watch)
    path.unlink()
    our_loop.run_forever()
    spin(our_loop)
    handle.cancel()

    told = reports.take()
    assert told
    assert all(
        isinstance(each['exception'], ZeroDivisionError) for each in told
    )


def test_it_is_called_in_the_context_it_was_made_in(our_loop, path):
    variable = contextvars.ContextVar('variable', default='')
    seen = []

    def watch(name, event):
        seen.append(variable.get())
        our_loop.stop()

    context = contextvars.copy_context()
    context.run(variable.set, 'made')
    handle = context.run(our_loop._monitor_fs, path, watch)
    path.unlink()
    our_loop.run_forever()
    handle.cancel()

    assert set(seen) == {'made'}


def test_a_path_that_is_not_there(our_loop, tmp_path):
    path = str(tmp_path / 'nothing')

    with pytest.raises(FileNotFoundError) as caught:
        our_loop._monitor_fs(path, print)

    assert caught.value.filename == path


@pytest.mark.parametrize('path', [5, None, 'a\0b'])
def test_what_is_no_path(our_loop, path):
    with pytest.raises((TypeError, ValueError)):
        our_loop._monitor_fs(path, print)


def test_wrong_arguments_of_the_c_function(our_loop, path):
    for args in ((), (None, path, print), (our_loop, path, None)):
        with pytest.raises(TypeError):
            _core.monitor_fs(*args)


def test_debug_mode_checks_the_callback(our_loop, path):
    async def watch(name, event):
        pass

    our_loop.set_debug(True)

    with pytest.raises(TypeError, match='coroutines cannot be used'):
        our_loop._monitor_fs(path, watch)


def test_of_a_closed_loop(our_loop, path):
    our_loop.close()

    with pytest.raises(RuntimeError, match='Event loop is closed'):
        our_loop._monitor_fs(path, print)


def test_close_of_the_loop_ends_it_without_a_warning(our_loop, path):
    handle = our_loop._monitor_fs(path, print)
    path.unlink()

    with warnings.catch_warnings():
        warnings.simplefilter('error')
        our_loop.close()

    assert handle.cancelled()
    handle.cancel()


def test_it_is_held_by_the_loop_until_it_is_cancelled(our_loop, path):
    watch = Watch(our_loop)
    ref = weakref.ref(our_loop._monitor_fs(path, watch))
    gc.collect()

    ref().cancel()
    spin(our_loop)
    gc.collect()

    assert ref() is None
