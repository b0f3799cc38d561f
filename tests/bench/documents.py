"""Made-up result files, as bench/results.py writes them."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

MACHINE = {
    'cpu': 'A processor',
    'cores': 2,
    'system': 'Linux 6',
    'libc': 'glibc 2',
    'interpreter': 'CPython 3.14.2, GCC 14',
    'commit': 'abc',
}


def case(name: str, load: str = 'client', **more: Any) -> dict[str, Any]:
    return {
        'name': name,
        'title': f'The case {name}',
        'kind': 'echo' if load == 'client' else 'micro',
        'load': load,
        'endpoint': 'tcp',
        'figure': 'nanoseconds',
        **more,
    }


def row(
    case_name: str, peer: str, rounds: list[dict[str, float]], **more: Any
) -> dict[str, Any]:
    medians = {
        name: median(one[name] for one in rounds)
        for name in (rounds[0] if rounds else ())
    }
    if 'value' in medians:
        medians['least'] = min(one['value'] for one in rounds)
    made = {
        'case': case_name,
        'peer': peer,
        'style': '',
        'ours': peer.startswith('ours'),
        'ceiling': peer.startswith('C '),
        'server': {'version': '1.0'},
        'median': medians,
        'instructions': None,
        'rounds': rounds,
        'disturbed': False,
        'failed': '',
        'unavailable': '',
        'not_counted': '',
    }
    return {**made, **more}


def loaded(cpu_us: float) -> dict[str, float]:
    """A round, of a server that is never idle."""
    return {
        'requests': 50_000,
        'requests_per_second': 1e6 / cpu_us,
        'p50_us': 10 * cpu_us,
        'p90_us': 12 * cpu_us,
        'p99_us': 20 * cpu_us,
        'cpu_us': cpu_us,
        'user_us': cpu_us * 0.25,
        'system_us': cpu_us * 0.75,
        'waiting': 0.0,
    }


def document(
    cases: list[dict[str, Any]], rows: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        'format': 2,
        'date': '2026-11-26T00:00:00Z',
        'machine': MACHINE,
        'plan': 'full',
        'rounds': 5,
        'seconds': 1,
        'cases': cases,
        'rows': rows,
    }


def write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(json.dumps(document))
    return path
