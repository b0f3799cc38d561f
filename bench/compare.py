"""python -m bench.compare A B: what changed beyond the noise.

For each row that scored in both files, and each figure that decides
something, B's median is compared with A's. It has changed if

- it differs by more than the figure's floor, which is what two runs of the
  same code on one machine are apart (docs/performance.md has the numbers), and
- the rounds tell the same: the middle halves of A's and of B's rounds do not
  overlap. So one disturbed round decides nothing, neither way.

Instructions are counted once, so for them the floor alone decides.

What the machine did between the files meets all rows alike; a row of a peer
that nobody touched shows how much that was. So the changes of the peers are
listed too, and a change of ours that most peers of the case share is marked:
then it is the machine, or the interpreter.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

# The share that a figure may move by itself, and what is said of it.
FLOORS = {
    'instructions': 0.02,
    'cpu_us': 0.05,
    'least': 0.05,
    'requests_per_second': 0.05,
    'p99_us': 0.20,
}
NAMES = {
    'instructions': 'instructions',
    'cpu_us': 'CPU us',
    'least': 'least time',
    'requests_per_second': 'requests/s',
    'p99_us': 'p99 us',
}
MORE_IS_BETTER = ('requests_per_second',)
ROUNDS = {'least': 'value'}  # what a round calls it, if not the same

Rows = dict[tuple[str, str], dict[str, Any]]


@dataclass(frozen=True)
class Change:
    """Of one figure of one row; `share` is 0.10 for 10 % more."""

    case: str
    peer: str
    ours: bool
    figure: str
    before: float
    after: float
    shared: bool = False  # by most peers of the case

    @property
    def share(self) -> float:
        return self.after / self.before - 1

    @property
    def better(self) -> bool:
        return (self.share > 0) == (self.figure in MORE_IS_BETTER)

    def __str__(self) -> str:
        text = (
            f'{self.case}, {self.peer}: {NAMES[self.figure]}'
            f' {self.before:,.4g} -> {self.after:,.4g}'
            f' ({self.share:+.1%}, {"better" if self.better else "worse"})'
        )
        return text + (', as most peers' if self.shared else '')


def read(path: Path) -> Rows:
    document = json.loads(path.read_text())
    return {(row['case'], row['peer']): row for row in document['rows']}


def figure_of(row: dict[str, Any], figure: str) -> float | None:
    if figure == 'instructions':
        count: float | None = row['instructions']
        return count
    value: float | None = row['median'].get(figure)
    return value


def middle_half(numbers: list[float]) -> tuple[float, float]:
    """All of them, if they are less than four."""
    if len(numbers) < 4:
        return min(numbers), max(numbers)
    first, _, third = quantiles(numbers, method='inclusive')
    return first, third


def rounds_agree(
    before: dict[str, Any], after: dict[str, Any], figure: str
) -> bool:
    """Whether the rounds of both overlap, so that they tell no change."""
    name = ROUNDS.get(figure, figure)
    a, b = (
        middle_half([one[name] for one in row['rounds']])
        for row in (before, after)
    )
    return a[0] <= b[1] and b[0] <= a[1]


def moves(a: Rows, b: Rows, figure: str) -> Iterator[Change]:
    """Every row that has the figure in both files, changed or not."""
    for key, before in a.items():
        after = b.get(key)
        if not after or not scores(before) or not scores(after):
            continue
        old, new = figure_of(before, figure), figure_of(after, figure)
        if old and new:
            yield Change(*key, before['ours'], figure, old, new)


def scores(row: dict[str, Any]) -> bool:
    return not row['failed'] and not row['unavailable']


def changed(a: Rows, b: Rows) -> list[Change]:
    """What is beyond the noise, in the order of the files."""
    found = []
    for figure, floor in FLOORS.items():
        every = list(moves(a, b, figure))
        for move in every:
            key = move.case, move.peer
            if abs(move.share) <= floor:
                continue
            if figure != 'instructions' and rounds_agree(
                a[key], b[key], figure
            ):
                continue
            found.append(with_shared(move, every))
    return found


def with_shared(move: Change, every: list[Change]) -> Change:
    """Marks a change of ours that the peers of its case made, too."""
    peers = [
        other.share
        for other in every
        if other.case == move.case and not other.ours
    ]
    shared = (
        move.ours
        and bool(peers)
        and median(peers) * move.share > 0
        and abs(median(peers)) > abs(move.share) / 2
    )
    return replace(move, shared=shared)


def states(a: Rows, b: Rows) -> Iterator[str]:
    """Rows that score in one file only, and why."""
    for key in sorted({*a, *b}):
        name = f'{key[0]}, {key[1]}'
        if key not in a or key not in b:
            yield f'{name}: only in {"B" if key in b else "A"}'
            continue
        for side, row, other in (('A', a[key], b[key]), ('B', b[key], a[key])):
            if not scores(row) and scores(other):
                why = row['failed'] or row['unavailable']
                yield f'{name}: does not score in {side}: {why}'


def main() -> int:
    parser = argparse.ArgumentParser(prog='make compare', description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument('a', type=Path, help='a result file')
    parser.add_argument('b', type=Path, help='a later one')
    given = parser.parse_args()
    try:
        a, b = read(given.a), read(given.b)
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f'error: not a result file: {error!r}')
    found = changed(a, b)
    for ours, title in ((True, 'ours'), (False, 'the peers')):
        lines = [str(one) for one in found if one.ours is ours]
        print(f'{title}: {len(lines)} changed beyond the noise')
        for line in lines:
            print(f'  {line}')
    for line in states(a, b):
        print(line)
    return 0


if __name__ == '__main__':
    sys.exit(main())
