"""bench/processes.py: what a process has used."""

from __future__ import annotations

import os
import threading
import time

from bench.processes import cpu_of


def spin(nanoseconds: int) -> None:
    until = time.thread_time_ns() + nanoseconds
    while time.thread_time_ns() < until:
        pass


def test_the_cpu_time_is_that_of_the_work():
    before = cpu_of(os.getpid())

    spin(50_000_000)

    used = cpu_of(os.getpid()) - before
    assert used.runtime_ns >= 50_000_000


def test_the_work_of_a_thread_that_has_ended_is_counted():
    thread = threading.Thread(target=spin, args=(50_000_000,))
    before = cpu_of(os.getpid())

    thread.start()
    thread.join()

    used = cpu_of(os.getpid()) - before
    assert used.runtime_ns >= 50_000_000
