"""What to measure, and how long: `make bench`, bench-table, bench-quick."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .cases import Case, all_cases
from .peers import Peer, all_peers
from .promise import GOALS

QUICK_COUNTS = (100, 300)
# By bench-table alone: much the same as what is counted anyway, and slow.
COUNTED_FOR_PROMISE = ('echo-tcp-10k', 'echo-unix-1k', 'echo-unix-10k')


@dataclass(frozen=True)
class Plan:
    """Rows in order: those of a case follow each other, and are interleaved.

    `counted` are the cases whose instructions are counted. A round of no
    seconds is as short as it can be: it shows that it works, and no more.
    """

    rows: list[tuple[Case, Peer]]
    rounds: int
    seconds: int
    counted: tuple[str, ...] = ()

    @property
    def peers(self) -> list[Peer]:
        """Each once. They are told apart by name: it is what results hold."""
        return list({peer.name: peer for _, peer in self.rows}.values())

    @property
    def cases(self) -> list[Case]:
        return list({case.name: case for case, _ in self.rows}.values())

    def is_counted(self, case: Case) -> bool:
        return case.instructions is not None and case.name in self.counted


def every(cases: list[Case], peers: list[Peer]) -> list[tuple[Case, Peer]]:
    """Each case with each peer that has a program for it."""
    return [
        (case, peer)
        for case in cases
        for peer in peers
        if case.kind in peer.servers
    ]


def full() -> Plan:
    """All but messages of 900 bytes, which the promise alone asks for."""
    cases = [case for case in all_cases() if '-900' not in case.name]
    names = [case.name for case in cases if case.instructions]
    counted = (name for name in names if name not in COUNTED_FOR_PROMISE)
    return Plan(every(cases, all_peers()), 3, 1, tuple(counted))


def table() -> Plan:
    """The rows of the promise only, and what they are held to."""
    wanted = set()
    for goal in GOALS:
        wanted.add((goal.case, goal.ours))
        wanted |= {(goal.case, peer) for peer in goal.against}
    cases = all_cases()
    rows = [
        (case, peer)
        for case, peer in every(cases, all_peers())
        if (case.name, peer.name) in wanted
    ]
    names = {goal.case for goal in GOALS if goal.figure == 'instructions'}
    return Plan(rows, 7, 1, tuple(sorted(names)))


def first_of_each_kind(cases: list[Case]) -> list[Case]:
    """One case of each way of loading a server; all that need no load."""
    firsts = {
        case.name
        if case.load == 'self'
        else (case.kind, case.endpoint, case.script): case
        for case in reversed(cases)
    }
    return [case for case in cases if case in firsts.values()]


def quick() -> Plan:
    """One short round: every peer under one case of each kind."""
    plan = ours()
    kinds = {case.kind: case for case in reversed(plan.cases)}
    others = [peer for peer in all_peers() if not peer.ours]
    rows = []
    for case in plan.cases:
        rows += [row for row in plan.rows if row[0] == case]
        if case in kinds.values():
            rows += every([case], others)
    return replace(plan, rows=rows, seconds=1, counted=())


def ours() -> Plan:
    """The same of ours alone, as short as it can be, one of them counted; of
    ours in another style (streams, a framework's) one case of each kind."""
    cases = [
        replace(case, instructions=QUICK_COUNTS) if case.instructions else case
        for case in first_of_each_kind(all_cases())
    ]
    first = {case.kind: case for case in reversed(cases)}
    mine = [peer for peer in all_peers() if peer.ours]
    rows = [
        (case, peer)
        for case, peer in every(cases, mine)
        if not peer.style or case == first[case.kind]
    ]
    return Plan(rows, 1, 0, ('echo-unix-1k',))


PLANS = {'full': full, 'table': table, 'quick': quick, 'ours': ours}
