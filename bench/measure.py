"""One measurement: a fresh program on one core, the load on another."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .build import ROOT
from .cases import Case
from .loads import check_answers, client_load, wrk_load
from .peers import Peer, Unavailable
from .processes import (
    Cpu,
    Failed,
    Running,
    cpu_of,
    run,
    server_core,
    start,
    wait_until_idle,
)

START_SECONDS = 30
PATIENCE_SECONDS = 5
SELF_SECONDS = 120
# A fraction of a second: caches, freelists, the adaptive sizes of buffers.
WARM_UP_REQUESTS = 2000
WARM_UP_SECONDS = 1  # by wrk, which knows no number
FEW = 1000  # requests of a round that shows that it works
CHECKED = 100  # answers before wrk, and as many after it

# What one round showed, by name. Under a load, of the server, per request:
#   requests, requests_per_second, p50_us, p90_us, p99_us
#   cpu_us      exact
#   user_us, system_us   cpu_us, split as the sampled ticks are
#   busy        its share of its core
#   waiting     the share that other processes took from it
# Of a program that measures itself, per operation: value, which is the figure
# that the case is about, and all that it printed.
Round = dict[str, float]


@dataclass
class Server:
    """What is serving, and what it said of itself: port, version, loop."""

    running: Running
    told: dict[str, object]
    case: Case
    client: str

    @property
    def pid(self) -> int:
        return self.running.pid

    @property
    def port(self) -> int:
        return int(str(self.told['port']))

    def ask(self, requests: int, patience: float) -> None:
        """So many requests, every answer compared."""
        with self.explained():
            if self.case.load == 'wrk':
                check_answers(self.case, self.port, requests, patience)
            else:
                self.by_client('--requests', requests, patience)

    def load(self, seconds: int, patience: float) -> dict[str, float]:
        """The figures of so many seconds, or of a few requests for none."""
        with self.explained():
            if self.case.load == 'wrk':
                return wrk_load(self.case, self.port, max(seconds, 1))
            if not seconds:
                return self.by_client('--requests', FEW, patience)
            return self.by_client('--seconds', seconds, patience)

    def by_client(
        self, bound: str, number: int, patience: float
    ) -> dict[str, float]:
        bounds = (bound, str(number), '--patience', f'{patience:g}')
        return client_load(self.client, self.case, self.told, *bounds)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Adds to a failure what the server has to say of it."""
        try:
            yield
        except Failed as failed:
            text = str(failed)
            if self.running.wait(0.2):
                text = 'the server died'
            if words := self.running.last_words():
                text += f'; the server says: {words}'
            raise Failed(text) from None


@contextmanager
def endpoint_of(case: Case) -> Iterator[str]:
    if case.endpoint == 'unix':
        # Not in the checkout: the name of a socket is 107 bytes at most.
        with tempfile.TemporaryDirectory(prefix='bench-') as folder:
            yield f'unix:{folder}/socket'
    else:
        yield case.endpoint


@contextmanager
def serving(
    client: str,
    peer: Peer,
    case: Case,
    prefix: list[str],
    tool: tuple[str, ...] = (),
    seconds: float = START_SECONDS,
) -> Iterator[Server]:
    """The peer's server, behind the tool's command line if there is one: to
    count, any core will do."""
    with endpoint_of(case) as endpoint:
        command = [*tool, *peer.command(prefix, case.kind), endpoint]
        core = None if tool else server_core()
        with start(command, peer.environ(), core) as running:
            told = parse_told(running.line(seconds), peer)
            yield Server(running, told, case, client)


def parse_told(line: str, peer: Peer) -> dict[str, object]:
    try:
        told = json.loads(line)
    except ValueError:
        raise Failed(f'it said {line.strip()!r}, which is no JSON') from None
    if why := told.get('unavailable'):
        raise Unavailable(str(why))
    if peer.ours and not str(told.get('file', '')).startswith(f'{ROOT}/'):
        raise Failed(f'not ours: it imported {told.get("file")}')
    return dict(told)


def one_round(
    client: str, peer: Peer, case: Case, prefix: list[str], seconds: int
) -> tuple[Round, dict[str, object]]:
    """What it showed, and what the program said of itself.

    No seconds: as short as it can be, to show that it works.
    """
    if case.load == 'self':
        return self_timed(peer, case, prefix, seconds)
    with serving(client, peer, case, prefix) as server:
        if seconds:
            warm_up(server)
        wait_until_idle(server.pid)
        before = cpu_of(server.pid)
        load = server.load(seconds, PATIENCE_SECONDS)
        wait_until_idle(server.pid)
        used = cpu_of(server.pid) - before
        if case.load == 'wrk':
            server.ask(CHECKED, PATIENCE_SECONDS)
        return summary(load, used), server.told


def warm_up(server: Server) -> None:
    if server.case.load == 'wrk':
        server.ask(CHECKED, PATIENCE_SECONDS)
        server.load(WARM_UP_SECONDS, PATIENCE_SECONDS)
    else:
        server.ask(WARM_UP_REQUESTS, PATIENCE_SECONDS)


def self_timed(
    peer: Peer, case: Case, prefix: list[str], seconds: int
) -> tuple[Round, dict[str, object]]:
    environ = peer.environ()
    if not seconds:
        environ['BENCH_SECONDS'] = '0.01'  # of its tries
    command = [*peer.command(prefix, case.kind), *case.arguments]
    output = run(command, SELF_SECONDS, environ, server_core())
    told = parse_told(output, peer)
    if why := told.get('unavailable'):
        raise Unavailable(str(why))
    figures = {
        name: float(value)
        for name, value in told.items()
        if isinstance(value, int | float)
    }
    about = {name: told[name] for name in told if name not in figures}
    if not figures.get(case.figure, 0) > 0:
        raise Failed(f'it said {output.strip()!r}, without {case.figure}')
    return {'value': figures[case.figure], **figures}, about


def summary(load: dict[str, float], used: Cpu) -> Round:
    requests = load['requests']
    cpu_us = used.runtime_ns / 1000 / requests
    ticks = used.user_ticks + used.system_ticks
    user_us = cpu_us * used.user_ticks / ticks if ticks else 0.0
    wall_ns = load['seconds'] * 1e9
    names = ('requests', 'requests_per_second', 'p50_us', 'p90_us', 'p99_us')
    return {
        **{name: load[name] for name in names},
        'cpu_us': cpu_us,
        'user_us': user_us,
        'system_us': cpu_us - user_us,
        'busy': used.runtime_ns / wall_ns,
        'waiting': used.waiting_ns / wall_ns,
    }
