"""Processes that are pinned to a core and never outlive this one."""

from __future__ import annotations

import ctypes
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

PR_SET_PDEATHSIG = 1
CPUCLOCK_SCHED = 2
# TypeError: ..., ERROR: ..., error: ..., asyncio.exceptions.TimeoutError
ERROR = re.compile(r'[\w.]*(Error|Exception|error|ERROR)(:|$)')
LIBC = ctypes.CDLL(None, use_errno=True)


RUNNING: set[subprocess.Popen[str]] = set()


class Failed(Exception):
    """A process did not do its work; the text is one line that says why."""


def server_core() -> int | None:
    """Core 0, or none where there is only one to share with the client."""
    return core(0)


def client_core() -> int | None:
    return core(1)


def core(number: int) -> int | None:
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[number] if len(allowed) > 1 else None


def tie_to_parent(core: int | None) -> Callable[[], None]:
    """What a child does before exec: so not even SIGKILL of us leaves it."""
    parent = os.getpid()

    def tie() -> None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # we were killed before that call
        if core is not None:
            os.sched_setaffinity(0, {core})

    return tie


@dataclass
class Running:
    """A child in a process group of its own, and what it says on stderr."""

    popen: subprocess.Popen[str]
    errors: IO[str]

    @property
    def pid(self) -> int:
        return self.popen.pid

    def last_words(self) -> str:
        """The last line on stderr that names an error, else the last one:
        there programs say why, and some go on with a hint, or a version."""
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        named = [line for line in lines if ERROR.match(line)]
        return (named or lines or [''])[-1]

    def why(self) -> str:
        code = self.popen.poll()
        return self.last_words() or f'silently, with exit code {code}'

    def line(self, seconds: float) -> str:
        """The first line on its stdout."""
        assert self.popen.stdout is not None
        ready = select.select([self.popen.stdout], [], [], seconds)[0]
        line = self.popen.stdout.readline() if ready else ''
        if not line:
            if ready:
                # It is ending: its exit code comes after the end of stdout.
                self.wait(1.0)
            reason = self.why() if ready else f'silent for {seconds:g} s'
            raise Failed(f'it did not start: {reason}')
        return line

    def output(self, seconds: float) -> str:
        """All of its stdout, once it has ended with exit code 0."""
        try:
            output, _ = self.popen.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f'it took more than {seconds:g} s') from None
        if self.popen.returncode:
            raise Failed(self.why())
        return output

    def wait(self, seconds: float) -> bool:
        """Whether it has ended by then."""
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def terminate(self, seconds: float) -> None:
        """Ends it politely: a tool around it may have something to write."""
        self.popen.send_signal(signal.SIGTERM)
        if not self.wait(seconds):
            raise Failed(f'it did not end in {seconds:g} s')


def clean_environ() -> dict[str, str]:
    """Ours, without what would lead a Python astray or slow a program."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith('PYTHON')
        and name not in ('LD_PRELOAD', 'VIRTUAL_ENV')
    }


@contextmanager
def start(
    command: list[str],
    environ: Mapping[str, str] | None = None,
    core: int | None = None,
) -> Iterator[Running]:
    """Runs the command; at the end its whole process group is killed.

    `environ` is added to a clean one.
    """
    with tempfile.TemporaryFile('w+', errors='replace') as errors:
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors='replace',
            env={**clean_environ(), **(environ or {})},
            start_new_session=True,
            preexec_fn=tie_to_parent(core),
        )
        RUNNING.add(popen)
        try:
            yield Running(popen, errors)
        finally:
            RUNNING.discard(popen)
            kill_group(popen)
            if popen.stdout:
                popen.stdout.close()


def end_all() -> None:
    """Of every thread: what waits for one of them is told that it failed."""
    for popen in RUNNING.copy():
        popen.send_signal(signal.SIGKILL)


def kill_group(popen: subprocess.Popen[str]) -> None:
    """Until it is reaped its id is still its group's, and nobody else's."""
    if popen.returncode is None:
        os.killpg(popen.pid, signal.SIGKILL)
        popen.wait()


def run(
    command: list[str],
    seconds: float,
    environ: Mapping[str, str] | None = None,
    core: int | None = None,
) -> str:
    """Runs it to its end and returns its stdout."""
    with start(command, environ, core) as running:
        return running.output(seconds)


@dataclass(frozen=True)
class Cpu:
    """What a process has used so far.

    The ticks are sampled (100 a second), so their split into user and system
    is rough. The runtime is exact, and that of threads that have ended is in
    it. Waiting is the time that it was ready to run and another process had
    its core, over the threads that are alive.
    """

    user_ticks: int
    system_ticks: int
    runtime_ns: int
    waiting_ns: int

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(
            self.user_ticks - other.user_ticks,
            self.system_ticks - other.system_ticks,
            self.runtime_ns - other.runtime_ns,
            self.waiting_ns - other.waiting_ns,
        )


def cpu_clock(pid: int) -> int:
    """What clock_getcpuclockid(3) returns."""
    return ~pid << 3 | CPUCLOCK_SCHED


def cpu_of(pid: int) -> Cpu:
    with open(f'/proc/{pid}/stat') as file:
        # The name, in parentheses, may hold anything.
        fields = file.read().rpartition(')')[2].split()
    waiting = 0
    for thread in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{thread}/schedstat') as file:
            waiting += int(file.read().split()[1])
    runtime = time.clock_gettime_ns(cpu_clock(pid))
    return Cpu(int(fields[11]), int(fields[12]), runtime, waiting)


def wait_until_idle(pid: int, seconds: float = 2.0) -> None:
    """Returns when the process has not run for 20 ms, or time is over.

    While it runs, the scheduler's account of it lags by up to a tick.
    """
    deadline = time.monotonic() + seconds
    before = cpu_of(pid).runtime_ns
    while time.monotonic() < deadline:
        time.sleep(0.02)
        now = cpu_of(pid).runtime_ns
        if now == before:
            return
        before = now
