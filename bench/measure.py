"""One measurement: a fresh server on one core, the client on another."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .cases import Case
from .peers import ROOT, Peer
from .processes import (
    Cpu,
    Failed,
    Running,
    cpu_of,
    run,
    start,
    wait_until_idle,
)

CLIENT_SOURCE = ROOT / 'bench' / 'client.c'
BUILD = ROOT / 'build' / 'bench'
CLIENT_FLAGS = (
    '-std=c11 -O2 -Wall -Wextra -Wshadow -Wstrict-prototypes'
    ' -Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Wconversion'
).split()
START_SECONDS = 30
PATIENCE_SECONDS = 5
# A fraction of a second: caches, freelists, the adaptive sizes of buffers.
WARM_UP_REQUESTS = 2000


def server_core() -> int | None:
    """Core 0, or none where there is only one to share with the client."""
    return core(0)


def client_core() -> int | None:
    return core(1)


def core(number: int) -> int | None:
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[number] if len(allowed) > 1 else None


def build_client() -> str:
    """The client's program, compiled when it is not there or its source is
    newer. The last step is a rename: others may be running it."""
    BUILD.mkdir(parents=True, exist_ok=True)
    program = BUILD / 'client'
    with open(BUILD / 'lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        newest = CLIENT_SOURCE.stat().st_mtime
        if not program.exists() or program.stat().st_mtime < newest:
            compiler = os.environ.get('CC') or sysconfig.get_config_var('CC')
            fresh = program.with_suffix('.new')
            subprocess.run(
                [
                    *shlex.split(compiler or 'cc')[:1],
                    *CLIENT_FLAGS,
                    *('-o', str(fresh), str(CLIENT_SOURCE)),
                ],
                check=True,
            )
            fresh.replace(program)
    return str(program)


@dataclass
class Server:
    """What is serving, and what it said of itself: port, version, loop."""

    running: Running
    told: dict[str, object]

    @property
    def pid(self) -> int:
        return self.running.pid

    def load(self, client: str, case: Case, *bounds: str) -> dict[str, float]:
        """Runs the client against it; Failed if either does not hold."""
        arguments = {
            '--connections': case.connections,
            '--size': case.size,
        }
        options = [str(word) for pair in arguments.items() for word in pair]
        try:
            output = run(
                [client, '127.0.0.1', str(self.told['port'])]
                + options
                + list(bounds),
                # The client has a deadline of its own, which is shorter.
                seconds=900,
                core=client_core(),
            )
        except Failed as failed:
            text = str(failed).removeprefix('client: ')
            if self.running.wait(0.2):
                text = 'the server died'
            if words := self.running.last_words():
                text += f'; the server says: {words}'
            raise Failed(text) from None
        result: dict[str, float] = json.loads(output)
        return result


@contextmanager
def serving(
    peer: Peer,
    case: Case,
    python: str,
    tool: tuple[str, ...] = (),
    seconds: float = START_SECONDS,
) -> Iterator[Server]:
    """The peer's server, behind the tool's command line if there is one."""
    command = [*tool, *peer.command(case.kind, python)]
    with start(command, peer.environ(), server_core()) as running:
        told = json.loads(running.line(seconds))
        file = Path(str(told.get('file', '')))
        if peer.ours and ROOT not in file.parents:
            raise Failed(f'not ours: it imported {file}')
        yield Server(running, told)


@dataclass(frozen=True)
class Round:
    """What one round showed; the times are of the server, per request."""

    requests: float
    requests_per_second: float
    p50_us: float
    p90_us: float
    p99_us: float
    cpu_us: float  # exact
    user_us: float  # cpu_us, split as the sampled ticks are
    system_us: float
    busy: float  # the server's share of its core
    waiting: float  # the share that other processes took from it


def one_round(
    client: str, peer: Peer, case: Case, python: str, seconds: int
) -> tuple[Round, dict[str, object]]:
    """A fresh server, warmed up, then loaded for so many seconds."""
    patience = ('--patience', str(PATIENCE_SECONDS))
    with serving(peer, case, python) as server:
        warm_up = str(WARM_UP_REQUESTS)
        server.load(client, case, '--requests', warm_up, *patience)
        wait_until_idle(server.pid)
        before = cpu_of(server.pid)
        load = server.load(client, case, '--seconds', str(seconds), *patience)
        wait_until_idle(server.pid)
        used = cpu_of(server.pid) - before
        return summary(load, used), server.told


def summary(load: dict[str, float], used: Cpu) -> Round:
    requests = load['requests']
    cpu_us = used.runtime_ns / 1000 / requests
    ticks = used.user_ticks + used.system_ticks
    user_us = cpu_us * used.user_ticks / ticks if ticks else 0.0
    wall_ns = load['seconds'] * 1e9
    return Round(
        requests=requests,
        requests_per_second=load['requests_per_second'],
        p50_us=load['p50_us'],
        p90_us=load['p90_us'],
        p99_us=load['p99_us'],
        cpu_us=cpu_us,
        user_us=user_us,
        system_us=cpu_us - user_us,
        busy=used.runtime_ns / wall_ns,
        waiting=used.waiting_ns / wall_ns,
    )
