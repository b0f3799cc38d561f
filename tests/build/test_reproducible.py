"""The same bytes from the same sources: another folder, another day."""

from __future__ import annotations

import os
import sys
import tarfile
from pathlib import Path

import pytest

from tests.build.tools import copy_checkout, must

pytestmark = [pytest.mark.build, pytest.mark.timeout(300)]

EPOCH = {'SOURCE_DATE_EPOCH': '1700000000'}


def pack(folder: Path, command: str) -> bytes:
    """Through the build backend itself, as pip and build call it."""
    code = f'from setuptools import build_meta as b; b.build_{command}("out")'
    must(sys.executable, '-c', code, cwd=folder, environ=EPOCH)
    (path,) = (folder / 'out').glob(
        '*.whl' if command == 'wheel' else '*.tar.gz'
    )
    return path.read_bytes()


@pytest.fixture(scope='module')
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two copies in folders of different depth, their files of other days."""
    base = tmp_path_factory.mktemp('two')
    first = copy_checkout(base / 'a')
    second = copy_checkout(base / 'deeper' / 'and' / 'longer')
    for path in second.rglob('*'):
        os.utime(path, (1_500_000_000, 1_500_000_000))
    return [first, second]


@pytest.mark.parametrize('command', ['sdist', 'wheel'])
def test_two_builds_are_identical(elsewhere, command):
    first, second = (pack(folder, command) for folder in elsewhere)

    assert first == second


def test_the_sdist_tells_nothing_of_the_machine(sdist):
    with tarfile.open(sdist) as tar:
        members = tar.getmembers()

    assert {member.mtime for member in members} == {315532800}
    assert {(member.uid, member.gid) for member in members} == {(0, 0)}
    assert {member.uname + member.gname for member in members} == {''}
    assert {member.mode for member in members} <= {0o644, 0o755}
