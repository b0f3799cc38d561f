"""What ours promises, row by row, and whether a result file holds it.

A goal compares one figure of ours with the best of some peers, in the same
case, or in another one (`beside`): the ratio must stay within the limit. The
names are those of bench/cases and bench/peers; tests/bench/test_promise.py
sees that they exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TODAYS = ('rloop', 'rsloop', 'zuvloop')
LOOPS = ('uvloop', *TODAYS)
ENDS = ('tcp', 'unix')
ENOUGH = 10_000  # samples, for a p99
P99 = 1.10
# Whose p99 is held to whose, in every case under a load.
PAIRS = {
    'ours': 'uvloop',
    'ours streams': 'uvloop streams',
    'ours sock': 'uvloop sock',
    'ours classic': 'uvloop classic',
    'ours batch': 'uvloop classic',
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
    beside: str = ''  # the case of the peers, if it is another one


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
    return [f'echo-{end}-{size}' for end in ENDS for size in sizes]


HTTP = ['http-short-1k', 'http-browser-1k']
HTTP_ALL = [*HTTP, 'http-short-10k', 'http-browser-10k']

GOALS: list[Goal] = [
    *goals(
        'protocol echo', echo('900', '1k', '10k'), 'instructions', 0.35,
        'uvloop',
    ),
    *goals(
        'protocol echo', echo('900', '1k', '10k'), 'instructions', 0.65,
        *TODAYS,
    ),
    *goals('protocol echo', echo('1k'), 'cpu_us', 1.25, 'C libuv'),
    *goals('protocol echo', echo('10k'), 'cpu_us', 1.15, 'C libuv'),
    *goals('protocol echo', echo('100k'), 'cpu_us', 0.88, 'uvloop'),
    *goals('protocol echo', echo('100k'), 'cpu_us', 1.12, 'C libuv'),
    *goals('protocol echo', echo('100k'), 'cpu_us', 1.00, 'rloop'),
    *goals(
        'streams echo', ['echo-tcp-1k', 'echo-tcp-10k'], 'cpu_us', 0.85,
        'uvloop streams', ours='ours streams',
    ),
    *goals(
        'streams echo', ['echo-tcp-100k'], 'cpu_us', 0.60,
        'uvloop streams', ours='ours streams',
    ),
    *goals(
        'streams echo', ['echo-tcp-100k'], 'cpu_us', 0.90,
        'asyncio streams', ours='ours streams',
    ),
    *goals(
        'sock_* echo', ['echo-tcp-1k'], 'cpu_us', 0.55,
        'uvloop sock', ours='ours sock',
    ),
    *goals(
        'sock_* echo', ['echo-tcp-1k'], 'cpu_us', 0.85,
        'rloop sock', ours='ours sock',
    ),
    *goals('call_soon chain', ['call-soon-chain'], 'least', 0.85, *LOOPS),
    *goals('call_soon, batch', ['call-soon-500'], 'least', 0.70, *LOOPS),
]  # fmt: skip


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
    case = goal.beside or goal.case
    found, missing = [], []
    for peer in goal.against:
        row = rows.get((case, peer))
        figure = figure_of(row, goal.figure) if row else None
        if figure is None:
            missing.append(f'{peer}: {why_not(row)}')
        else:
            found.append((figure, peer))
    why = '; '.join(missing)
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
                yield Goal('p99', case, 'p99_us', P99, (other,), ours=peer)


def samples(row: dict[str, Any]) -> float:
    return float(sum(one.get('requests', 0) for one in row['rounds']))


def verdicts(document: dict[str, Any]) -> list[Verdict]:
    rows = {(row['case'], row['peer']): row for row in document['rows']}
    return [judge(goal, rows) for goal in all_goals(rows)]
