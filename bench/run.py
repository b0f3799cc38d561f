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
from .measure import build_client, one_round
from .peers import Peer, Unavailable, all_peers
from .processes import Failed
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


class Progress:
    """One line on a terminal that is written over; else a line a step."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.done = 0
        self.began = time.monotonic()
        self.is_terminal = sys.stderr.isatty()

    def step(self, text: str) -> None:
        left = ''
        if self.done:
            seconds = time.monotonic() - self.began
            seconds *= self.steps / self.done - 1
            left = f', {seconds:.0f} s left'
        line = f'[{self.done + 1}/{self.steps}{left}] {text}'
        self.done += 1
        if self.is_terminal:
            print(f'\r\x1b[K{line}', end='', file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        if self.is_terminal:
            print('\r\x1b[K', end='', file=sys.stderr, flush=True)


def measure(plan: Plan) -> list[Row]:
    """All rows of the plan; one that fails or cannot run stops no other."""
    rows = [Row(case, peer) for case in plan.cases for peer in plan.peers]
    counted = [row for row in rows if is_counted(row, plan)]
    progress = Progress(
        len(plan.peers) + len(rows) * plan.rounds + len(counted)
    )
    client = build_client()
    pythons = install(plan.peers, rows, progress)

    def take_round(row: Row) -> None:
        python = pythons[row.peer.name]
        one, row.told = one_round(
            client, row.peer, row.case, python, plan.seconds
        )
        row.rounds.append(one)

    def take_count(row: Row) -> None:
        assert row.case.instructions
        row.instructions = instructions_per_request(
            client,
            row.peer,
            row.case,
            pythons[row.peer.name],
            row.case.instructions,
        )

    for case in plan.cases:
        for number in range(1, plan.rounds + 1):
            for row in rows:
                if row.case is case:
                    progress.step(
                        f'{case.name} {row.peer.name}:'
                        f' round {number} of {plan.rounds}'
                    )
                    attempt(row, take_round)
    for row in counted:
        progress.step(f'{row.case.name} {row.peer.name}: instructions')
        attempt(row, take_count)
    progress.end()
    return rows


def is_counted(row: Row, plan: Plan) -> bool:
    """Counting is slow: a quick run, which proves that it works, does ours."""
    wanted = plan.count and row.case.instructions is not None
    return wanted and (row.peer.ours or not plan.quick)


def install(
    peers: list[Peer], rows: list[Row], progress: Progress
) -> dict[str, str]:
    """The interpreter of each peer that could be installed."""
    pythons = {}
    for peer in peers:
        progress.step(f'{peer.name}: install')
        try:
            pythons[peer.name] = peer.install()
        except Unavailable as unavailable:
            for row in rows:
                if row.peer is peer:
                    row.unavailable = str(unavailable)
    return pythons


def attempt(row: Row, action: Callable[[Row], None]) -> None:
    if row.failed or row.unavailable:
        return
    try:
        action(row)
    except Failed as failed:
        row.failed = str(failed)
    except Unavailable as unavailable:
        row.not_counted = str(unavailable)


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
        print('\ninterrupted; nothing is saved', file=sys.stderr)
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
    rows = measure(plan)
    about['load_average_after'] = os.getloadavg()
    path = results.save(rows, about, given.output)
    report(rows, given)
    print(f'{path}, in {time.monotonic() - began:.0f} s')
    return any(row.failed for row in rows)


if __name__ == '__main__':
    sys.exit(main())
