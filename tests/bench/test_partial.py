"""bench/partial.py: an interrupted run goes on from its last round."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import partial, run
from bench.callgrind import Count
from bench.cases import Case
from bench.partial import Partial
from bench.peers import Peer
from bench.plans import Plan
from bench.processes import Failed

CASE = Case('case', 'A case', 'echo', instructions=(1, 2))
PLAN = Plan(
    [(CASE, Peer(name, {'echo': ()})) for name in ('one', 'two')],
    rounds=2,
    seconds=1,
    counted=('case',),
)


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """What is measured, in order; nothing is, in fact."""
    done: list[str] = []

    def one_round(client, peer, case, prefix, seconds):
        done.append(peer.name)
        return {'requests': 1.0, 'cpu_us': 1.0, 'user_us': 0.5}, {}

    def count(client, peer, case, prefix, bounds):
        done.append(f'{peer.name} counted')
        if peer.name == 'two':
            raise Failed('it fell over')
        return Count(5.0, {'f': 5.0})

    monkeypatch.setattr(partial, 'BUILD', tmp_path)
    monkeypatch.setattr(run, 'build_client', str)
    monkeypatch.setattr(run, 'one_round', one_round)
    monkeypatch.setattr(run, 'instructions_per_request', count)
    return done


ALL = ['one', 'two', 'one', 'two', 'one counted', 'two counted']


@pytest.mark.parametrize('after', range(7))
def test_what_was_measured_is_not_measured_again(measured, after, monkeypatch):
    whole = run.Progress.step
    steps = iter(range(100))

    def step(self, text):
        # Two steps are the peers' installation.
        if next(steps) == after + 2:
            raise KeyboardInterrupt
        whole(self, text)

    monkeypatch.setattr(run.Progress, 'step', step)
    if after < len(ALL):
        with pytest.raises(KeyboardInterrupt):
            run.measure(PLAN, Partial(PLAN))

    rows = run.measure(PLAN, Partial(PLAN))

    assert measured == ALL
    assert [len(row.rounds) for row in rows] == [2, 2]
    assert rows[0].instructions == Count(5.0, {'f': 5.0})
    assert rows[1].failed == 'it fell over'


def test_another_plan_starts_anew(measured):
    run.measure(PLAN, Partial(PLAN))
    other = replace(PLAN, seconds=2)

    run.measure(other, Partial(other))

    assert measured == ALL * 2


def test_a_changed_file_of_what_is_measured_starts_anew(
    measured, monkeypatch, tmp_path
):
    file = tmp_path / 'extension.so'
    file.write_text('one build')
    monkeypatch.setattr(partial, 'measured_files', lambda: [file])
    before = Partial(PLAN).path

    file.write_text('another build')

    assert Partial(PLAN).path != before


def test_a_file_that_is_cut_short_is_no_obstacle(measured):
    saved = Partial(PLAN)
    saved.path.parent.mkdir()
    saved.path.write_text('[{"case": ')

    run.measure(PLAN, saved)

    assert measured == ALL


def test_what_is_done_with_is_removed(measured, tmp_path):
    saved = Partial(PLAN)
    run.measure(PLAN, saved)
    assert list((tmp_path / 'partial').iterdir()) == [saved.path]

    saved.remove()
    saved.remove()

    assert list((tmp_path / 'partial').iterdir()) == []
