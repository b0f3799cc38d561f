"""Copies of the checkout, virtual environments, commands and their output."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]

# No test here may depend on how the tests themselves were started.
DROPPED = (
    'CC',
    'CFLAGS',
    'CPPFLAGS',
    'HTTPTOOLS_UV_SOURCES',
    'LDFLAGS',
    'PROFILE',
    'PYTHONPATH',
    'PYTHONSAFEPATH',
    'SOURCE_DATE_EPOCH',
)


@dataclass(frozen=True)
class Done:
    """What a command printed, both streams in one, and its exit code."""

    code: int
    output: str

    def lines_with(self, word: str) -> list[str]:
        return [line for line in self.output.splitlines() if word in line]


def run(
    *command: str | Path,
    cwd: Path,
    environ: Mapping[str, str] | None = None,
    network: bool = True,
) -> Done:
    clean = {k: v for k, v in os.environ.items() if k not in DROPPED}
    prefix = [] if network else ['unshare', '--net']
    done = subprocess.run(
        [*prefix, *map(str, command)],
        cwd=cwd,
        env={**clean, **(environ or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
        timeout=280,
        check=False,
    )
    return Done(done.returncode, done.stdout)


def must(*command: str | Path, **options: object) -> str:
    done = run(*command, **options)  # type: ignore[arg-type]
    assert done.code == 0, done.output
    return done.output


def assert_one_clear_line(done: Done, *words: str) -> None:
    """It failed, without a traceback, in one line that says all of this."""
    assert done.code != 0, done.output
    assert 'Traceback' not in done.output, done.output
    lines = done.lines_with(words[0])
    assert len(lines) == 1, done.output
    assert 'error: ' in lines[0]
    for word in words:
        assert word in lines[0]


def load(path: Path) -> ModuleType:
    """A script that lies in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def copy_checkout(target: Path, sources: bool = True) -> Path:
    """The checkout as a clone would be, with or without vendor/src."""
    skipped = ['.git', '.venv', 'build', 'dist', '*.egg-info', '*.so']
    skipped += ['__pycache__', '.*_cache', '.fetch-*', 'httptools_uv-*']
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*skipped))
    if not sources:
        shutil.rmtree(target / 'vendor' / 'src')
    return target


def make_venv(
    folder: Path, python: str = sys.executable, tools: Sequence[str] = ()
) -> str:
    must(python, '-m', 'venv', folder, cwd=folder.parent)
    executable = str(folder / 'bin' / 'python')
    if tools:
        must(
            *(executable, '-m', 'pip', 'install', '-q', *tools),
            cwd=folder.parent,
        )
    return executable


# For builds of which it matters that they work, and not how well.
QUICKLY = {'CFLAGS': '-O0 -fno-lto'}

# Uses both extensions as an installed package, from wherever it is run.
SMOKE = """
import httptools, uvloop_core._core as core, sys
assert sys.prefix in httptools.__file__, httptools.__file__
assert sys.prefix in core.__file__, core.__file__
class Protocol:
    def on_url(self, url):
        print('url', url.decode())
parser = httptools.HttpRequestParser(Protocol())
parser.feed_data(b'GET /smoke HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n')
print('method', parser.get_method().decode(), 'libuv', core.libuv_version())
"""


def assert_works(python: str, cwd: Path) -> None:
    output = must(python, '-c', SMOKE, cwd=cwd, network=True)
    assert 'url /smoke' in output
    assert 'method GET libuv 1.52.1' in output
