"""python -m bench.parser: our parser beside httptools 0.9.0.

For each row both are run in turn, several times; the least of the rounds
counts. --instructions counts by callgrind instead: slow, but it does not
depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable

from .build import ROOT
from .peers import environment, python_name
from .peers.parser_rows import ROWS

SCRIPT = ROOT / 'bench' / 'peers' / 'parser_rows.py'
COUNT = 320  # a multiple of the number of heads of each row
PINNED = 'httptools==0.9.0'


def start(python: str, *arguments: str, ours: bool) -> str:
    command = [python, '-P', str(SCRIPT), *arguments]
    if arguments[-1].isdecimal():
        tool = ['valgrind', '--tool=callgrind']
        command = [*tool, '--callgrind-out-file=/dev/null', *command]
    environ = {'PYTHONHASHSEED': '0', 'PYTHONDONTWRITEBYTECODE': '1'}
    if ours:
        environ['PYTHONPATH'] = str(ROOT)
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(done.stderr)
    return done.stdout + done.stderr


def instructions(row: str, python: str, ours: bool) -> float:
    counts = []
    for count in (COUNT, 2 * COUNT):
        output = start(python, row, str(count), ours=ours)
        found = re.search(r'Collected : (\d+)', output)
        assert found is not None
        counts.append(int(found[1]))
    return (counts[1] - counts[0]) / COUNT


def least_time(row: str, python: str, ours: bool) -> float:
    told = json.loads(start(python, row, ours=ours))
    return float(told['nanoseconds'])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--rows', nargs='*', default=list(ROWS), choices=ROWS)
    parser.add_argument('--instructions', action='store_true')
    given = parser.parse_args()
    name = PINNED.replace('==', '-')
    theirs = environment(f'bench-{python_name()}-{name}', PINNED)
    measure: Callable[[str, str, bool], float] = least_time
    rounds, unit = given.rounds, 'ns'
    if given.instructions:
        measure, rounds, unit = instructions, 1, 'instructions'
    ratios = []
    print(f'{"row":22} {"ours":>9} {"httptools":>9} {"ratio":>6}  {unit}')
    for row in given.rows:
        ours, peer = [], []
        for _ in range(rounds):
            ours.append(measure(row, sys.executable, True))
            peer.append(measure(row, theirs, False))
        ratios.append(min(ours) / min(peer))
        line = f'{row:22} {min(ours):9.0f} {min(peer):9.0f}'
        print(f'{line} {ratios[-1]:6.3f}', flush=True)
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(f'geometric mean {mean:.3f}')


if __name__ == '__main__':
    main()
