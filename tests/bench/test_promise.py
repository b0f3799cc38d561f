"""bench/promise.py: the goals name what there is, and verdicts are right."""

from __future__ import annotations

import pytest

from bench import plans, promise
from bench.cases import all_cases
from bench.peers import all_peers
from bench.promise import Goal, judge
from tests.bench.documents import document, loaded, row


def found_in(*rows):
    return {(each['case'], each['peer']): each for each in rows}


def test_every_goal_names_cases_and_peers_that_are_measured():
    cases = {case.name: case for case in all_cases()}
    peers = {peer.name: peer for peer in all_peers()}

    for goal in promise.GOALS:
        kind = cases[goal.case].kind
        assert peers[goal.ours].ours
        for name in (goal.ours, *goal.against):
            assert kind in peers[name].servers, f'{name} in {goal.case}'


def test_what_a_goal_says_of_instructions_is_counted():
    counted = {case.name for case in all_cases() if case.instructions}

    wanted = {
        goal.case for goal in promise.GOALS if goal.figure == 'instructions'
    }
    assert wanted <= counted
    assert wanted == set(plans.table().counted)


def test_each_pair_of_a_p99_is_one_of_ours_and_a_peer():
    peers = {peer.name: peer for peer in all_peers()}

    for ours, other in promise.PAIRS.items():
        assert peers[ours].ours
        assert not peers[other].ours


@pytest.mark.parametrize(
    ('limit', 'at_least', 'holds'),
    [
        *[(0.50, False, True), (0.49, False, False)],
        *[(0.40, True, True), (0.41, True, False)],
    ],
)
def test_a_ratio_is_to_the_best_peer(limit, at_least, holds):
    goal = Goal('echo', 'echo', 'cpu_us', limit, ('a', 'b'), at_least=at_least)
    rows = found_in(
        row('echo', 'ours', [loaded(2)]),
        row('echo', 'a', [loaded(4)]),
        row('echo', 'b', [loaded(5)]),
    )

    one = judge(goal, rows)

    best = ('b', 0.4) if at_least else ('a', 0.5)
    assert (one.peer, one.ratio) == best
    assert one.holds is holds


def test_a_peer_that_did_not_run_is_left_out_and_told():
    goal = Goal('echo', 'echo', 'cpu_us', 1, ('a', 'b'))
    gone = row('echo', 'b', [], unavailable='not for this Python')
    rows = found_in(
        row('echo', 'ours', [loaded(2)]), row('echo', 'a', [loaded(4)]), gone
    )

    one = judge(goal, rows)

    assert one.holds
    assert one.why == 'b: not for this Python'


def test_what_was_not_measured_does_not_hold():
    goal = Goal('echo', 'echo', 'instructions', 1, ('a',))
    failed = row('echo', 'ours', [], failed='wrong answer', instructions=1.0)

    assert judge(goal, {}).why == 'ours: not in this run'
    one = judge(goal, found_in(failed))
    assert (one.holds, one.ratio) == (False, None)
    assert one.why == 'ours: wrong answer'


def test_a_ratio_of_the_program_itself_needs_no_peer():
    goal = Goal('idle', 'idle', 'least', 1.05, ())

    assert judge(goal, found_in(row('idle', 'ours', [{'value': 1.04}]))).holds
    assert not judge(
        goal, found_in(row('idle', 'ours', [{'value': 1.06}]))
    ).holds


def test_a_p99_is_held_to_where_there_are_samples_enough():
    few = {**loaded(2), 'requests': 9_999}
    rows = [
        row('x', 'ours', [loaded(2)]),
        row('x', 'uvloop', [loaded(2)]),
        row('y', 'ours', [few]),
        row('y', 'uvloop', [loaded(2)]),
    ]

    found = promise.verdicts(document([], rows))

    p99 = [one for one in found if one.goal.figure == 'p99_us']
    assert [(one.goal.case, one.holds) for one in p99] == [('x', True)]
