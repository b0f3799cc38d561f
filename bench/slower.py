"""python -m bench.slower [ROUNDS]: does a slow-down of 10 % show?

It measures ours, a copy of ours whose protocol spins at each request, and
uvloop twice, all interleaved; then bench/compare.py is given ours with the
first uvloop as one result file, and the copy with the second as another. How
much to spin is measured: instructions first, so that a request takes 10 %
more of them; then CPU time, where 10 % are many more spins, since most of it
is the kernel's. Exit code 1 if one of them does not show, or if it shows for
uvloop, too.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from . import compare, results
from .build import BUILD
from .cases import Case
from .peers import Peer
from .peers.known import UVLOOP, echo
from .plans import Plan
from .results import Row
from .run import measure

SHARE = 0.10
MANY = 200  # spins, to see what one takes; the numbers up to 256 are ready
CASE = Case(
    name='echo',
    title='TCP echo, 1 KB, 10 connections',
    kind='echo',
    instructions=(1000, 3000),
)


def ours(name: str, spins: int) -> Peer:
    return Peer(name, {'echo': ('slowed.py', str(spins))}, ours=True)


def uvloop(name: str) -> Peer:
    return Peer(name, {'echo': echo('uvloop')}, (UVLOOP,))


def measured(rounds: int, *peers: Peer) -> list[Row]:
    plan = Plan([(CASE, peer) for peer in peers], rounds, 1, (CASE.name,))
    rows = measure(plan)
    for row in rows:
        if why := row.failed or row.unavailable or row.not_counted:
            sys.exit(f'error: {row.peer.name}: {why}')
    return rows


def figure(row: Row, name: str) -> float:
    value = compare.figure_of(row.as_json(), name)
    assert value is not None
    return value


def spins_for(name: str, rounds: int) -> int:
    """How many take a tenth of what a request takes without."""
    plain, many = measured(rounds, ours('ours', 0), ours('many', MANY))
    before = figure(plain, name)
    one = (figure(many, name) - before) / MANY
    return max(1, round(SHARE * before / one))


def save(rows: list[Row], file: str) -> Path:
    """As a run would have, of `ours` and `uvloop`."""
    names = ('ours', 'uvloop')
    for row, name in zip(rows, names, strict=True):
        row.peer = replace(row.peer, name=name)
    return results.save(rows, {}, BUILD / file)


def shows(name: str, rounds: int) -> bool:
    spins = spins_for(name, rounds)
    plain, slowed, before, after = measured(
        rounds,
        ours('ours', 0),
        ours('slowed', spins),
        uvloop('before'),
        uvloop('after'),
    )
    a = save([plain, before], f'slower-{name}-a.json')
    b = save([slowed, after], f'slower-{name}-b.json')
    share = figure(slowed, name) / figure(plain, name) - 1
    print(f'{spins} spins a request are {share:+.1%} {name}: {a} {b}')
    found = compare.changed(compare.read(a), compare.read(b))
    for one in found:
        print(f'  {one}')
    mine = [one for one in found if one.figure == name]
    seen = [one.peer for one in mine] == ['ours'] and not mine[0].better
    print('it shows' if seen else 'IT DOES NOT SHOW')
    return seen


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    seen = [shows(name, rounds) for name in ('instructions', 'cpu_us')]
    return not all(seen)


if __name__ == '__main__':
    sys.exit(main())
