"""httptools 0.9.0's own tests, from its sdist, against our httptools.

The sdist is the one that vendor/pins.txt names, with its hash; nothing of it
is kept.
"""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import httptools

ROOT = Path(__file__).resolve().parent.parent.parent
PINS = ROOT / 'vendor' / 'pins.txt'
FETCH = ROOT / 'vendor' / 'fetch.py'
TESTS = 'httptools-0.9.0/tests/test_parser.py'
COUNT = 41


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """The file of upstream's tests, downloaded by pip, which checks it."""
    line = re.search(r'^httptools==.*', PINS.read_text(), re.M)
    assert line is not None
    requirements = tmp_path / 'requirements.txt'
    requirements.write_text(line[0] + '\n')
    command = [
        *(sys.executable, '-m', 'pip', 'download', '--quiet', '--no-input'),
        *('--no-deps', '--no-binary=:all:', '--no-build-isolation'),
        *('--require-hashes', f'--requirement={requirements}'),
        f'--dest={tmp_path}',
    ]
    environ = runpy.run_path(str(FETCH))['pip_environment']()
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    with tarfile.open(tmp_path / 'httptools-0.9.0.tar.gz') as archive:
        source = archive.extractfile(TESTS)
        assert source is not None
        path = tmp_path / 'test_parser.py'
        path.write_bytes(source.read())
    return path


@pytest.mark.timeout(180)
def test_httptools_own_tests_pass_against_ours(suite: Path) -> None:
    ours = Path(httptools.__file__).parent.parent
    command = [
        *(sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider'),
        *('-c', os.devnull, f'--rootdir={suite.parent}', str(suite)),
    ]
    environ = {**os.environ, 'PYTHONPATH': str(ours), 'PYTHONSAFEPATH': '1'}

    done = subprocess.run(command, env=environ, capture_output=True, text=True)

    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf'^{COUNT} passed', done.stdout, re.M), done.stdout
