"""bench/run.py: what fails does not score, and nothing is left running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import measure, results, run
from bench.build import BUILD
from bench.callgrind import parse
from bench.cases import Case
from bench.peers import Peer, Unavailable
from bench.plans import Plan
from bench.processes import Cpu
from bench.run import measure as measure_all

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
CASE = Case('case', 'A case', 'echo', connections=1, size=1000)

HONEST = Peer('honest', {'echo': ('serve.py', 'echo', 'asyncio', 'protocol')})


HTTP = Case(
    *('http', 'HTTP', 'http', 'wrk'),
    connections=10,
    size=1000,
    script='short.lua',
)
SELF = Case('self', 'Itself', 'self', 'self')


def faulty(fault: str) -> Peer:
    programs = {
        'echo': 'faulty_server.py',
        'http': 'faulty_http.py',
        'self': 'faulty_program.py',
    }
    servers = {
        kind: (str(HERE / file), fault) for kind, file in programs.items()
    }
    return Peer('faulty', servers)


def rows_of(*peers: Peer, case: Case = CASE) -> list[results.Row]:
    return measure_all(Plan([(case, peer) for peer in peers], 1, 1))


@pytest.mark.parametrize(
    ('fault', 'told'),
    [
        ('wrong byte', 'wrong answer: byte 0 of request 6'),
        ('too long', 'long answer: connection 0'),
        ('closes early', 'short answer: connection 0 was closed after 0 of'),
        ('too short', 'short answer: connection 0 got 999 of 1000 bytes'),
        ('dies', 'the server died; the server says: it is enough'),
        ('does not start', 'it did not start: no, not today'),
    ],
)
def test_a_faulty_server_fails_its_row_and_no_other(fault, told, monkeypatch):
    monkeypatch.setattr(measure, 'PATIENCE_SECONDS', 1)

    bad, good = rows_of(faulty(fault), HONEST)

    assert not bad.scores
    assert told in bad.failed
    assert bad.as_json()['median'] == {}
    assert good.scores
    assert good.failed == ''
    text = results.table([bad, good])
    assert f'faulty: FAILED: {told}' in text
    assert [line for line in text.splitlines() if '| honest' in line]
    assert not [line for line in text.splitlines() if '| faulty' in line]


@pytest.mark.skipif(not shutil.which('wrk'), reason='needs wrk')
@pytest.mark.parametrize(
    ('fault', 'told'),
    [
        ('wrong byte', 'wrong answer: byte 999 of request 5 is 0x00'),
        ('too short', 'short answer: 999 of 1000 bytes of request 5'),
        ('wrong length', 'Content-Length of request 5 is 999, not 1000'),
        ('too long', 'long answer: to request 5'),
        ('closes', 'short answer: the head of request 5'),
        ('not found', "wrong answer: 'HTTP/1.1 404 Not Found' to request 5"),
        # Those that come while wrk, or nobody, looks.
        ('late not found', 'wrk: Non-2xx or 3xx responses: '),
        ('late wrong byte', 'wrong answer: byte 999 of request 0 is 0x00'),
    ],
)
def test_a_faulty_http_server_fails_its_row(fault, told, monkeypatch):
    monkeypatch.setattr(measure, 'PATIENCE_SECONDS', 1)

    (row,) = rows_of(faulty(fault), case=HTTP)

    assert told in row.failed
    assert not row.scores


@pytest.mark.skipif(not shutil.which('wrk'), reason='needs wrk')
def test_a_faultless_http_server_scores():
    (row,) = rows_of(faulty('none'), case=HTTP)

    assert row.failed == ''
    (one,) = row.rounds
    assert one['requests'] > 100
    assert 0 < one['p50_us'] <= one['p90_us'] <= one['p99_us']
    assert one['cpu_us'] == pytest.approx(one['user_us'] + one['system_us'])


@pytest.mark.parametrize(
    ('fault', 'told'),
    [
        ('wrong result', 'the row: 3 datagrams came, not 4'),
        ('no figure', 'without nanoseconds'),
        ('nothing at all', 'without nanoseconds'),
        ('no JSON', "it said 'twelve', which is no JSON"),
    ],
)
def test_a_program_that_goes_wrong_fails_its_row(fault, told):
    (row,) = rows_of(faulty(fault), case=SELF)

    assert told in row.failed
    assert not row.scores


def test_a_program_that_times_itself_scores():
    (row,) = rows_of(faulty('none'), case=SELF)

    assert row.rounds == [{'value': 12.5, 'nanoseconds': 12.5}]
    assert row.told == {'version': '1.0'}
    assert row.medians()['least'] == 12.5


def test_a_program_that_says_that_it_cannot_is_not_measured():
    (row,) = rows_of(faulty('cannot'), case=SELF)

    assert row.unavailable == 'the loop has no pipes'
    assert row.failed == ''
    assert not row.scores


def test_a_faultless_run_of_the_same_server_scores():
    (row,) = rows_of(faulty('none'))

    assert row.scores
    (one,) = row.rounds
    assert one['requests'] > 100
    assert one['cpu_us'] == pytest.approx(one['user_us'] + one['system_us'])
    assert 0 < one['cpu_us'] < 1e6 / one['requests_per_second'] * 1.5


def test_a_peer_that_cannot_be_installed_stops_no_other():
    class Absent(Peer):
        def install(self) -> str:
            raise Unavailable('not for this Python')

    absent, good = rows_of(Absent('absent', HONEST.servers), HONEST)

    assert not absent.scores
    assert good.scores
    assert 'absent: not measured: not for this Python' in results.table(
        [absent, good]
    )


def test_the_times_of_a_round_are_per_request_and_add_up():
    load = {
        'requests': 1000.0,
        'seconds': 0.5,
        'requests_per_second': 2000.0,
        'p50_us': 1.0,
        'p90_us': 2.0,
        'p99_us': 3.0,
    }

    one = measure.summary(load, Cpu(1, 3, 8_000_000, 50_000_000))

    names = ('cpu_us', 'user_us', 'system_us', 'busy', 'waiting')
    assert [one[name] for name in names] == [8.0, 2.0, 6.0, 0.016, 0.1]


def test_user_and_system_time_add_up_over_rounds():
    def one(cpu_us: float, user_us: float) -> measure.Round:
        return {
            'requests': 100,
            'cpu_us': cpu_us,
            'user_us': user_us,
            'system_us': cpu_us - user_us,
        }

    row = results.Row(CASE, HONEST, [one(4, 0), one(6, 3), one(10, 2)])

    medians = row.medians()
    assert medians['cpu_us'] == 6
    assert medians['user_us'] == pytest.approx(6 * 5 / 20)
    assert medians['user_us'] + medians['system_us'] == pytest.approx(6)


def test_a_result_file_holds_every_round_and_the_reasons(tmp_path):
    rows = rows_of(HONEST, faulty('wrong byte'))

    path = results.save(rows, {'quick': True}, tmp_path / 'out.json')

    document = json.loads(path.read_text())
    good, bad = document['rows']
    assert document['quick'] is True
    assert len(good['rounds']) == 1
    assert good['median']['requests'] == good['rounds'][0]['requests']
    assert good['server']['loop'].startswith('asyncio.')
    assert 'wrong answer' in bad['failed']
    assert list(tmp_path.iterdir()) == [path]


CALLGRIND = """\
version: 1
events: Ir
ob=(1) /lib/one.so
fn=(1) outer
10 5
cob=(2) /lib/two.so
cfn=(2) inner
calls=3 20
11 300
12 7
ob=(2)
fn=(2)
20 100
+1 200
ob=(1)
fn=(3) outer'2
10 4
totals: 316
"""


def test_callgrind_files_are_read_without_what_calls_took():
    count = parse(CALLGRIND)

    assert count.functions == {
        'outer [one.so]': 16,
        'inner [two.so]': 300,
    }
    assert count.total == 316


# Interrupts


def descendants(pid: int) -> set[int]:
    children: dict[int, set[int]] = {}
    for entry in os.listdir('/proc'):
        if entry.isdigit() and (parent := stat_of(int(entry))[2]):
            children.setdefault(parent, set()).add(int(entry))
    found: set[int] = set()
    fresh = {pid}
    while fresh := set().union(*(children.get(one, ()) for one in fresh)):
        found |= fresh
    return found


def named(name: str, pids: set[int]) -> set[int]:
    return {pid for pid in pids if stat_of(pid)[0].startswith(name)}


def stat_of(pid: int) -> tuple[str, str, int]:
    """Its name, state and parent, which are empty once it is gone."""
    try:
        stat = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return '', '', 0
    name, _, rest = stat.partition('(')[2].rpartition(')')
    state, parent, *_ = rest.split()
    return name, state, int(parent)


def is_running(pid: int) -> bool:
    return stat_of(pid)[1] not in ('', 'Z')


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def start_run(
    output: Path, case: str, peer: str, *options: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, '-m', 'bench.run', '--fresh', '--peers', peer),
            *('--cases', case, '--output', str(output), *options),
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'])
def test_an_interrupted_run_leaves_nothing_running(name, tmp_path, program):
    output = tmp_path / 'out.json'
    options = ('--seconds', '60', '--no-instructions')
    with start_run(output, 'echo-tcp-1k', 'asyncio', *options) as run:
        # The server and the client.
        wait_for(lambda: len(descendants(run.pid)) == 2)
        children = descendants(run.pid)

        run.send_signal(signal.Signals[name])
        _, errors = run.communicate(timeout=20)

    wait_for(lambda: not any(is_running(pid) for pid in children), 5)
    assert not output.exists()
    if name != 'SIGKILL':
        assert run.returncode == 130
        assert errors.endswith('the same command goes on from here\n')


@pytest.mark.parametrize(
    ('case', 'peer', 'program_name'),
    [
        pytest.param(
            *('http-short-1k', 'ours classic', 'wrk'),
            marks=pytest.mark.skipif(
                not shutil.which('wrk'), reason='needs wrk'
            ),
        ),
        ('sleep-0', 'asyncio', 'python'),
    ],
)
def test_neither_wrk_nor_a_program_is_left_running(
    case, peer, program_name, tmp_path, program
):
    options = ('--rounds', '99', '--seconds', '60', '--no-instructions')
    with start_run(tmp_path / 'out.json', case, peer, *options) as run:
        wait_for(lambda: named(program_name, descendants(run.pid)))
        children = descendants(run.pid)

        run.send_signal(signal.SIGINT)
        run.communicate(timeout=20)

    wait_for(lambda: not any(is_running(pid) for pid in children), 5)
    assert run.returncode == 130


@pytest.mark.skipif(not shutil.which('valgrind'), reason='needs valgrind')
def test_an_interrupted_count_leaves_nothing_running(tmp_path, program):
    output = tmp_path / 'out.json'
    before = set(os.listdir(BUILD))
    case = ('echo-tcp-1k', 'asyncio')
    with start_run(output, *case, '--instructions-only') as run:
        wait_for(lambda: named('callgrind', descendants(run.pid)))
        children = named('callgrind', descendants(run.pid))

        run.send_signal(signal.SIGINT)
        run.communicate(timeout=20)

    wait_for(lambda: not any(is_running(pid) for pid in children), 5)
    assert run.returncode == 130
    # Nor its file.
    assert set(os.listdir(BUILD)) <= before


@pytest.mark.parametrize(('ours', 'code'), [(True, 1), (False, 0)])
def test_the_exit_code_tells_of_rows_of_ours_alone(
    ours, code, monkeypatch, tmp_path
):
    failed = results.Row(CASE, Peer('one', {}, ours=ours), failed='oh')
    monkeypatch.setattr(run, 'measure', lambda plan, partial: [failed])
    monkeypatch.setattr(
        sys, 'argv', ['run', '--quick', '--output', str(tmp_path / 'out')]
    )
    plan = run.make_plan(given := run.options())

    assert run.bench(plan, given) == code
