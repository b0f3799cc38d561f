"""libuv's version, and the capsule of a loop's uv_loop_t."""

from __future__ import annotations

import ctypes
import gc
import weakref

import pytest

import uvloop_core
from uvloop_core.libuv import libuv_get_loop_t_ptr, libuv_get_version


def pointer_of(capsule):
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype = ctypes.c_void_p
    get.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return get(capsule, None)


def test_it_points_to_the_loops_own(our_loop):
    other = uvloop_core.new_event_loop()
    pointers = [
        pointer_of(libuv_get_loop_t_ptr(loop))
        for loop in (our_loop, our_loop, other)
    ]
    other.close()

    assert pointers[0] == pointers[1] != pointers[2]


def test_it_holds_the_loop():
    loop = uvloop_core.new_event_loop()
    capsule = libuv_get_loop_t_ptr(loop)
    ref = weakref.ref(loop)
    loop.close()

    del loop
    gc.collect()
    held = ref() is not None
    del capsule
    gc.collect()

    assert held
    assert ref() is None


def test_a_closed_loop_has_none(our_loop):
    our_loop.close()

    with pytest.raises(RuntimeError, match='Event loop is closed'):
        libuv_get_loop_t_ptr(our_loop)


def test_libuv_tells_its_version_as_a_number():
    numbers = map(int, uvloop_core.libuv_version().split('.'))

    assert libuv_get_version() == int.from_bytes(bytes(numbers), 'big')
