"""The verbs, and that the README names the two a newcomer needs."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.conftest import ROOT

VERBS = """
    serve test test-all lint format debug asan portable bench fuzz fuzz-c
    upstream dist clean
""".split()


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ['make', *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize('verb', VERBS)
def test_help_has_a_line_for_each_verb(verb):
    lines = make('help').stdout.splitlines()

    assert [line for line in lines if line.startswith(f'make {verb} ')]


def test_help_is_what_a_bare_make_shows():
    assert make().stdout == make('help').stdout


def test_the_readme_names_serve_and_test():
    text = (ROOT / 'README.md').read_text()

    assert re.search(r'^ *make serve\b', text, re.M)
    assert re.search(r'^ *make test\b', text, re.M)


def test_a_python_that_is_too_old_is_told_in_one_line(tmp_path):
    old = tmp_path / 'python3'
    # Runs the check as Python 3.9 would see itself.
    code = 'import sys; sys.version_info = (3, 9, 1); exec(sys.argv[2])'
    old.write_text(f"#!/bin/sh\nexec python3 -c '{code}' \"$@\"\n")
    old.chmod(0o755)

    done = make('test', f'PYTHON={old}')

    lines = [line for line in done.stderr.splitlines() if 'error:' in line]
    assert len(lines) == 1
    assert 'CPython 3.11 or later is needed' in lines[0]
    assert 'is 3.9: run make PYTHON=' in lines[0]
    assert done.returncode != 0


def test_third_party_source_is_never_tracked():
    if not shutil.which('git') or not (ROOT / '.git').exists():
        pytest.skip('not a git checkout')
    listed = subprocess.run(
        ['git', 'ls-files', 'vendor', '*.so', 'build', 'dist'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert listed.stdout.split() == [
        'vendor/fetch.py',
        'vendor/pins.txt',
        'vendor/sources.py',
    ]
