"""vendor/fetch.py: the pinned sources or one line that says what to do."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.build.tools import ROOT, assert_one_clear_line, must, run

pytestmark = pytest.mark.build

BUILD = (sys.executable, 'setup.py', '-q', 'build_ext')
# Where nobody listens; a folder of wheels must not help either.
NO_INDEX = {'PIP_INDEX_URL': 'http://127.0.0.1:9/simple', 'PIP_FIND_LINKS': ''}


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def lying_index(tmp_path: Path) -> Iterator[str]:
    """A package index whose sdists are not the pinned ones."""
    root = tmp_path / 'index'
    for name in ('httptools-0.9.0', 'uvloop-0.23.0'):
        folder = root / name.split('-')[0]
        folder.mkdir(parents=True)
        text = b'Metadata-Version: 2.1\nName: x\nVersion: 1\n'
        member = tarfile.TarInfo(f'{name}/PKG-INFO')
        member.size = len(text)
        with tarfile.open(folder / f'{name}.tar.gz', 'w:gz') as tar:
            tar.addfile(member, io.BytesIO(text))
        link = f'<a href="{name}.tar.gz">{name}.tar.gz</a>'
        (folder / 'index.html').write_text(link)
    server = ThreadingHTTPServer(
        ('127.0.0.1', 0), partial(QuietHandler, directory=str(root))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.timeout(200)
def test_a_fetch_ignores_variables_that_would_lead_pip_astray(copy):
    astray = {
        'PIP_TARGET': '/nonexistent',
        'PIP_PREFIX': '/nonexistent',
        'PIP_USER': '1',
        'PIP_REQUIRE_VIRTUALENV': '1',
        'PIP_CONSTRAINT': '/nonexistent',
    }

    must(sys.executable, 'vendor/fetch.py', cwd=copy, environ=astray)

    files = {path.name for path in (copy / 'vendor').iterdir()}
    assert files - {'__pycache__'} == {
        'fetch.py',
        'pins.txt',
        'sources.py',
        'src',
    }
    # A second run finds them right, and needs no index.
    must(sys.executable, 'vendor/fetch.py', cwd=copy, environ=NO_INDEX)


def test_a_failed_fetch_says_so_in_one_line(copy):
    done = run(*BUILD, cwd=copy, environ=NO_INDEX)

    assert_one_clear_line(
        done, 'cannot fetch', 'check the network', 'HTTPTOOLS_UV_SOURCES'
    )
    assert not (copy / 'vendor' / 'src').exists()
    assert not list((copy / 'vendor').glob('.fetch-*'))


def test_a_wrong_hash_is_refused_in_one_line(copy, lying_index):
    environ = {'PIP_INDEX_URL': lying_index, 'PIP_FIND_LINKS': ''}

    done = run(*BUILD, cwd=copy, environ=environ)

    assert_one_clear_line(done, 'does not match its sha256', 'pins.txt')
    assert not (copy / 'vendor' / 'src').exists()


@pytest.mark.parametrize('change', ['edited', 'added', 'removed', 'linked'])
def test_a_tampered_tree_is_refused_in_one_line(copy, change):
    sources = {'HTTPTOOLS_UV_SOURCES': str(ROOT / 'vendor' / 'src')}
    must(sys.executable, 'vendor/fetch.py', cwd=copy, environ=sources)
    file = copy / 'vendor/src/libuv/src/unix/core.c'
    if change == 'edited':
        file.write_text(file.read_text() + '\n')
    elif change == 'added':
        file.with_name('extra.c').write_text('int extra;\n')
    elif change == 'removed':
        file.unlink()
    else:
        file.with_name('link.c').symlink_to('core.c')

    done = run(*BUILD, cwd=copy)

    assert_one_clear_line(
        done, 'vendor/src/libuv is not libuv 1.52.1', 'remove that folder'
    )


def test_pip_shows_that_line_without_a_traceback(copy):
    broken = {'HTTPTOOLS_UV_SOURCES': str(copy)}
    pip = (sys.executable, '-m', 'pip', 'install', '--no-build-isolation')

    done = run(*pip, '--target', 'x', '.', cwd=copy, environ=broken)

    assert_one_clear_line(done, 'holds neither a folder llhttp nor the file')


def test_sources_are_taken_from_a_folder_of_trees(copy):
    environ = {
        'HTTPTOOLS_UV_SOURCES': str(ROOT / 'vendor' / 'src'),
        **NO_INDEX,
    }

    must(sys.executable, 'vendor/fetch.py', cwd=copy, environ=environ)

    assert (copy / 'vendor/src/libuv/src/unix/core.c').exists()
    assert (copy / 'vendor/src/llhttp/src/llhttp.c').exists()


@pytest.mark.timeout(200)
def test_sources_are_taken_from_a_folder_of_sdists(copy, tmp_path):
    folder = tmp_path / 'sdists'
    must(
        *(sys.executable, '-m', 'pip', 'download', '-q', '--no-deps'),
        *('--no-binary=:all:', '--no-build-isolation', '--require-hashes'),
        *('-r', 'vendor/pins.txt', '-d', folder),
        cwd=copy,
    )
    environ = {'HTTPTOOLS_UV_SOURCES': str(folder), **NO_INDEX}

    must(sys.executable, 'vendor/fetch.py', cwd=copy, environ=environ)
    (folder / 'uvloop-0.23.0.tar.gz').write_bytes(b'another file')
    must('rm', '-r', 'vendor/src', cwd=copy)
    done = run(sys.executable, 'vendor/fetch.py', cwd=copy, environ=environ)

    assert_one_clear_line(done, 'does not match its sha256', 'uvloop==0.23.0')


def test_a_folder_of_other_trees_is_refused_in_one_line(copy, tmp_path):
    for name in ('llhttp', 'libuv'):
        (tmp_path / name / 'src').mkdir(parents=True)
        (tmp_path / name / 'src' / 'core.c').write_text('int other;\n')
    environ = {'HTTPTOOLS_UV_SOURCES': str(tmp_path)}

    done = run(*BUILD, cwd=copy, environ=environ)

    assert_one_clear_line(done, 'as vendor/pins.txt pins it', 'change its pin')
    assert not list((copy / 'vendor').glob('src/*'))


def test_two_fetches_at_once_both_end_well(copy):
    command = [sys.executable, 'vendor/fetch.py']
    environ = {'HTTPTOOLS_UV_SOURCES': str(ROOT / 'vendor' / 'src')}

    fetches = [
        subprocess.Popen(command, cwd=copy, env=environ) for _ in range(4)
    ]
    codes = [fetch.wait() for fetch in fetches]

    assert codes == [0, 0, 0, 0]
    must(*command, cwd=copy, environ=NO_INDEX)
    assert not list((copy / 'vendor').glob('.fetch-*'))


def test_metadata_needs_neither_network_nor_sources(copy, no_network):
    output = must(
        *(sys.executable, 'setup.py', '-q', '--name', '--version'),
        cwd=copy,
        network=False,
    )

    assert output.split()[:1] == ['httptools-uv']
    assert not (copy / 'vendor' / 'src').exists()


def test_a_missing_compiler_is_told_in_one_line(copy):
    environ = {'CC': 'no-such-compiler'}

    done = run(*BUILD, cwd=copy, environ=environ)

    assert_one_clear_line(
        done, 'there is no C compiler', 'no-such-compiler', 'install it'
    )


def test_an_unknown_profile_is_told_in_one_line(copy):
    done = run(*BUILD, cwd=copy, environ={'PROFILE': 'fast'})

    assert 'error: PROFILE=fast: use one of release, debug' in done.output
    assert done.code != 0
    assert 'Traceback' not in done.output
