"""What holds for every test: a clean start and a clean end.

Each test has a deadline (`timeout` in pyproject.toml) and warnings are
errors, ResourceWarning and unraisable exceptions too. After each test the
open files and the threads are as they were before it.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXTENSIONS = ('httptools._http', 'uvloop_core._core')

# After what PYTHONPATH names: another profile's build goes before the root.
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))


def extension_path(name: str) -> str:
    """Where the extension would be loaded from, without importing it."""
    package = importlib.util.find_spec(name.split('.')[0])
    for folder in (package and package.submodule_search_locations) or ():
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = Path(folder, name.split('.')[1] + suffix)
            if path.exists():
                return str(path)
    return 'not built'


def pytest_report_header() -> list[str]:
    return [f'{name}: {extension_path(name)}' for name in EXTENSIONS]


def pytest_sessionstart() -> None:
    """Refuses to test another build than the one that was asked for."""
    profile = os.environ.get('PROFILE') or 'release'
    for name in EXTENSIONS:
        path = extension_path(name)
        if profile != 'release' and f'/build/{profile}-' not in path:
            pytest.exit(f'PROFILE={profile}, but {name} is {path}', 3)


def pytest_collection_finish() -> None:
    """What exists by now need not be looked at in each teardown."""
    gc.collect()
    gc.freeze()


def open_files() -> dict[int, str]:
    files = {}
    folder = '/proc/self/fd' if os.path.exists('/proc/self/fd') else '/dev/fd'
    for name in os.listdir(folder):
        try:
            files[int(name)] = os.readlink(f'{folder}/{name}')
        except OSError:
            # The descriptor of this very listing, or a system without links.
            continue
    return files


def wait_for_threads(before: set[threading.Thread]) -> list[str]:
    """Threads that were started since and do not end in good time."""
    deadline = time.monotonic() + 10.0
    while True:
        new = [
            thread.name
            for thread in threading.enumerate()
            if thread not in before
        ]
        if not new or time.monotonic() > deadline:
            return new
        time.sleep(0.005)


@pytest.fixture(scope='session', autouse=True)
def sigint_interrupts() -> None:
    """A shell starts what runs in its background with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope='session', autouse=True)
def what_libuv_keeps() -> None:
    """libuv opens a pipe for the whole process with its first loop."""
    if extension_path('uvloop_core._core') != 'not built':
        importlib.import_module('uvloop_core').new_event_loop().close()


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Fails a test that leaves a file, a socket or a thread open.

    uvloop_core's own counters (opened == closed) are checked by the fixtures
    in tests/uvloop_core/conftest.py.
    """
    threads = set(threading.enumerate())
    files = open_files()

    yield

    # What is unreachable now complains now, and not in another test.
    gc.collect()
    left = wait_for_threads(threads)
    assert not left, f'threads left running: {left}'
    now = open_files()
    assert now == files, (
        f'files left open: {now.items() - files.items()},'
        f' closed: {files.items() - now.items()}'
    )


@pytest.fixture(scope='session')
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The files of a self-signed certificate and its key."""
    if shutil.which('openssl') is None:
        pytest.skip('openssl is not installed')
    folder = tmp_path_factory.mktemp('certificate')
    cert, key = folder / 'cert.pem', folder / 'key.pem'
    command = 'openssl req -x509 -nodes -newkey ec -days 2 -subj /CN=test'
    command += ' -pkeyopt ec_paramgen_curve:prime256v1'
    command += ' -addext subjectAltName=IP:127.0.0.1'
    subprocess.run(
        [*command.split(), '-keyout', key, '-out', cert],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def client_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate[0])
