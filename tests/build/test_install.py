"""What pip makes of us: installed, packed, and beside the original."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.build.tools import (
    QUICKLY,
    ROOT,
    assert_works,
    copy_checkout,
    load,
    make_venv,
    must,
    run,
)

pytestmark = [pytest.mark.build, pytest.mark.timeout(300)]

PYTHONS = load(ROOT / '.ci' / 'dev.py').all_pythons()
ORIGINAL = 'httptools==0.9.0'


def pip(python: str) -> tuple[str, ...]:
    return (python, '-m', 'pip', '--disable-pip-version-check', '-q')


@pytest.mark.parametrize('python', PYTHONS, ids=lambda python: python.name)
def test_pip_install_in_a_clean_venv_needs_no_other_step(python, tmp_path):
    # Nothing is there but what a clone holds: pip builds in an isolated
    # environment, and the sources are fetched by the pip in it.
    clone = copy_checkout(tmp_path / 'clone', sources=False)
    executable = make_venv(tmp_path / 'venv', python.executable)

    must(*pip(executable), 'install', '.', cwd=clone, environ=QUICKLY)

    assert_works(executable, tmp_path)


def test_the_sdist_holds_the_sources_and_what_the_verbs_need(sdist):
    with tarfile.open(sdist) as tar:
        names = {name.partition('/')[2] for name in tar.getnames()}

    for name in (
        'vendor/src/libuv/src/unix/linux.c',
        'vendor/src/libuv/LICENSE',
        'vendor/src/llhttp/src/llhttp.c',
        'vendor/src/llhttp/LICENSE',
        'vendor/pins.txt',
        'httptools/src/module.c',
        'uvloop_core/src/module.c',
        'uvloop_core/src/libuv_hooks.h',
        'include/compat.h',
        'examples/hello.py',
        'tests/conftest.py',
        'Makefile',
        '.ci/dev.py',
        '.ci/run',
    ):
        assert name in names
    assert not [name for name in names if name.endswith(('.so', '.pyc', '.o'))]


def test_the_wheel_of_the_sdist_works_without_network_or_checkout(
    wheel, tmp_path
):
    executable = make_venv(tmp_path / 'venv')
    must(
        *(*pip(executable), 'install', '--no-index', wheel),
        cwd=tmp_path,
        network=False,
    )

    assert_works(executable, tmp_path)


def test_the_wheel_holds_licences_and_types_but_no_c(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = next(n for n in names if n.endswith('.dist-info/METADATA'))
        metadata = archive.read(info).decode()

    assert 'httptools/LICENSE.llhttp' in names
    assert 'uvloop_core/LICENSE.libuv' in names
    assert 'httptools/py.typed' in names
    assert 'httptools/_http.pyi' in names
    assert not [name for name in names if name.endswith(('.c', '.h'))]
    assert not [name for name in names if name.startswith(('tests', 'ex'))]
    assert 'Requires-Dist' not in metadata
    assert 'Requires-Python: >=3.11' in metadata


@pytest.mark.parametrize('first', ['ours', 'the original'])
def test_beside_the_original_importing_says_what_to_uninstall(
    first, wheel, tmp_path
):
    executable = make_venv(tmp_path / 'venv')
    order = [str(wheel), ORIGINAL]
    if first == 'the original':
        order.reverse()
    for what in order:
        must(*pip(executable), 'install', '--no-deps', what, cwd=tmp_path)

    done = run(executable, '-c', 'import httptools', cwd=tmp_path)

    assert done.code == 1
    line = done.output.splitlines()[-1]
    assert line.startswith('ImportError: ')
    assert 'pip uninstall httptools httptools-uv' in line


def test_the_advice_for_the_collision_helps(wheel, tmp_path):
    executable = make_venv(tmp_path / 'venv')
    for what in (str(wheel), ORIGINAL):
        must(*pip(executable), 'install', '--no-deps', what, cwd=tmp_path)

    must(
        *(*pip(executable), 'uninstall', '-y', 'httptools', 'httptools-uv'),
        cwd=tmp_path,
    )
    must(*pip(executable), 'install', wheel, cwd=tmp_path)

    assert_works(executable, tmp_path)


def test_an_incremental_build_makes_only_what_changed(checkout: Path):
    build = (sys.executable, 'setup.py', '-q', 'build_ext')
    must(*build, cwd=checkout, environ=QUICKLY)

    idle = must(*build, cwd=checkout, environ=QUICKLY)
    (checkout / 'httptools/src/url.c').touch()
    touched = must(*build, cwd=checkout, environ=QUICKLY)

    assert 'making' not in idle
    assert touched.count('making') == 2
