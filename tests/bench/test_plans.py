"""bench/plans.py: what each verb measures."""

from __future__ import annotations

import pytest

from bench import plans, promise
from bench.cases import all_cases
from bench.peers import all_peers


def names(plan: plans.Plan) -> set[tuple[str, str]]:
    return {(case.name, peer.name) for case, peer in plan.rows}


@pytest.mark.parametrize('name', plans.PLANS)
def test_a_plan_has_each_row_once_and_those_of_a_case_together(name):
    plan = plans.PLANS[name]()

    assert len(plan.rows) == len(names(plan)) > 0
    in_order = [case.name for case, _ in plan.rows]
    assert in_order == sorted(in_order, key=in_order.index)


def test_the_full_plan_has_every_peer_and_all_cases_but_of_900_bytes():
    plan = plans.full()

    assert {case.name for case in all_cases()} - {
        case.name for case in plan.cases
    } == {'echo-tcp-900', 'echo-unix-900'}
    assert {peer.name for peer in plan.peers} == {
        peer.name for peer in all_peers()
    }


def test_the_table_has_the_rows_of_the_promise_and_no_other():
    found = names(plans.table())

    wanted = {
        (goal.case, name)
        for goal in promise.GOALS
        for name in (goal.ours, *goal.against)
    }
    assert found == wanted
    assert plans.table().rounds == 7


def test_the_quick_plan_has_every_peer_and_one_short_round():
    plan = plans.quick()

    assert {peer.name for peer in plan.peers} == {
        peer.name for peer in all_peers()
    }
    assert (plan.rounds, plan.seconds) == (1, 1)


def test_the_plan_of_ours_has_no_other_and_all_that_times_itself():
    plan = plans.ours()

    assert all(peer.ours for _, peer in plan.rows)
    assert {case.name for case in plan.cases if case.load == 'self'} == {
        case.name for case in all_cases() if case.load == 'self'
    }
