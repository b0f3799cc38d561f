"""The micro-benchmarks: they do what they say, and say what went wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cases import micro, parser
from bench.peers.parser_rows import ROWS as PARSER_ROWS
from bench.peers.rows import ROWS

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / 'bench' / 'peers'
HERE = Path(__file__).parent

# Set-ups of thousands of connections: with a crowd of ten they are the same.
SMALL = """
import runpy, sys
sys.path.append({peers!r})
from rows import connections, crowd, timing
timing.ROUND_SECONDS = timing.WARM_UP_SECONDS = crowd.SECONDS = 0.01
timing.TRY_SECONDS, timing.LEAST_TRIES = 0.0001, 1
connections.WARM_UP, crowd.CYCLES = 50, 1
connections.IDLE = dict(tcp=2000, tls=100)
crowd.CONNECTIONS, crowd.TIMERS = 100, 1000
sys.argv = ['micro.py', *{arguments!r}]
runpy.run_path({peers!r} + '/micro.py', run_name='__main__')
"""


def run(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([os.environ.get('PYTHONPATH', ''), str(ROOT)])
    return subprocess.run(
        [sys.executable, '-P', *command],
        env={**os.environ, 'PYTHONPATH': path, **environ},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def run_small(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run('-c', SMALL.format(peers=str(PEERS), arguments=arguments))


def run_losing(fault: str, row: str, count: int):
    path = os.pathsep.join([str(HERE), str(ROOT)])
    arguments = (str(PEERS / 'micro.py'), 'losing_loop', row, str(count))
    return run(*arguments, PYTHONPATH=path, LOSING=fault)


@pytest.mark.parametrize('loop', ['uvloop_core', 'asyncio'])
@pytest.mark.parametrize('row', ROWS)
def test_a_row_gives_positive_figures(row, loop):
    if row.startswith(('tls', 'memory-tls')) and not shutil.which('openssl'):
        pytest.skip('makes its certificate with openssl')

    done = run_small(loop, row)

    assert done.stderr == ''
    told = json.loads(done.stdout)
    figures = [case.figure for case in micro.CASES if case.arguments == (row,)]
    assert all(told[figure] > 0 for figure in figures)
    assert told['loop'].startswith(f'{loop}.')


@pytest.mark.parametrize('loop', ['uvloop_core', 'asyncio'])
@pytest.mark.parametrize(
    'case', [case for case in micro.CASES if case.instructions]
)
def test_a_counted_row_prints_nothing(case, loop):
    count = str(case.instructions[0])

    done = run(str(PEERS / 'micro.py'), loop, *case.arguments, count)

    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


@pytest.mark.parametrize('row', ['short', 'head, browser'])
def test_a_row_of_the_parser_gives_its_time(row):
    done = run(str(PEERS / 'parser_rows.py'), row)

    assert done.stderr == ''
    assert json.loads(done.stdout)['nanoseconds'] > 0


def test_each_row_is_a_case():
    assert {case.arguments[0] for case in micro.CASES} == set(ROWS)
    assert {case.arguments[0] for case in parser.CASES} == set(PARSER_ROWS)


def test_the_counts_of_a_case_are_multiples_of_its_row():
    for case in micro.CASES:
        for count in case.instructions or ():
            assert count % ROWS[case.arguments[0]].step == 0


def test_a_loop_that_loses_callbacks_fails_the_row():
    done = run_losing('loses', 'call-soon-500', 500)

    assert done.returncode == 1
    assert done.stderr == ('call-soon-500: callbacks that ran: 495, not 500\n')


def test_what_a_callback_raises_fails_the_row():
    done = run_losing('raises', 'call-soon-500', 500)

    assert done.returncode == 1
    assert done.stderr.startswith('call-soon-500: reported to the loop: Type')
    assert done.stderr.count('\n') == 1


def test_a_wrong_byte_fails_the_row():
    done = run_losing('corrupts', 'sock-tcp', 1)

    assert done.returncode == 1
    assert done.stderr.startswith('sock-tcp: the answer: b')


def test_what_a_loop_lacks_makes_the_row_unavailable():
    done = run_losing('lacks', 'sock-unix', 0)

    assert done.returncode == 0
    assert (
        json.loads(done.stdout)['unavailable'] == 'the loop has no sock_recv'
    )


def test_a_count_that_is_no_multiple_is_refused():
    done = run(str(PEERS / 'micro.py'), 'asyncio', 'call-soon-500', '501')

    assert done.returncode == 1
    assert done.stderr == 'call-soon-500: the count is a multiple of 500\n'


def test_a_row_that_hangs_ends():
    program = SMALL.replace('sys.argv', 'HANGS = None\nsys.argv')
    program = program.replace(
        'runpy.run_path(',
        'import signal; signal.alarm = lambda _: signal.setitimer('
        'signal.ITIMER_REAL, 0.5)\nrunpy.run_path(',
    )
    arguments = ('losing_loop', 'call-soon-chain')
    program = program.format(peers=str(PEERS), arguments=arguments)
    path = os.pathsep.join([str(HERE), str(ROOT)])

    done = run('-c', program, PYTHONPATH=path, LOSING='loses')

    assert done.returncode == 1
    assert done.stderr == 'it hangs: what it waits for does not come\n'
