"""httptools 0.9.0's own tests, from its sdist, against our httptools.

The sdist is the one that vendor/pins.txt names, with its hash; nothing of it
is kept.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import httptools
from tests.upstream import suite

COUNT = 41


@pytest.mark.timeout(180)
def test_httptools_own_tests_pass_against_ours(tmp_path: Path) -> None:
    line = suite.requirement(suite.PINS, 'httptools')
    tests = suite.fetch_sdist(tmp_path, line) / 'tests' / 'test_parser.py'
    ours = Path(httptools.__file__).parent.parent
    command = [
        *(sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider'),
        *('-c', os.devnull, f'--rootdir={tests.parent}', str(tests)),
    ]
    environ = {**os.environ, 'PYTHONPATH': str(ours), 'PYTHONSAFEPATH': '1'}

    done = subprocess.run(command, env=environ, capture_output=True, text=True)

    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf'^{COUNT} passed', done.stdout, re.M), done.stdout
