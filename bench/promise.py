"""What ours promises, row by row, and whether a result file holds it.

A goal compares one figure of ours with the best of some peers in the same
case: the ratio must stay within the limit. Where the program itself tells a
ratio, there is no peer. The names are those of bench/cases and bench/peers;
tests/bench/test_promise.py sees that they exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TODAYS = ('rloop', 'rsloop', 'zuvloop')
LOOPS = ('uvloop', *TODAYS)
ENOUGH = 10_000  # samples, for a p99
P99 = 1.10
# Whose p99 is held to whose, in every case under a load.
PAIRS = {
    'ours': 'uvloop',
    'ours streams': 'uvloop streams',
    'ours sock': 'uvloop sock',
    'ours classic': 'uvloop classic',
    'ours batch': 'uvloop classic',
    'aiohttp ours': 'aiohttp uvloop',
    'uvicorn ours': 'uvicorn uvloop',
}


@dataclass(frozen=True)
class Goal:
    """`figure` is a median of the row's, `least`, or `instructions`."""

    work: str
    case: str
    figure: str
    limit: float
    against: tuple[str, ...]
    ours: str = 'ours'
    at_least: bool = False


def goals(
    work: str,
    cases: list[str],
    figure: str,
    limit: float,
    *against: str,
    **more: Any,
) -> list[Goal]:
    return [Goal(work, case, figure, limit, against, **more) for case in cases]


def echo(*sizes: str) -> list[str]:
    return [f'echo-{end}-{size}' for end in ('tcp', 'unix') for size in sizes]


def operations(
    names: str, limit: float, *against: str, **more: Any
) -> list[Goal]:
    return [
        Goal('one operation', case, 'least', limit, against, **more)
        for case in names.split()
    ]


SMALL = echo('900', '1k', '10k')
HTTP = ['http-short-1k', 'http-browser-1k']
HTTP_10K = ['http-short-10k', 'http-browser-10k']
RATE = 'requests_per_second'

GOALS: list[Goal] = [
    *goals('protocol echo', SMALL, 'instructions', 0.35, 'uvloop'),
    *goals('protocol echo', SMALL, 'instructions', 0.65, *TODAYS),
    *goals('protocol echo', echo('1k'), 'cpu_us', 1.25, 'C libuv'),
    *goals('protocol echo', echo('10k'), 'cpu_us', 1.15, 'C libuv'),
    *goals('protocol echo', echo('100k'), 'cpu_us', 0.88, 'uvloop'),
    *goals('protocol echo', echo('100k'), 'cpu_us', 1.12, 'C libuv'),
    *goals('protocol echo', echo('100k'), 'cpu_us', 1.00, 'rloop'),
    *goals(
        *('streams echo', ['echo-tcp-1k', 'echo-tcp-10k'], 'cpu_us', 0.85),
        'uvloop streams',
        ours='ours streams',
    ),
    *goals(
        *('streams echo', ['echo-tcp-100k'], 'cpu_us', 0.60),
        'uvloop streams',
        ours='ours streams',
    ),
    *goals(
        *('streams echo', ['echo-tcp-100k'], 'cpu_us', 0.90),
        'asyncio streams',
        ours='ours streams',
    ),
    *goals(
        *('sock_* echo', ['echo-tcp-1k'], 'cpu_us', 0.55),
        'uvloop sock',
        ours='ours sock',
    ),
    *goals(
        *('sock_* echo', ['echo-tcp-1k'], 'cpu_us', 0.85),
        'rloop sock',
        ours='ours sock',
    ),
    *operations('call-soon-chain', 0.85, *LOOPS),
    *operations('call-soon-500', 0.70, *LOOPS),
    *operations('call-soon-200000', 1.00, *LOOPS),
    *operations('threadsafe-other threadsafe-same', 1.05, *LOOPS),
    *operations('sleep-0 gather', 0.92, *LOOPS),
    *operations('wait-for', 0.75, *LOOPS),
    *operations('call-later-cancel call-later-fire', 0.55, *LOOPS),
    *operations(
        'executor connect udp-ping-pong udp-one-way pipe getaddrinfo',
        *(0.85, *LOOPS, 'asyncio'),
    ),
    *operations('subprocess', 1.05, 'asyncio'),
    *goals(
        *('HTTP, httptools as it was', HTTP, 'instructions', 0.72),
        'uvloop classic',
        ours='ours classic',
    ),
    *goals(
        *('HTTP, httptools as it was', [*HTTP, *HTTP_10K], RATE, 2.0),
        'Node.js',
        ours='ours classic',
        at_least=True,
    ),
    *goals(
        *('HTTP, httptools as it was', [*HTTP, *HTTP_10K], RATE, 1.5),
        'Go',
        ours='ours classic',
        at_least=True,
    ),
    *goals(
        *('HTTP, batch interface', HTTP, 'instructions', 0.44),
        'uvloop classic',
        ours='ours batch',
    ),
    *goals(
        *('uvicorn', HTTP, 'cpu_us', 0.90),
        'uvicorn uvloop',
        ours='uvicorn ours',
    ),
    *operations('memory-tcp', 1.00, 'uvloop'),
    *operations('accept-cpu', 0.75, 'uvloop'),
    *operations('idle-10000 timers-100000', 1.05),
]


@dataclass(frozen=True)
class Verdict:
    """`ratio` is None where it could not be measured, and `why` says it."""

    goal: Goal
    ours: float | None
    best: float | None
    peer: str
    ratio: float | None
    why: str

    @property
    def holds(self) -> bool:
        if self.ratio is None:
            return False
        if self.goal.at_least:
            return self.ratio >= self.goal.limit
        return self.ratio <= self.goal.limit


def figure_of(row: dict[str, Any], figure: str) -> float | None:
    if figure == 'instructions':
        count: float | None = row['instructions']
        return None if row['failed'] else count
    median: dict[str, float] = row['median']
    return median.get(figure)


def why_not(row: dict[str, Any] | None) -> str:
    if row is None:
        return 'not in this run'
    reasons = (row['failed'], row['unavailable'], row['not_counted'])
    return next(filter(None, reasons), 'not measured')


def judge(goal: Goal, rows: dict[tuple[str, str], dict[str, Any]]) -> Verdict:
    """`rows` are those of a result file, by case and peer."""
    row = rows.get((goal.case, goal.ours))
    ours = figure_of(row, goal.figure) if row else None
    if ours is None:
        why = f'{goal.ours}: {why_not(row)}'
        return Verdict(goal, None, None, '', None, why)
    if not goal.against:
        return Verdict(goal, ours, 1, 'without', ours, '')
    found, missing = [], dict[str, list[str]]()
    for peer in goal.against:
        row = rows.get((goal.case, peer))
        figure = figure_of(row, goal.figure) if row else None
        if figure is None:
            missing.setdefault(why_not(row), []).append(peer)
        else:
            found.append((figure, peer))
    why = '; '.join(
        f'{", ".join(peers)}: {reason}' for reason, peers in missing.items()
    )
    if not found:
        return Verdict(goal, ours, None, '', None, why)
    best, peer = max(found) if goal.at_least else min(found)
    return Verdict(goal, ours, best, peer, ours / best, why)


def all_goals(
    rows: dict[tuple[str, str], dict[str, Any]],
) -> Iterator[Goal]:
    """The written ones, and p99 in each case that has samples enough."""
    yield from GOALS
    for case, peer in rows:
        if other := PAIRS.get(peer):
            both = [rows[case, peer], rows.get((case, other))]
            if all(row and samples(row) >= ENOUGH for row in both):
                yield Goal('latency', case, 'p99_us', P99, (other,), peer)


def samples(row: dict[str, Any]) -> float:
    return float(sum(one.get('requests', 0) for one in row['rounds']))


def verdicts(document: dict[str, Any]) -> list[Verdict]:
    rows = {(row['case'], row['peer']): row for row in document['rows']}
    return [judge(goal, rows) for goal in all_goals(rows)]
