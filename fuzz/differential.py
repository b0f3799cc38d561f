"""make fuzz: our httptools and the original one are fed the same bytes.

Each runs in an interpreter of its own, with the same seed; every event,
piece, message and answer must be equal. Then our own parser is fed the same
bytes cut in several ways (splits.py). It ends after --seconds.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

from bench.peers import Unavailable, environment, python_name

from . import splits

ROOT = Path(__file__).resolve().parent.parent
BATCH = 5000
SHOWN = 5


def original() -> str:
    """The interpreter that has the httptools of vendor/pins.txt."""
    pins = (ROOT / 'vendor' / 'pins.txt').read_text()
    found = re.search(r'^httptools==[\w.]+', pins, re.M)
    if found is None:
        sys.exit('error: vendor/pins.txt names no httptools')
    name = found[0].replace('==', '-')
    return environment(f'fuzz-{python_name()}-{name}', found[0])


def start(
    python: str, paths: list[Path], arguments: list[str]
) -> subprocess.Popen[str]:
    search = [str(path) for path in paths]
    code = (
        f'import sys; sys.path[:0] = {search!r};'
        ' from fuzz.log import main; main()'
    )
    return subprocess.Popen(
        [python, '-P', '-c', code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={'PYTHONDONTWRITEBYTECODE': '1', 'PYTHONHASHSEED': '0'},
    )


class Pair:
    """Ours and theirs."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.seed = seed
        # The checkout has our httptools: theirs must find `fuzz` elsewhere.
        link = folder / 'fuzz'
        if not link.exists():
            folder.mkdir(parents=True, exist_ok=True)
            link.symlink_to(ROOT / 'fuzz')
        self.sides = [(sys.executable, [ROOT]), (original(), [folder])]

    def logs(self, first: int, end: int, *options: str) -> list[list[str]]:
        arguments = [str(self.seed), str(first), str(end), *options]
        running = [
            start(python, paths, arguments) for python, paths in self.sides
        ]
        outputs = [process.communicate()[0] for process in running]
        for process in running:
            if process.returncode != 0:
                sys.exit(f'error: exit code {process.returncode}')
        return [output.splitlines() for output in outputs]

    def differences(self, first: int, end: int, *options: str) -> list[int]:
        ours, theirs = self.logs(first, end, *options)
        assert len(ours) == len(theirs) == end - first
        return [
            first + i
            for i, pair in enumerate(zip(ours, theirs, strict=True))
            if pair[0] != pair[1]
        ]

    def show(self, number: int, *options: str) -> None:
        ours, theirs = self.logs(number, number + 1, '--show', *options)
        print(f'seed {self.seed} number {number} {" ".join(options)}')
        print(f'  ours   {ours[0]}\n  theirs {theirs[0]}')


def compare(pair: Pair, deadline: float, most: int, *options: str) -> int:
    """How many differences there are; shows the first ones."""
    number = found = 0
    while number < most and time.monotonic() < deadline:
        end = min(most, number + BATCH)
        for different in pair.differences(number, end, *options):
            found += 1
            if found <= SHOWN:
                pair.show(different, *options)
        number = end
    what = 'URLs' if options else 'messages'
    print(f'{number} {what}: {found} differences', flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog='make fuzz', description=__doc__)
    parser.add_argument('--seconds', type=float, default=40)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--count', type=int, default=1 << 60)
    given = parser.parse_args()
    try:
        pair = Pair(ROOT / 'build' / 'fuzz', given.seed)
    except Unavailable as unavailable:
        sys.exit(f'error: {unavailable}')
    now = time.monotonic()
    found = compare(pair, now + given.seconds * 0.5, given.count)
    found += compare(
        pair, now + given.seconds * 0.7, given.count // 2, '--urls'
    )
    found += splits.check(given.seed, now + given.seconds, given.count)
    return found > 0


if __name__ == '__main__':
    sys.exit(main())
