"""What the built extensions show to the process that loads them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import EXTENSIONS, ROOT, extension_path

# Tables whose type CPython's API has without const; nobody writes to them.
TABLES = re.compile(
    r'(.+_)?(def|functions|getset|members|methods|slots|spec)'
    r'|(keywords|names)\.\d+'
)
PROFILE = os.environ.get('PROFILE') or 'release'
# What changes after it is loaded, and is right to be shared.
MUTABLE = {
    'fork_count',  # a child's pthread_atfork handler has no other way
    'polling',  # thread-local: the loop whose uv_run this thread is in
}


def nm(*arguments: str) -> list[list[str]]:
    """The table that nm prints: name, value, class, type, size, -, section."""
    done = subprocess.run(
        ['nm', '--format=sysv', '--defined-only', *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split('|') for line in done.stdout.splitlines()]
    return [[cell.strip() for cell in row] for row in rows if len(row) == 7]


def writable(path: Path) -> list[tuple[str, str]]:
    """The symbols in sections that stay writable (.data.rel.ro does not)."""
    return [
        (row[0], row[-1])
        for row in nm(str(path))
        if re.match(r'\.t?(data(?!\.rel\.ro)|bss)|\*COM\*', row[-1])
    ]


@pytest.mark.parametrize('name', EXTENSIONS)
def test_only_the_init_function_is_exported(name):
    symbols = [row[0] for row in nm('-D', extension_path(name))]

    assert symbols == ['PyInit_' + name.split('.')[1]]


def objects(name: str) -> list[Path]:
    """Of our own files, of the profile that is being tested."""
    threads = 't' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''
    debug = 'd' if hasattr(sys, 'gettotalrefcount') else ''
    tag = 'cp{}{}'.format(*sys.version_info) + threads + debug
    folder = ROOT / 'build' / f'{PROFILE}-{tag}' / 'temp' / name
    sources = (ROOT / name.split('.')[0] / 'src').glob('*.c')
    relative = [source.relative_to(ROOT) for source in sources]
    return [folder / path.with_suffix('.o') for path in relative]


@pytest.mark.parametrize('name', EXTENSIONS)
def test_no_static_of_ours_is_mutable(name):
    if PROFILE in ('asan', 'tsan', 'cov'):
        pytest.skip('this profile adds its own data to each object')
    if PROFILE == 'release':
        pytest.skip('optimised at the link: the objects have no symbols yet')

    found = [
        f'{path.name}: {symbol} in {section}'
        for path in objects(name)
        for symbol, section in writable(path)
        if symbol not in MUTABLE and not TABLES.fullmatch(symbol)
    ]

    assert found == []
