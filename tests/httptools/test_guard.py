"""A mixture with the original httptools is refused, see httptools/_guard.py.

Here a copy of the package is made to look like what pip leaves behind;
tests/build installs both distributions.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import httptools

PACKAGE = Path(httptools.__file__).parent
REMEDY = 'Run: pip uninstall httptools httptools-uv && pip install'
# The imports of the original, in its order.
THEIR_INIT = 'from . import parser\n__version__ = "0.9.0"\n'
THEIR_PARSER_INIT = (
    'from .protocol import HTTPProtocol\n'
    'from .parser import HttpRequestParser, HttpResponseParser\n'
    'from .errors import HttpParserError\n'
    'from .url_parser import parse_url\n'
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    copy = tmp_path / 'httptools'
    shutil.copytree(
        PACKAGE, copy, ignore=shutil.ignore_patterns('src', '__pycache__')
    )
    return copy


def last_line(copy: Path, code: str = 'import httptools') -> str:
    """What Python says at last when it imports the copy."""
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        cwd='/',
        env={**os.environ, 'PYTHONPATH': str(copy.parent)},
    )
    lines = done.stderr.splitlines() or ['']
    return lines[-1]


def test_copy_can_be_imported(copy: Path) -> None:
    assert last_line(copy) == ''


@pytest.mark.parametrize('suffix', ['cpython-311-x86_64-linux-gnu.so', 'so'])
@pytest.mark.parametrize('stem', ['parser', 'url_parser'])
def test_ours_over_the_original_is_refused(
    copy: Path, stem: str, suffix: str
) -> None:
    (copy / 'parser' / f'{stem}.{suffix}').write_bytes(b'')

    line = last_line(copy)

    assert line.startswith("ImportError: 'httptools-uv' and the original")
    assert f'has its {stem}.{suffix}' in line
    assert REMEDY in line


@pytest.mark.parametrize(
    'code',
    [
        'import httptools',
        'import httptools.parser.errors',
        'from httptools.parser.url_parser import parse_url',
        'import httptools._http',
    ],
)
def test_the_original_over_ours_is_refused(copy: Path, code: str) -> None:
    (copy / '__init__.py').write_text(THEIR_INIT)
    (copy / 'parser' / '__init__.py').write_text(THEIR_PARSER_INIT)
    (copy / 'parser' / 'parser.so').write_bytes(b'')

    assert REMEDY in last_line(copy, code)


def test_the_originals_init_alone_is_refused(copy: Path) -> None:
    (copy / '__init__.py').write_text(THEIR_INIT)

    line = last_line(copy)

    assert 'has its __init__.py' in line
    assert REMEDY in line


def test_what_uninstalling_the_original_leaves_is_refused(copy: Path) -> None:
    (copy / '__init__.py').unlink()
    (copy / 'parser' / '__init__.py').unlink()

    line = last_line(copy, 'from httptools.parser.parser import *')

    assert 'has no __init__.py any more' in line
    assert REMEDY in line


def test_compiled_module_of_another_version_is_refused(copy: Path) -> None:
    (copy / '_version.py').write_text("__version__ = '9.9'\n")

    line = last_line(copy)

    assert 'is of httptools-uv 9.9, but its compiled module is of' in line


def test_missing_compiled_module_is_told(copy: Path) -> None:
    for path in copy.glob('_http*.so'):
        path.unlink()

    line = last_line(copy)

    assert 'has no compiled module for this Python' in line
    assert 'make build' in line
