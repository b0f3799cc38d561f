"""The cases of cases/*.md: events as httptools 0.9.0 gives them."""

from __future__ import annotations

from httptools_cases import Case, digest, joined, lines, run, ways


def test_case_fed_whole_gives_the_recorded_events(case: Case) -> None:
    assert lines(run(case, [case.data])) == case.log


def test_case_cut_in_any_way_gives_the_recorded_events(case: Case) -> None:
    """The digest is of httptools' events for each way, pieces and all."""
    assert digest(case) == case.events[-1]


def test_case_cut_in_any_way_gives_the_same_joined_events(
    accepted_case: Case,
) -> None:
    """After an error the events do depend on the pieces."""
    whole = joined(run(accepted_case, [accepted_case.data]))

    for pieces in ways(accepted_case.data):
        assert joined(run(accepted_case, pieces)) == whole, pieces


def test_upgrade_offset_does_not_depend_on_the_pieces(
    upgrade_case: Case,
) -> None:
    upgrade = run(upgrade_case, [upgrade_case.data])[-2]

    for pieces in ways(upgrade_case.data):
        assert run(upgrade_case, pieces)[-2] == upgrade, pieces
