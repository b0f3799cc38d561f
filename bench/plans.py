"""What to measure, and how long: `make bench`, bench-table, bench-quick."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .cases import Case, all_cases
from .peers import Peer, all_peers
from .promise import GOALS

QUICK_COUNTS = (100, 300)


@dataclass(frozen=True)
class Plan:
    """Rows in order: those of a case follow each other, and are interleaved.

    `counted` are the cases whose instructions are counted.
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


def counted(cases: list[Case]) -> tuple[str, ...]:
    return tuple(case.name for case in cases if case.instructions)


def full() -> Plan:
    cases = all_cases()
    return Plan(every(cases, all_peers()), 3, 1, counted(cases))


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


def first_of_each(cases: list[Case]) -> list[Case]:
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
    shared = [case for case in plan.cases if case in kinds.values()]
    others = [peer for peer in all_peers() if not peer.ours]
    rows = [
        row
        for case in plan.cases
        for row in (
            *[row for row in plan.rows if row[0] is case],
            *(every([case], others) if case in shared else ()),
        )
    ]
    return replace(plan, rows=rows, counted=())


def ours() -> Plan:
    """The same of ours alone, counted a little: it shows that it works."""
    cases = [
        replace(case, instructions=QUICK_COUNTS) if case.instructions else case
        for case in first_of_each(all_cases())
    ]
    mine = [peer for peer in all_peers() if peer.ours]
    return Plan(every(cases, mine), 1, 1, ('echo-tcp-1k',))


PLANS = {'full': full, 'table': table, 'quick': quick, 'ours': ours}
