"""python -m bench.slower: does a slow-down of 10 % show?

It measures ours beside uvloop, then a copy of ours whose protocol spins at
each request, and lets bench/compare.py look at both. How much to spin is
measured: instructions first, so that a request takes 10 % more of them; then
CPU time, where 10 % are many more spins, since most of it is the kernel's.
Exit code 1 if either does not show, or if uvloop, which is as before, does.
"""

from __future__ import annotations

import sys

from . import compare, results
from .build import BUILD
from .cases import Case
from .peers import Peer
from .peers.known import UVLOOP, echo
from .plans import Plan
from .results import Row
from .run import measure

SHARE = 0.10
MANY = 1000  # spins, to see what one takes
CASE = Case(
    name='echo',
    title='TCP echo, 1 KB, 10 connections',
    kind='echo',
    instructions=(1000, 3000),
)


def ours(spins: int) -> Peer:
    return Peer('ours', {'echo': ('slowed.py', str(spins))}, ours=True)


def rows_of(spins: int, rounds: int) -> list[Row]:
    peers = [ours(spins), Peer('uvloop', {'echo': echo('uvloop')}, (UVLOOP,))]
    plan = Plan([(CASE, peer) for peer in peers], rounds, 1, (CASE.name,))
    rows = measure(plan)
    for row in rows:
        if why := row.failed or row.unavailable or row.not_counted:
            sys.exit(f'error: {row.peer.name}: {why}')
    return rows


def figure(rows: list[Row], name: str) -> float:
    value = compare.figure_of(rows[0].as_json(), name)
    assert value is not None
    return value


def spins_for(name: str, plain: list[Row], many: list[Row]) -> int:
    """How many take a tenth of what a request takes without."""
    before = figure(plain, name)
    one = (figure(many, name) - before) / MANY
    return max(1, round(SHARE * before / one))


def shows(plain: list[Row], slowed: list[Row], name: str) -> bool:
    a, b = (
        {(row.case.name, row.peer.name): row.as_json() for row in rows}
        for rows in (plain, slowed)
    )
    found = compare.changed(a, b)
    for one in found:
        print(f'  {one}')
    mine = [one for one in found if one.ours and one.figure == name]
    return bool(mine) and not mine[0].better and all(x.ours for x in found)


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    plain, many = rows_of(0, rounds), rows_of(MANY, 1)
    results.save(plain, {}, BUILD / 'slower-0.json')
    code = 0
    for name in ('instructions', 'cpu_us'):
        spins = spins_for(name, plain, many)
        slowed = rows_of(spins, rounds)
        results.save(slowed, {}, BUILD / f'slower-{spins}.json')
        share = figure(slowed, name) / figure(plain, name) - 1
        print(f'{spins} spins a request: {name} {share:+.1%}')
        seen = shows(plain, slowed, name)
        print('it shows' if seen else 'IT DOES NOT SHOW')
        code |= not seen
    return code


if __name__ == '__main__':
    sys.exit(main())
