"""Medians, the tables, and the JSON file that keeps every round."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .build import ROOT
from .callgrind import Count
from .cases import Case
from .measure import Round
from .peers import Peer

RESULTS = ROOT / 'bench' / 'results'
FORMAT = 2
# Above this share of its core lost to others, a round's times are doubtful.
DISTURBED = 0.02


def rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: round(number, 4) for name, number in numbers.items()}


@dataclass
class Row:
    """One peer under one case. It scores only if nothing went wrong."""

    case: Case
    peer: Peer
    rounds: list[Round] = field(default_factory=list)
    instructions: Count | None = None
    told: dict[str, object] = field(default_factory=dict)
    failed: str = ''  # it was tried, and gave a wrong answer or none
    unavailable: str = ''  # it could not be tried
    not_counted: str = ''  # why there are no instructions

    @property
    def scores(self) -> bool:
        measured = bool(self.rounds) or self.instructions is not None
        return measured and not self.failed and not self.unavailable

    @property
    def user_share(self) -> float:
        """Of all rounds together: there are few ticks in one."""
        user = sum(one['user_us'] * one['requests'] for one in self.rounds)
        both = sum(one['cpu_us'] * one['requests'] for one in self.rounds)
        return user / both

    def medians(self) -> Round:
        """Of each figure; user and system add up to the CPU time. Of what
        times itself the least, too: nothing makes it faster than it is."""
        if not self.rounds:
            return {}
        medians = {
            name: float(median(one[name] for one in self.rounds))
            for name in self.rounds[0]
        }
        if self.case.load == 'self':
            medians['least'] = min(one['value'] for one in self.rounds)
        else:
            medians['user_us'] = medians['cpu_us'] * self.user_share
            medians['system_us'] = medians['cpu_us'] - medians['user_us']
        return medians

    @property
    def disturbed(self) -> bool:
        return any(one.get('waiting', 0) > DISTURBED for one in self.rounds)

    def as_json(self) -> dict[str, object]:
        count = self.instructions
        return {
            'case': self.case.name,
            'peer': self.peer.name,
            'style': self.peer.style,
            'ours': self.peer.ours,
            'ceiling': self.peer.ceiling,
            'server': self.told,
            'median': rounded(self.medians()) if self.scores else {},
            'instructions': round(count.total, 1) if count else None,
            'functions': {
                name: round(cost, 1)
                for name, cost in (count.functions if count else {}).items()
                if cost >= 1
            },
            'rounds': [rounded(one) for one in self.rounds],
            'disturbed': self.disturbed,
            'failed': self.failed,
            'unavailable': self.unavailable,
            'not_counted': self.not_counted,
        }

    def fill(self, saved: dict[str, Any]) -> None:
        """With what as_json() made; a peer is installed again in any case."""
        self.rounds = saved['rounds']
        self.told = saved['server']
        self.failed = saved['failed']
        self.not_counted = saved['not_counted']
        if saved['instructions'] is not None:
            self.instructions = Count(
                saved['instructions'], saved['functions']
            )


# Tables

LOADED = (
    ('requests/s', 'requests_per_second', '{:,.0f}'),
    ('p50 us', 'p50_us', '{:.0f}'),
    ('p99 us', 'p99_us', '{:.0f}'),
    ('cpu us/req', 'cpu_us', '{:.2f}'),
    ('user', 'user_us', '{:.2f}'),
    ('sys', 'system_us', '{:.2f}'),
    ('waited', 'waiting', '{:.1%}'),
)


def columns(case: Case) -> tuple[tuple[str, str, str], ...]:
    """Of each figure: its head, its name, its form."""
    if case.load != 'self':
        return LOADED
    return (
        (f'{case.figure}, least', 'least', '{:,.1f}'),
        ('median', 'value', '{:,.1f}'),
    )


def cells(row: Row) -> list[str]:
    shown = ['-'] * len(columns(row.case))
    if row.rounds:
        medians = row.medians()
        shown = [
            form.format(medians[name]) for _, name, form in columns(row.case)
        ]
    count = row.instructions
    return [
        row.peer.name,
        *shown,
        f'{count.total:,.0f}' if count else '-',
        f'{len(row.rounds)}',
    ]


def markdown(rows: list[Row]) -> Iterator[str]:
    heads = [head for head, _, _ in columns(rows[0].case)]
    lines = [['', *heads, 'instr/req', 'rounds'], *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ['-' * widths[0], *('-' * (w - 1) + ':' for w in widths[1:])]
    for line in [lines[0], rule, *lines[1:]]:
        first, *rest = zip(line, widths, strict=True)
        aligned = [first[0].ljust(first[1])]
        aligned += [cell.rjust(width) for cell, width in rest]
        yield '| ' + ' | '.join(aligned) + ' |'


def table(rows: list[Row]) -> str:
    """One case's, in Markdown; what did not score is said below it."""
    text = [f'{rows[0].case.title}', '']
    if scoring := [row for row in rows if row.scores]:
        text += [*markdown(scoring), '']
    for row in rows:
        if row.failed:
            text.append(f'{row.peer.name}: FAILED: {row.failed}')
        if row.unavailable:
            text.append(f'{row.peer.name}: not measured: {row.unavailable}')
        if row.not_counted:
            text.append(f'{row.peer.name}: not counted: {row.not_counted}')
        if row.scores and row.disturbed:
            text.append(f'{row.peer.name}: disturbed by other processes')
    return '\n'.join(text)


def profile(row: Row, lines: int) -> str:
    """The functions that take the most instructions by themselves."""
    count = row.instructions
    if count is None:
        return ''
    text = [f'{row.peer.name}: {count.total:,.0f} instructions a request']
    costs = sorted(count.functions.items(), key=lambda item: -item[1])
    files: Counter[str] = Counter()
    for name, cost in costs:
        files[name.rpartition(' ')[2]] += round(cost)
    text += [
        f'{cost:9,d} {cost / count.total:6.1%}  in {name}'
        for name, cost in files.most_common(4)
    ]
    for name, cost in costs[:lines]:
        text.append(f'{cost:9.1f} {cost / count.total:6.1%}  {name}')
    return '\n'.join(text)


# The file


def cpu_model() -> str:
    with open('/proc/cpuinfo') as file:
        for line in file:
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor()


def commit() -> str:
    """Which state of the checkout was measured, as far as git can say."""
    try:
        done = subprocess.run(
            ['git', 'describe', '--always', '--dirty', '--exclude=*'],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'
    return done.stdout.strip()


def interpreter() -> str:
    """CPython 3.14.2, and how it was built, which its speed hangs on. (One
    that was built with profiles need not say so: Debian's does not.)"""
    words = [f'CPython {platform.python_version()}']
    if sysconfig.get_config_var('Py_GIL_DISABLED'):
        words.append('free-threaded')
    words.append(platform.python_compiler())
    options = sysconfig.get_config_var('CONFIG_ARGS') or ''
    for option in ('--enable-optimizations', '--with-lto'):
        if option in options:
            words.append(option)
    return ', '.join(words)


def machine() -> dict[str, object]:
    return {
        'cpu': cpu_model(),
        'cores': len(os.sched_getaffinity(0)),
        'system': f'{platform.system()} {platform.release()}',
        'libc': ' '.join(platform.libc_ver()),
        'load_average': [round(number, 2) for number in os.getloadavg()],
        'python': sys.version,
        'interpreter': interpreter(),
        'commit': commit(),
    }


def write_whole(path: Path, document: object) -> None:
    """The whole file or, if it is interrupted, the one that was there."""
    fresh = path.with_name(path.name + '.new')
    fresh.write_text(json.dumps(document, indent=1) + '\n')
    fresh.replace(path)


def save(rows: list[Row], about: dict[str, object], path: Path | None) -> Path:
    """Writes what was found, and returns where."""
    if path is None:
        RESULTS.mkdir(exist_ok=True)
        stamp = time.strftime('%Y-%m-%dT%H%M%SZ', time.gmtime())
        path = RESULTS / f'{stamp}.json'
    cases = {row.case.name: asdict(row.case) for row in rows}
    document = {
        'format': FORMAT,
        'date': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
        **about,
        'cases': list(cases.values()),
        'rows': [row.as_json() for row in rows],
    }
    write_whole(path, document)
    return path
