"""Other people's servers and clients, on our loop; asyncio is the oracle."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import uvloop_core
from tests.programs import PYTHON, environment

MAKERS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    'asyncio': asyncio.new_event_loop,
    'uvloop_core': uvloop_core.new_event_loop,
}
DEADLINE = 20.0

Run = Callable[..., Any]


@pytest.fixture(
    scope='session',
    params=[
        'uvloop_core',
        pytest.param('asyncio', marks=pytest.mark.slow),
    ],
)
def loop_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def run(loop_name: str) -> Run:
    """Runs a coroutine, after which nothing may be left in the loop.

    transports=False: of one that uses the loop without any.
    """
    reports: list[dict[str, Any]] = []

    def run(main: Coroutine[Any, Any, Any], transports: bool = True) -> Any:
        with asyncio.Runner(loop_factory=MAKERS[loop_name]) as runner:
            loop = runner.get_loop()
            loop.set_exception_handler(lambda _, told: reports.append(told))
            result = runner.run(asyncio.wait_for(main, DEADLINE))
        if isinstance(loop, uvloop_core.Loop):
            assert loop._handles_opened == loop._handles_closed
            assert loop._handles_opened > 0 or not transports
            assert loop._requests == 0
        assert reports == []
        return result

    return run


class Program:
    """A server as a process of its own, which says when it serves."""

    serves = r'http://[\d.]+:\d+'
    complains = 'Traceback|[Ee]rror|WARN'
    stops = signal.SIGTERM

    def __init__(self, *command: str) -> None:
        self.said = ''
        self.url = ''
        self._started = threading.Event()
        self.process = subprocess.Popen(
            command,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            stdout=subprocess.PIPE,
            text=True,
        )
        # All the time: if the pipe were full it would stop.
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if not self._started.wait(DEADLINE) or not self.url:
            self.process.kill()
            self._reader.join()
            pytest.fail(f'it did not start: {self.said}')

    def _read(self) -> None:
        with self.process as process:
            assert process.stdout is not None
            for line in process.stdout:
                self.said += line
                found = re.search(self.serves, line)
                if found is not None and not self.url:
                    self.url = found[0]
                    self._started.set()
        self._started.set()

    def close(self) -> None:
        """Stops it. It must have had nothing to complain about."""
        self.process.send_signal(self.stops)
        self._reader.join(DEADLINE)
        if self._reader.is_alive():
            self.process.kill()
            self._reader.join()
        # Exit code 0, or by the signal that it has raised again.
        assert self.process.returncode in (0, -self.stops), self.said
        complaint = re.search(self.complains, self.said)
        assert complaint is None, self.said


@pytest.fixture(scope='module')
def start() -> Iterator[Callable[..., Program]]:
    """Starts a program in Python: start('-m', 'module', ...)."""
    with ExitStack() as programs:

        def start(*arguments: str) -> Program:
            program = Program(*PYTHON, *arguments)
            programs.callback(program.close)
            return program

        yield start
