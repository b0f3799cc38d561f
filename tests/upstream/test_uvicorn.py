"""uvicorn's own tests of its HTTP and WebSocket protocols, on our httptools.

Its sdist and what its tests need are pinned in uvicorn.txt and fetched when
this runs. The same tests on h11 and zttp are left out: they do not run ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

import httptools
from tests.upstream import suite

PINS = suite.HERE / 'uvicorn.txt'
FILES = ('test_http.py', 'test_websocket.py')
FEWEST = 233  # tests that must pass, so that none is lost


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """What the tests import, in a folder of its own."""
    lines = PINS.read_text().splitlines()
    folder = tmp_path / 'tools'
    suite.install(
        [line for line in lines if not line.startswith('uvicorn==')], folder
    )
    return folder


def read_results(path: Path) -> Iterator[tuple[str, str, str]]:
    """What suite.compare takes, from a report of pytest."""
    for case in ElementTree.parse(path).iter('testcase'):
        module = case.get('classname', '').removeprefix('tests.protocols.')
        words = {'failure': 'failed', 'error': 'failed', 'skipped': 'skipped'}
        found = [part for part in case if part.tag in words]
        word = words[found[0].tag] if found else 'passed'
        output = ''.join(part.text or '' for part in case)
        yield f'{module}.{case.get("name")}', word, output


@pytest.mark.timeout(400)
def test_uvicorns_tests_end_as_expected(tmp_path: Path, tools: Path) -> None:
    line = suite.requirement(PINS, 'uvicorn')
    sources = suite.fetch_sdist(tmp_path, line, PYTHONPATH=str(tools))
    report = tmp_path / 'report.xml'
    files = [f'tests/protocols/{name}' for name in FILES]
    ours = Path(httptools.__file__).parent.parent
    paths = os.pathsep.join([str(tools), str(ours)])

    done = subprocess.run(
        [
            *(sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider'),
            *(
                '-o',
                'addopts=',
                '-k',
                'not h11 and not zttp',
                f'--junitxml={report}',
            ),
            *files,
        ],
        cwd=sources,
        env={**os.environ, 'PYTHONPATH': paths, 'PYTHONSAFEPATH': '1'},
        capture_output=True,
        text=True,
    )

    assert report.exists(), done.stdout + done.stderr
    results = list(read_results(report))
    wrong = suite.compare(results)
    assert [word for _, word, _ in results].count('passed') >= FEWEST
    assert not wrong, '\n'.join(wrong)
