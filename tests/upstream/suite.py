"""Runs somebody else's tests on our loop and compares with expected.txt."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop_core

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PINS = ROOT / 'vendor' / 'pins.txt'
FETCH = ROOT / 'vendor' / 'fetch.py'
EXPECTED = HERE / 'expected.txt'
UVLOOP_TOOLS = HERE / 'uvloop.txt'

# How the reason of a test begins that is not even run.
NOT_RUN = 'not run: '

# A test that says nothing for so long is taken to hang.
SILENCE = 60.0

# `import uvloop` is ours for them, and for the programs that they start; what
# only its tests use is added.
SHIM = {
    'uvloop/__init__.py': """\
import ctypes, os, uvloop_core

def unwrap(capsule):
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype = ctypes.c_void_p
    get.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return get(capsule, None)

uvloop = uvloop_core.as_uvloop()
uvloop.__path__.append(os.path.dirname(__file__))
uvloop.loop._testhelper_unwrap_capsuled_pointer = unwrap
""",
}

# All that the tests of processes want of it.
PSUTIL = {
    'psutil.py': """\
import os

class Process:
    def __init__(self, pid):
        self.pid = pid

    def num_fds(self):
        return len(os.listdir(f'/proc/{self.pid}/fd'))
"""
}


@dataclass
class Expected:
    """A line of expected.txt: a test that fails, and why."""

    test: str
    versions: str
    issue: str
    reason: str

    def applies(self) -> bool:
        here = f'{sys.version_info.major}.{sys.version_info.minor}'
        return self.versions == '*' or here in self.versions.split()


def read_lines() -> list[Expected]:
    return [
        Expected(*(part.strip() for part in line.split('|')))
        for line in EXPECTED.read_text().splitlines()
        if line.strip() and not line.startswith('#')
    ]


def read_expected() -> dict[str, Expected]:
    """What fails on the running Python."""
    return {
        each.test: each
        for each in read_lines()
        if each.applies() and not each.reason.startswith(NOT_RUN)
    }


def read_left_out() -> list[str]:
    return [
        each.test
        for each in read_lines()
        if each.applies() and each.reason.startswith(NOT_RUN)
    ]


def write_files(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def requirement(path: Path, name: str) -> str:
    """The line of a file of pins that begins with it."""
    line = re.search(rf'^{name}==.*', path.read_text(), re.MULTILINE)
    assert line is not None, f'{path} does not pin {name}'
    return line[0]


def pip(arguments: list[str], environ: dict[str, str]) -> None:
    command = [sys.executable, '-m', 'pip', '--quiet', '--no-input']
    cleaned = runpy.run_path(str(FETCH))['pip_environment']()
    done = subprocess.run(
        [*command, *arguments],
        env={**cleaned, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def install(lines: list[str], folder: Path) -> None:
    """Have pip put these distributions into a folder, and no other."""
    names = [line for line in lines if line and line[0] != '#']
    # No dependencies: they may be the originals of ours.
    options = ['--no-deps', '--only-binary=:all:', f'--target={folder}']
    pip(['install', *options, *names], {})


def fetch_sdist(folder: Path, line: str, **environ: str) -> Path:
    """Have pip bring an sdist, by the hash in this line; its folder."""
    requirements = folder / 'requirements.txt'
    requirements.write_text(line + '\n')
    options = [
        *('--no-deps', '--no-binary=:all:', '--no-build-isolation'),
        *('--require-hashes', f'--requirement={requirements}'),
    ]
    pip(['download', *options, f'--dest={folder}'], environ)
    name = line.split()[0].replace('==', '-')
    with tarfile.open(folder / f'{name}.tar.gz') as archive:
        archive.extractall(folder, filter='data')
    return folder / name


def uvloop_suite(folder: Path) -> Path:
    """What their tests need: they, and a package `uvloop` that is ours."""
    sources = fetch_sdist(folder, requirement(PINS, 'uvloop'))
    suite = folder / 'suite'
    (sources / 'tests').rename(suite)
    write_files(suite, SHIM)
    write_files(suite, PSUTIL)
    install(UVLOOP_TOOLS.read_text().splitlines(), suite)
    testbase = sources / 'uvloop' / '_testbase.py'
    testbase.rename(suite / 'uvloop' / '_testbase.py')
    return suite


def run(folder: Path, arguments: list[str]) -> Iterator[tuple[str, str, str]]:
    """How each test ends: its id, a word, and what it has printed.

    A test that crashes or hangs is told so, and the rest runs after it.
    """
    seen = 0
    while True:
        count = 0
        unfinished = ''
        for name, word, output in run_once(folder, arguments, seen):
            if not name:
                # The interpreter's own end, after the last test or in one.
                if not unfinished:
                    yield ' '.join(arguments), word, output
            elif word == 'begin':
                unfinished = name
                count += 1
            else:
                unfinished = ''
                yield name, word, output
        if not unfinished:
            return
        yield unfinished, 'crashed or hung', ''
        seen += count


def run_once(
    folder: Path, arguments: list[str], skip: int
) -> Iterator[tuple[str, str, str]]:
    ours = Path(uvloop_core.__file__).parent.parent
    environ = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(map(str, (folder, ours))),
        'PYTHONSAFEPATH': '1',
    }
    command = [sys.executable, str(HERE / 'runner.py')]
    options = ['--skip', str(skip), '--without', ','.join(read_left_out())]
    with subprocess.Popen(
        [*command, *options, *arguments],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
    ) as child:
        assert child.stdout is not None
        printed = ''
        for line in lines_in_time(child):
            if line.startswith('\t'):
                _, word, name = line.rstrip('\n').split('\t')
                yield name, word, printed
                printed = ''
            else:
                printed += line
    if child.returncode != 0:
        yield '', f'ended with {child.returncode}', printed


def lines_in_time(child: subprocess.Popen[str]) -> Iterator[str]:
    """The child's output; it is killed once it is silent for too long."""
    assert child.stdout is not None
    while True:
        timer = threading.Timer(SILENCE, child.kill)
        timer.start()
        try:
            line = child.stdout.readline()
        finally:
            timer.cancel()
            timer.join()
        if not line:
            return
        yield line


def class_of(test: str) -> str:
    return test.rpartition('.')[0]


def compare(results: list[tuple[str, str, str]]) -> list[str]:
    """Where the results differ from expected.txt; prints a summary."""
    expected = read_expected()
    wrong = []
    for name, word, output in results:
        if word in ('passed', 'skipped'):
            if name in expected and word == 'passed':
                wrong.append(f'{name} passes, but expected.txt lists it')
        elif name not in expected:
            wrong.append(f'{name} {word}:\n{output}')
    names = {name for name, _, _ in results}
    classes = {class_of(name) for name in names}
    for name in expected.keys() - names:
        if class_of(name) in classes:
            wrong.append(f'{name} does not exist, but expected.txt lists it')
    words = [word for _, word, _ in results]
    for word in sorted(set(words)):
        print(f'{words.count(word)} {word}')
    return wrong
