"""bench/compare.py: what counts as a change between two result files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import compare
from tests.bench import documents

ROOT = Path(__file__).resolve().parents[2]
STEADY = (0.99, 1.0, 1.0, 1.01, 1.02)
CASES = [documents.case('echo'), documents.case('timer', 'self')]


def made(ours: float, peer: float = 1.0, spread=STEADY, instructions=1000.0):
    """The rows of a file; the factors are of what each thing takes."""

    def rows(name: str, factor: float):
        loads = [documents.loaded(4 * factor * x) for x in spread]
        times = [{'value': 100 * factor * x} for x in spread]
        count = instructions if name == 'ours' else 3000.0
        return [
            documents.row('echo', name, loads, instructions=count),
            documents.row('timer', name, times),
        ]

    every = rows('ours', ours) + rows('uvloop', peer)
    return {(row['case'], row['peer']): row for row in every}


def figures(changes) -> list[str]:
    return [change.figure for change in changes]


def test_two_runs_of_the_same_do_not_differ():
    assert compare.changed(made(1.0), made(1.02)) == []


def test_a_slow_down_of_ten_percent_shows_in_all_that_decides():
    found = compare.changed(made(1.0), made(1.1, instructions=1100.0))

    assert figures(found) == [
        *('instructions', 'cpu_us', 'least', 'requests_per_second'),
    ]
    assert not any(change.better for change in found)
    assert found[0].share == pytest.approx(0.1)
    assert str(found[1]).startswith('echo, ours: CPU us 4 -> 4.4 (+10.0%,')


def test_a_change_for_the_better_is_called_better():
    found = compare.changed(made(1.0), made(0.8, instructions=800.0))

    assert len(found) == 4
    assert all(change.better for change in found)


def test_ten_percent_within_the_spread_of_the_rounds_is_noise():
    wild = (0.8, 0.85, 1.0, 1.2, 1.3)

    found = compare.changed(made(1.0, spread=wild), made(1.1, spread=wild))

    assert found == []


def test_one_wild_round_hides_nothing():
    wild = (0.99, 1.0, 1.0, 1.01, 3.0)

    found = compare.changed(made(1.0, spread=wild), made(1.1, spread=wild))

    assert 'cpu_us' in figures(found)


def test_a_change_that_the_peers_share_is_marked():
    found = compare.changed(made(1.0), made(1.3, peer=1.3))

    assert {(change.ours, change.shared) for change in found} == {
        (True, True),
        (False, False),
    }


def test_a_row_that_fails_in_one_file_is_told_and_not_compared():
    a, b = made(1.0), made(1.5)
    b['echo', 'ours']['failed'] = 'wrong answer'
    del b['timer', 'ours']

    assert compare.changed(a, b) == []
    assert list(compare.states(a, b)) == [
        'echo, ours: does not score in B: wrong answer',
        'timer, ours: only in A',
    ]


def run(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'bench.compare', *map(str, files)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_command_says_what_changed(tmp_path):
    files = [
        documents.write(
            tmp_path / name,
            documents.document(CASES, list(made(factor).values())),
        )
        for name, factor in (('a', 1.0), ('b', 1.1))
    ]

    done = run(*files)

    assert done.returncode == 0
    ours, *lines, peers = done.stdout.splitlines()
    assert ours == 'ours: 3 changed beyond the noise'
    assert lines[0] == ('  echo, ours: CPU us 4 -> 4.4 (+10.0%, worse)')
    assert peers == 'the peers: 0 changed beyond the noise'


def test_the_command_refuses_what_is_no_result_file(tmp_path):
    path = tmp_path / 'x'
    path.write_text('{}')

    done = run(path, path)

    assert done.returncode == 1
    assert done.stderr.startswith('error: not a result file')
