"""Programs that tests run beside them: what they import, curl and wrk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# -P: the extensions that PYTHONPATH names are tested, not those that may lie
# in the checkout (see tests/conftest.py).
PYTHON = [sys.executable, '-P', '-W', 'always']


def environment() -> dict[str, str]:
    path = [os.environ.get('PYTHONPATH'), str(ROOT)]
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, path))}


def run_code(code: str, *arguments: str) -> tuple[str, str]:
    """What that Python code prints, to stdout and stderr, in a process of its
    own; it fails the test if it does not end well."""
    done = subprocess.run(
        [*PYTHON, '-c', code, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    return done.stdout, done.stderr


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f'{program} is not installed'
    )


def curl(*arguments: str) -> bytes:
    """What it prints; an error of its own fails the test."""
    command = ['curl', '--silent', '--show-error', '--max-time', '30']
    # No proxy of the machine's may stand between.
    command += ['--noproxy', '*', *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def wrk(url: str, *options: str, connections: int, seconds: int) -> int:
    """The number of answers; one error fails the test."""
    load = [f'-c{connections}', f'-d{seconds}s', '--timeout', '20s']
    command = ['wrk', '-t1', *load, *options, url]

    out = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout

    print(out)  # pytest -s shows the figures
    found = re.search(r'(\d+) requests in', out)
    assert found is not None and int(found[1]) > 0
    assert 'Socket errors' not in out
    assert 'Non-2xx' not in out
    return int(found[1])
