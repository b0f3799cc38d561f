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
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from . import results
from .callgrind import instructions_per_request
from .loads import build_client
from .measure import one_round
from .partial import Partial
from .peers import Peer, Unavailable
from .plans import PLANS, Plan
from .processes import Failed
from .progress import Progress
from .results import Row

INTERRUPTED = 130  # what a shell reports for SIGINT
BUSY = 0.5  # the load average above which times are worth little


def measure(plan: Plan, partial: Partial | None = None) -> list[Row]:
    """All rows of the plan; one that fails or cannot run stops no other.

    With `partial`, what it holds is not measured again, and what is measured
    goes there at once.
    """
    rows = [Row(case, peer) for case, peer in plan.rows]
    if partial and partial.load(rows):
        print(f'going on with {partial.path}', file=sys.stderr)
    counted = [row for row in rows if plan.is_counted(row.case)]
    done = sum(len(row.rounds) for row in rows)
    done += sum(row.instructions is not None for row in counted)
    steps = len(plan.peers) + len(rows) * plan.rounds + len(counted)
    progress = Progress(steps, done)
    client = build_client()
    prefixes = install(rows, plan.peers, progress)

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
            if action is take_count:
                row.not_counted = str(unavailable)
            else:
                row.unavailable = str(unavailable)
        if partial:
            partial.save(rows)

    for case in plan.cases:
        for number in range(1, plan.rounds + 1):
            for row in rows:
                if row.case == case and len(row.rounds) < number:
                    text = f'round {number} of {plan.rounds}'
                    attempt(row, take_round, text)
    for row in counted:
        if row.instructions is None:
            attempt(row, take_count, 'instructions')
    progress.end()
    return rows


def install(
    rows: list[Row], peers: list[Peer], progress: Progress
) -> dict[str, list[str]]:
    """What starts the programs of each peer that could be installed."""
    prefixes = {}
    for peer in peers:
        progress.step(f'{peer.name}: install')
        try:
            prefixes[peer.name] = peer.install()
        except Unavailable as unavailable:
            for row in rows:
                if row.peer.name == peer.name:
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
        '--plan',
        choices=PLANS,
        default='full',
        help='table: the rows of the promise; quick: one round, every peer'
        ' under one case of each kind; ours: the same of ours alone',
    )
    parser.add_argument(
        '--quick',
        action='store_const',
        const='ours',
        dest='plan',
        help='is --plan ours: does it work? The numbers mean nothing',
    )
    parser.add_argument('--rounds', type=int, metavar='N', help='of each row')
    parser.add_argument(
        '--seconds', type=int, metavar='N', help='of each round'
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
    for name, most in (('rounds', 99), ('seconds', 300)):
        number = getattr(given, name)
        if number is not None and not 1 <= number <= most:
            parser.error(f'--{name} is 1 to {most}')
    return given


def make_plan(given: argparse.Namespace) -> Plan:
    """The one that is named, narrowed to the cases and peers that are."""
    plan = PLANS[given.plan]()
    cases = [case.name for case in plan.cases]
    peers = [peer.name for peer in plan.peers]
    for wanted, known in ((given.cases, cases), (given.peers, peers)):
        for name in wanted or ():
            if name not in known:
                sys.exit(f'error: {name}: use some of {", ".join(known)}')
    rounds = plan.rounds if given.rounds is None else given.rounds
    return replace(
        plan,
        rows=[
            (case, peer)
            for case, peer in plan.rows
            if case.name in (given.cases or cases)
            and peer.name in (given.peers or peers)
        ],
        rounds=0 if given.instructions_only else rounds,
        seconds=given.seconds or plan.seconds,
        counted=() if given.no_instructions else plan.counted,
    )


def report(rows: list[Row], given: argparse.Namespace) -> None:
    for case in dict.fromkeys(row.case for row in rows):
        print(results.table([row for row in rows if row.case == case]))
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
        'plan': given.plan,
        'rounds': plan.rounds,
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
    # That a peer fails is a result, and must not keep `make` from the report.
    return any(row.failed for row in rows if row.peer.ours)


if __name__ == '__main__':
    sys.exit(main())
