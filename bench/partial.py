"""What a run has measured so far, so that an interrupted one goes on.

It is kept in build/bench/partial, after every round of every row, under a
name that the plan, the interpreter, the machine and what is measured make:
another build of ours, or a changed program of the bench, starts anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from .build import BUILD, ROOT
from .results import Row, write_whole

MEASURED = (
    *('httptools/**/*.py', 'httptools/*.so'),
    *('uvloop_core/**/*.py', 'uvloop_core/*.so', 'examples/**/*.py'),
    *('bench/*.py', 'bench/*.c', 'bench/cases/*', 'bench/peers/*'),
    'bench/peers/rows/*.py',
)


def measured_files() -> Iterator[Path]:
    for pattern in MEASURED:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                yield path


def key_of(plan: object) -> str:
    parts = [repr(plan), sys.version, sys.executable, platform.node()]
    parts += [platform.release(), str(sorted(os.sched_getaffinity(0)))]
    digest = hashlib.sha256('\n'.join(parts).encode())
    for path in measured_files():
        digest.update(f'{path}\n'.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


class Partial:
    """The file of one plan."""

    def __init__(self, plan: object) -> None:
        self.path = BUILD / 'partial' / f'{key_of(plan)}.json'

    def load(self, rows: list[Row]) -> bool:
        """Fills in what is there; whether there was anything."""
        try:
            saved = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return False
        by_name = {(each['case'], each['peer']): each for each in saved}
        for row in rows:
            if found := by_name.get((row.case.name, row.peer.name)):
                row.fill(found)
        return any(row.rounds or row.failed for row in rows)

    def save(self, rows: list[Row]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, [row.as_json() for row in rows])

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
