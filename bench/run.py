"""python -m bench.run: measures ours beside its peers; `make bench`.

The rounds of all peers are interleaved in one run (A B C A B C ...), so that
what the machine does meanwhile meets all of them alike.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from . import results
from .callgrind import instructions_per_request
from .cases import Case, all_cases
from .loads import build_client
from .measure import one_round
from .partial import Partial
from .peers import Peer, Unavailable, all_peers
from .processes import Failed
from .progress import Progress
from .results import Row

INTERRUPTED = 130  # what a shell reports for SIGINT
BUSY = 0.5  # the load average above which times are worth little


@dataclass(frozen=True)
class Plan:
    """What to do, and for how long."""

    cases: list[Case]
    peers: list[Peer]
    rounds: int
    seconds: int
    count: bool
    quick: bool = False

    def wants(self, case: Case, peer: Peer) -> bool:
        return case.kind in peer.servers

    def is_counted(self, row: Row) -> bool:
        """Counting is slow: a quick run, which proves that it works, does
        ours."""
        wanted = self.count and row.case.instructions is not None
        return wanted and (row.peer.ours or not self.quick)


def measure(plan: Plan, partial: Partial | None = None) -> list[Row]:
    """All rows of the plan; one that fails or cannot run stops no other.

    With `partial`, what it holds is not measured again, and what is measured
    goes there at once.
    """
    rows = [
        Row(case, peer)
        for case in plan.cases
        for peer in plan.peers
        if plan.wants(case, peer)
    ]
    if partial and partial.load(rows):
        print(f'going on with {partial.path}', file=sys.stderr)
    counted = [row for row in rows if plan.is_counted(row)]
    peers = [peer for peer in plan.peers if any(r.peer is peer for r in rows)]
    done = sum(len(row.rounds) for row in rows)
    done += sum(row.instructions is not None for row in counted)
    steps = len(peers) + len(rows) * plan.rounds + len(counted)
    progress = Progress(steps, done)
    client = build_client()
    prefixes = install(peers, rows, progress)

    def take_round(row: Row) -> None:
        one, row.told = one_round(
            client, row.peer, row.case, prefixes[row.peer.name], plan.seconds
        )
        row.rounds.append(one)

    def take_count(row: Row) -> None:
        assert row.case.instructions
        row.instructions = instructions_per_request(
            client,
            row.peer,
            row.case,
            prefixes[row.peer.name],
            row.case.instructions,
        )

    def attempt(row: Row, action: Callable[[Row], None], text: str) -> None:
        progress.step(f'{row.case.name} {row.peer.name}: {text}')
        if row.failed or row.unavailable:
            return
        try:
            action(row)
        except Failed as failed:
            row.failed = str(failed)
        except Unavailable as unavailable:
            row.not_counted = str(unavailable)
        if partial:
            partial.save(rows)

    for case in plan.cases:
        for number in range(1, plan.rounds + 1):
            for row in rows:
                if row.case is case and len(row.rounds) < number:
                    text = f'round {number} of {plan.rounds}'
                    attempt(row, take_round, text)
    for row in counted:
        if row.instructions is None:
            attempt(row, take_count, 'instructions')
    progress.end()
    return rows


def install(
    peers: list[Peer], rows: list[Row], progress: Progress
) -> dict[str, list[str]]:
    """What starts the programs of each peer that could be installed."""
    prefixes = {}
    for peer in peers:
        progress.step(f'{peer.name}: install')
        try:
            prefixes[peer.name] = peer.install()
        except Unavailable as unavailable:
            for row in rows:
                if row.peer is peer:
                    row.unavailable = str(unavailable)
    return prefixes


# The command line


def end(signal_number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM and SIGHUP end it as Ctrl-C does: children first."""
    raise KeyboardInterrupt


def names(text: str) -> list[str]:
    return [name for name in text.split(',') if name]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='make bench', description=__doc__)
    parser.add_argument(
        '--quick',
        action='store_true',
        help='one short round, to see that it works; the numbers mean nothing',
    )
    parser.add_argument('--rounds', type=int, default=5, metavar='N')
    parser.add_argument(
        '--seconds', type=int, default=2, metavar='N', help='of each round'
    )
    parser.add_argument(
        '--cases', type=names, metavar='A,B', help='all, unless given'
    )
    parser.add_argument(
        '--peers', type=names, metavar='A,B', help='all, unless given'
    )
    parser.add_argument(
        '--no-instructions', action='store_true', help='do not count them'
    )
    parser.add_argument(
        '--instructions-only', action='store_true', help='measure no times'
    )
    parser.add_argument(
        '--profile',
        type=int,
        default=0,
        metavar='LINES',
        help='show the functions that take the most instructions',
    )
    parser.add_argument(
        '--fresh',
        action='store_true',
        help='start anew, where an interrupted run would be gone on with',
    )
    parser.add_argument(
        '--output', type=Path, metavar='FILE', help='not bench/results/'
    )
    given = parser.parse_args()
    if not 1 <= given.rounds <= 99 or not 1 <= given.seconds <= 300:
        parser.error('--rounds is 1 to 99, --seconds is 1 to 300')
    return given


def make_plan(given: argparse.Namespace) -> Plan:
    cases = {case.name: case for case in all_cases()}
    peers = {peer.name: peer for peer in all_peers()}
    for wanted, known in ((given.cases, cases), (given.peers, peers)):
        for name in wanted or ():
            if name not in known:
                sys.exit(f'error: {name}: use some of {", ".join(known)}')
    rounds, seconds = given.rounds, given.seconds
    chosen = [cases[name] for name in given.cases or cases]
    if given.quick:
        rounds = seconds = 1
        chosen = [
            replace(case, instructions=(100, 300))
            if case.instructions
            else case
            for case in chosen
        ]
    return Plan(
        cases=chosen,
        peers=[peers[name] for name in given.peers or peers],
        rounds=0 if given.instructions_only else rounds,
        seconds=seconds,
        count=not given.no_instructions,
        quick=given.quick,
    )


def report(rows: list[Row], given: argparse.Namespace) -> None:
    for case in dict.fromkeys(row.case for row in rows):
        print(results.table([row for row in rows if row.case is case]))
        print()
    if given.profile:
        for row in rows:
            if row.instructions:
                print(results.profile(row, given.profile), end='\n\n')


def main() -> int:
    given = options()
    plan = make_plan(given)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)
    try:
        return bench(plan, given)
    except KeyboardInterrupt:
        print(
            '\ninterrupted; the same command goes on from here',
            file=sys.stderr,
        )
        return INTERRUPTED


def bench(plan: Plan, given: argparse.Namespace) -> int:
    began = time.monotonic()
    about: dict[str, object] = {
        'machine': results.machine(),
        'quick': given.quick,
        'seconds': plan.seconds,
    }
    if os.getloadavg()[0] > BUSY:
        print(
            'warning: this machine is busy; the times will be wrong,'
            ' instructions will not',
            file=sys.stderr,
        )
    partial = Partial(plan)
    if given.fresh:
        partial.remove()
    rows = measure(plan, partial)
    about['load_average_after'] = os.getloadavg()
    path = results.save(rows, about, given.output)
    partial.remove()
    report(rows, given)
    print(f'{path}, in {time.monotonic() - began:.0f} s')
    return any(row.failed for row in rows)


if __name__ == '__main__':
    sys.exit(main())
