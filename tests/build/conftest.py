"""What is built once a session, and copies for a test to break."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.build.tools import QUICKLY, ROOT, copy_checkout, must


@pytest.fixture(scope='session')
def no_network() -> None:
    """Skips where the kernel does not let us make a network namespace."""
    probe = subprocess.run(['unshare', '--net', 'true'], check=False)
    if probe.returncode:
        pytest.skip('unshare --net is not permitted here')


@pytest.fixture(scope='session')
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One to build in; a test that breaks things makes its own copy."""
    assert (ROOT / 'vendor' / 'src' / 'libuv').is_dir(), 'run make build first'
    return copy_checkout(tmp_path_factory.mktemp('copy') / 'checkout')


@pytest.fixture(scope='session')
def sdist(checkout: Path) -> Path:
    must(sys.executable, 'setup.py', '-q', 'sdist', cwd=checkout)
    (path,) = (checkout / 'dist').glob('*.tar.gz')
    return path


@pytest.fixture(scope='session')
def wheel(
    sdist: Path, no_network: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Made of the sdist, without network, as a distribution would."""
    folder = tmp_path_factory.mktemp('wheel')
    must(
        *(sys.executable, '-m', 'pip', 'wheel', '-q', '--no-index'),
        *('--no-build-isolation', '--no-deps', '-w', folder, sdist),
        cwd=folder,
        environ=QUICKLY,
        network=False,
    )
    (path,) = folder.glob('*.whl')
    return path


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout without vendor/src, for one test to break."""
    return copy_checkout(tmp_path / 'copy', sources=False)
