"""What the Makefile's verbs do: virtual environments, builds, test runs.

It runs on the Python that is to be tested (make PYTHON=python3.13), which the
Makefile has found to be new enough. All it makes is under .venv, build and
dist, but for the release build, whose extensions lie beside the packages.
"""

from __future__ import annotations

import argparse
import fcntl
import glob
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
C_FILES = (
    *('include/*.h', 'httptools/src/*.[ch]', 'uvloop_core/src/*.[ch]'),
    *('bench/*.c', 'bench/peers/*.[ch]', 'fuzz/*.c'),
)
TYPING_SAMPLE = 'tests/httptools/typing_sample.py'
# Of tools, in one virtual environment; others have one each.
GROUPS = ('build', 'test', 'lint', 'integration')
ROTATED = ('3.11', '3.12', '3.13')  # Pythons that uvloop's tests are for
PARTS = 6  # of those tests, one a day
TYPED = ('httptools', 'uvloop_core', 'examples/server')

# Prints what is to be known of an interpreter.
PROBE = """
import json, os, sys, sysconfig, importlib.util
print(json.dumps({
    'name': '%d.%d' % sys.version_info[:2]
        + ('t' if sysconfig.get_config_var('Py_GIL_DISABLED') else '')
        + ('d' if hasattr(sys, 'gettotalrefcount') else ''),
    'version': list(sys.version_info[:3]),
    'base': os.path.realpath(getattr(sys, '_base_executable', sys.executable)),
    'cpython': sys.implementation.name == 'cpython',
    'headers': os.path.exists(
        os.path.join(sysconfig.get_path('include'), 'Python.h')),
    'venv': importlib.util.find_spec('ensurepip') is not None,
}))
"""


@dataclass(frozen=True)
class Python:
    """An interpreter of this machine; `name` is 3.13, 3.13t or 3.13d."""

    executable: str
    name: str
    version: tuple[int, ...]

    @property
    def tag(self) -> str:
        return 'cp' + self.name.replace('.', '')


def fail(message: str) -> NoReturn:
    sys.exit(f'error: {message}')


def run(command: list[str], environ: dict[str, str] | None = None) -> int:
    """Shows the command, runs it, returns its exit code."""
    shown = [f'{key}={value}' for key, value in (environ or {}).items()]
    print('+', shlex.join([*shown, *command]), flush=True)
    return subprocess.run(
        command, env={**os.environ, **(environ or {})}, check=False
    ).returncode


def must(command: list[str], environ: dict[str, str] | None = None) -> None:
    if code := run(command, environ):
        sys.exit(code)


# Interpreters


def probe(executable: str) -> tuple[Python | None, str]:
    """The interpreter, or the reason why it cannot be used ('' if none)."""
    try:
        done = subprocess.run(
            [executable, '-I', '-c', PROBE],
            capture_output=True,
            timeout=30,
            check=True,
        )
        told = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None, ''
    if not told['cpython'] or told['version'] < [3, 11]:
        return None, ''
    if not told['headers']:
        return None, 'it has no Python.h (python3-dev)'
    if not told['venv']:
        return None, 'it has no ensurepip (python3-venv)'
    version = tuple(told['version'])
    return Python(told['base'], told['name'], version), ''


def this_python() -> Python:
    python, reason = probe(sys.executable)
    if python is None:
        fail(f'{sys.executable} cannot be used: {reason}')
    return python


def all_pythons() -> list[Python]:
    """Every CPython from 3.11 up that is found, the newest of each kind."""
    pyenv = os.environ.get('PYENV_ROOT') or os.path.expanduser('~/.pyenv')
    candidates = glob.glob(f'{pyenv}/versions/*/bin/python3')
    for folder in os.get_exec_path():
        candidates += glob.glob(f'{folder}/python3.[0-9]*')
    found: dict[str, Python] = {}
    for path in sorted(set(candidates)):
        if not path.endswith('-config'):
            python, reason = probe(path)
            if python:
                found.setdefault(python.executable, python)
            elif reason:
                print(f'not used: {path}: {reason}')
    best = {python.name: python for python in found.values()}
    for python in found.values():
        if python.version > best[python.name].version:
            best[python.name] = python
    best[this_python().name] = this_python()
    return sorted(best.values(), key=lambda python: python.version)


# Virtual environments


def requirements(group: str) -> list[str]:
    """The dependency group with those that it includes."""
    with open(ROOT / 'pyproject.toml', 'rb') as file:
        groups = tomllib.load(file)['dependency-groups']
    lines = []
    for item in groups[group]:
        if isinstance(item, dict):
            lines += requirements(item['include-group'])
        else:
            lines.append(item)
    return lines


def serving(group: str) -> list[str]:
    """The groups that hold all that this one does, in the same folder."""
    if group not in GROUPS:
        return [group]
    wanted = set(requirements(group))
    return [name for name in GROUPS if wanted <= set(requirements(name))]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def stamp_of(python: Python, group: str) -> str:
    text = '\n'.join(
        [python.executable, str(python.version), *requirements(group)]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def is_stamped(folder: Path, python: Python, group: str) -> bool:
    stamp = folder / f'stamp-{group}'
    return stamp.exists() and stamp.read_text() == stamp_of(python, group)


def venv(python: Python, group: str) -> str:
    """The interpreter of .venv/<name>, with the group's tools installed.

    It is made on first use, and again when the interpreter or the pins
    change: a stamp in it holds their hash. A group that is none of GROUPS
    has a folder of its own.
    """
    name = python.name if group in GROUPS else f'{python.name}-{group}'
    folder = ROOT / '.venv' / name
    executable = str(folder / 'bin' / 'python')
    with locked(ROOT / '.venv' / f'lock-{name}'):
        if any(is_stamped(folder, python, name) for name in serving(group)):
            return executable
        print(f'installing the {group} tools into .venv/{name}')
        made, _ = probe(executable)
        if made is None or made.version != python.version:
            shutil.rmtree(folder, ignore_errors=True)
            must([python.executable, '-m', 'venv', str(folder)])
        stamp = folder / f'stamp-{group}'
        stamp.unlink(missing_ok=True)
        pip = [executable, '-m', 'pip', '--disable-pip-version-check']
        if run([*pip, 'install', '--quiet', *requirements(group)]):
            fail(
                f'the tools could not be installed into {folder}, pip says'
                ' why above: is the package index reachable?'
            )
        stamp.write_text(stamp_of(python, group))
    return executable


# Builds and test runs


def build(python: Python, profile: str, executable: str) -> dict[str, str]:
    """Builds, and returns the environment that makes the build importable.

    The release build is in place. Any other has a folder of its own, which
    comes before the root on sys.path; the safe path keeps the current folder
    from coming before both.
    """
    setup = [executable, 'setup.py', '-q']
    paths = [str(ROOT)]
    if profile == 'release':
        must([*setup, 'build_ext', '--inplace'], {'PROFILE': profile})
    else:
        must([*setup, 'build'], {'PROFILE': profile})
        paths.insert(0, str(ROOT / f'build/{profile}-{python.tag}/lib'))
    return {
        'PROFILE': profile,
        'PYTHONSAFEPATH': '1',
        'PYTHONPATH': os.pathsep.join(paths),
    }


def sanitizer(python: Python, profile: str) -> tuple[dict[str, str], str]:
    """The environment of a sanitizer's run, and where its reports go.

    Python itself is not sanitized, so the runtime is loaded before it; its
    own allocator is set aside, or it would hide misuse of freed objects.
    """
    reports = str(ROOT / f'build/{profile}-{python.tag}/report')
    names = {'asan': ('libasan.so', 'libubsan.so'), 'tsan': ('libtsan.so',)}
    compiler = shlex.split(
        os.environ.get('CC') or sysconfig.get_config_var('CC') or 'cc'
    )[0]
    libraries = [
        subprocess.run(
            [compiler, f'-print-file-name={name}'],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for name in names[profile]
    ]
    spared = ROOT / f'build/{profile}-{python.tag}/bin'
    spare_programs(spared)
    common = f'halt_on_error=1:print_stacktrace=1:log_path={reports}'
    return {
        'PATH': f'{spared}{os.pathsep}{os.environ["PATH"]}',
        'LD_PRELOAD': ' '.join(os.path.realpath(name) for name in libraries),
        'PYTHONMALLOC': 'malloc',
        # CPython leaves memory at exit by design; leaks are tested otherwise.
        'ASAN_OPTIONS': f'detect_leaks=0:{common}',
        'UBSAN_OPTIONS': common,
        'TSAN_OPTIONS': common,
    }, reports


def spare_programs(folder: Path) -> None:
    """Puts programs there that the tests run, free of the preloaded runtime.

    curl hangs under it, and wrk has a heap of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ('curl', 'wrk'):
        if found := shutil.which(name):
            wrapper = folder / name
            wrapper.write_text(
                f'#!/bin/sh\nunset LD_PRELOAD\nexec {found} "$@"\n'
            )
            wrapper.chmod(0o755)


def pytest(
    python: Python, profile: str, arguments: list[str], group: str = 'test'
) -> int:
    """Builds and tests one profile on one Python."""
    began = time.monotonic()
    executable = venv(python, group)
    environ = build(python, profile, executable)
    reports = ''
    if profile in ('asan', 'tsan'):
        extra, reports = sanitizer(python, profile)
        environ |= extra
        arguments = ['-o', 'timeout=150', *arguments]
        for path in glob.glob(f'{reports}.*'):
            os.remove(path)
    # Two processes for each core, since half of the tests mostly wait; one
    # that runs dry takes tests from another.
    number = 2 * len(os.sched_getaffinity(0))
    workers = ['-n', str(number), '--dist=worksteal']
    code = run([executable, '-m', 'pytest', *workers, *arguments], environ)
    if reports:
        found = glob.glob(f'{reports}.*')
        for path in found:
            print(Path(path).read_text(errors='replace'))
        print(f'{profile}: {len(found)} reports')
        code = code or bool(found)
    print(
        f'=== {profile} on {python.name}: {"FAILED" if code else "passed"}'
        f' in {time.monotonic() - began:.0f} s',
        flush=True,
    )
    return code


def select(marks: str) -> list[str]:
    return ['--ignore=tests/upstream', '-m', marks]


# Verbs


def do_build(arguments: list[str]) -> int:
    python = this_python()
    build(python, 'release', venv(python, 'build'))
    return 0


def exec_module(module: str, arguments: list[str]) -> NoReturn:
    """Builds, and becomes python -m MODULE: signals reach it directly."""
    python = this_python()
    executable = venv(python, 'build')
    environ = build(python, 'release', executable)
    os.execve(
        executable,
        [executable, '-m', module, *arguments],
        {**os.environ, **environ},
    )


def do_serve(arguments: list[str]) -> NoReturn:
    exec_module('examples.server', arguments)


def do_bench(arguments: list[str]) -> NoReturn:
    exec_module('bench.run', arguments)


def do_report(arguments: list[str]) -> int:
    """The page and the charts; the plotting library stays apart from ours."""
    executable = venv(this_python(), 'bench')
    return run([executable, '-m', 'bench.report', *arguments])


def do_compare(arguments: list[str]) -> int:
    return run([sys.executable, '-m', 'bench.compare', *arguments])


def do_fuzz(arguments: list[str]) -> NoReturn:
    exec_module('fuzz.differential', arguments)


def do_fuzz_c(arguments: list[str]) -> NoReturn:
    exec_module('fuzz.guided', arguments)


def do_test(arguments: list[str]) -> int:
    marks = select('not slow and not build')
    return pytest(this_python(), 'release', marks + arguments)


def do_test_all(arguments: list[str]) -> int:
    """The quick tests on each Python, the slow and the build's on this one.

    With --after-test, this Python's quick tests are those of `make test`.
    """
    codes = {}
    here = this_python()
    mine = 'not build'
    if '--after-test' in arguments:
        arguments.remove('--after-test')
        mine = 'slow and not build'
    groups = dict.fromkeys(all_pythons(), 'test')
    # gRPC has no wheels for free-threaded builds.
    if not here.name.endswith('t'):
        groups[here] = 'integration'
    # pip takes one core, and waits for the network.
    with ThreadPoolExecutor() as pool:
        list(pool.map(venv, groups.keys(), groups.values()))
    for python, group in groups.items():
        # The bench is a tool: that it works on one of them is enough.
        chosen = [*select('not slow and not build'), '--ignore=tests/bench']
        if python == here:
            chosen = select(mine)
        codes[python.name] = pytest(
            python, 'release', chosen + arguments, group
        )
    if not arguments:
        codes['build'] = pytest(this_python(), 'release', select('build'))
    failed = [name for name, code in codes.items() if code]
    print('test-all on', ', '.join(codes), end=': ')
    print('FAILED on ' + ', '.join(failed) if failed else 'all passed')
    return bool(failed)


def do_profile(arguments: list[str]) -> int:
    profile, *rest = arguments
    # The bench measures the release build, from outside of the process.
    marks = [*select('not slow and not build'), '--ignore=tests/bench']
    return pytest(this_python(), profile, marks + rest)


def do_upstream(arguments: list[str]) -> int:
    """The peers' own suites; they are fetched and hash-checked when run.

    --rotate is for .ci/run: all of them on the newest Python that they are
    for, and on the others a part, another one each day.
    """
    folder = 'tests/upstream'
    rest = [each for each in arguments if each != '--rotate']
    if rest == arguments:
        return pytest(this_python(), 'release', [folder, *rest])
    found = {each.name: each for each in all_pythons()}
    *older, newest = [found[name] for name in ROTATED if name in found] or [
        this_python()
    ]
    code = pytest(newest, 'release', [folder, *rest])
    part = f'--part={time.gmtime().tm_yday % PARTS}/{PARTS}'
    with ThreadPoolExecutor() as pool:
        codes = pool.map(
            lambda python: pytest(python, 'release', [folder, part, *rest]),
            older,
        )
        return max(code, *codes, 0)


def do_dist(arguments: list[str]) -> int:
    executable = venv(this_python(), 'build')
    must([executable, 'setup.py', '-q', 'sdist'])
    pip = [executable, '-m', 'pip', 'wheel', '-q', '--no-build-isolation']
    must([*pip, '--no-deps', '--wheel-dir', 'dist', '.'])
    print(*sorted(glob.glob('dist/*')), sep='\n')
    return 0


def do_clean(arguments: list[str]) -> int:
    """Leaves .venv and vendor/src, which cost a download."""
    doomed = ['build', 'dist', *glob.glob('*.egg-info')]
    doomed += glob.glob('*/*.so') + glob.glob('.*_cache')
    doomed += glob.glob('**/__pycache__', recursive=True)
    for path in doomed:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.remove(path)
    return 0


def c_files() -> list[str]:
    return sorted(path for pattern in C_FILES for path in glob.glob(pattern))


def do_format(arguments: list[str]) -> int:
    tools = Path(venv(this_python(), 'lint')).parent
    if files := c_files():
        must([f'{tools}/clang-format', '-i', *files])
    must([f'{tools}/ruff', 'check', '-q', '--fix-only', '--select=I', '.'])
    must([f'{tools}/ruff', 'format', '-q', '.'])
    return 0


def lint_commands(tools: Path, database: str) -> Iterator[list[str]]:
    files = c_files()
    units = [path for path in files if path.endswith('.c')]
    typed = [name for name in TYPED if glob.glob(f'{name}/*.py')]
    packages = [name for name in typed if '/' not in name]
    yield [f'{tools}/clang-format', '--dry-run', '-Werror', *files]
    for unit in units:
        # What is in no database is taken for the nearest file that is: it may
        # need the other library.
        both = [
            f'--extra-arg=-isystem{ROOT}/vendor/src/{name}/include'
            for name in ('llhttp', 'libuv')
        ]
        yield [f'{tools}/clang-tidy', '--quiet', '-p', database, *both, unit]
    yield [
        *('cppcheck', '--quiet', '--std=c11', '--error-exitcode=1'),
        *('--enable=warning,portability', '--inline-suppr', '-Iinclude'),
        # It does not know Py_RETURN_NONE, and -Wall tells of a real one.
        '--suppress=missingReturn',
        *('-Ihttptools/src', '-Iuvloop_core/src', *units),
    ]
    yield [f'{tools}/ruff', 'check', '-q', '.']
    yield [f'{tools}/ruff', 'format', '-q', '--check', '.']
    yield [f'{tools}/mypy', '--no-error-summary', *typed]
    yield [
        f'{tools}/mypy',
        '--no-error-summary',
        'vendor',
        '.ci/dev.py',
        'bench',
        'fuzz',
    ]
    yield [f'{tools}/mypy', '--no-error-summary', '--strict', TYPING_SAMPLE]
    yield [
        f'{tools}/pyright',
        '--pythonpath',
        f'{tools}/python',
        TYPING_SAMPLE,
    ]
    yield [
        f'{tools}/stubtest',
        '--concise',
        '--ignore-disjoint-bases',
        *packages,
    ]
    yield [f'{tools}/codespell']


def lint_one(command: list[str]) -> tuple[str, bool]:
    """The name of the check, and whether it passed; says what it found."""
    name = Path(command[0]).name
    if name == 'clang-tidy':
        name += ' ' + command[-1]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={**os.environ, 'PYTHONPATH': str(ROOT)},
        )
    except FileNotFoundError:
        print(f'{name} is not installed: apt-get install {name}')
        return name, False
    if done.returncode:
        print(f'--- {shlex.join(command)}\n{done.stdout}')
    return name, not done.returncode


def do_lint(arguments: list[str]) -> int:
    """Runs every check, also after one has failed."""
    python = this_python()
    executable = venv(python, 'lint')
    # stubtest looks at the built modules, clang-tidy at how they are built.
    code = run([executable, 'setup.py', '-q', 'build_ext', '--inplace'])
    results = [('build', not code)]
    database = f'build/release-{python.tag}/temp'
    commands = lint_commands(Path(executable).parent, database)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results += pool.map(lint_one, commands)
    failed = [name for name, passed in results if not passed]
    print(f'lint: {len(results) - len(failed)} of {len(results)} checks pass')
    if failed:
        print('lint: FAILED: ' + ', '.join(failed))
    return bool(failed)


def main() -> int:
    verbs: dict[str, Callable[[list[str]], int]] = {
        name.removeprefix('do_').replace('_', '-'): function
        for name, function in globals().items()
        if name.startswith('do_')
    }
    parser = argparse.ArgumentParser(description='see `make help`')
    parser.add_argument('verb', choices=verbs)
    parser.add_argument('arguments', nargs=argparse.REMAINDER)
    options = parser.parse_args()
    os.chdir(ROOT)
    return verbs[options.verb](options.arguments)


if __name__ == '__main__':
    sys.exit(main())
