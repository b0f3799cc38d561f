"""make fuzz-c: the C parser is fuzzed, guided by its coverage, under
AddressSanitizer and UndefinedBehaviorSanitizer.

clang makes one program of httptools, llhttp, libFuzzer and a Python
(guided.c); one.py says what is done with an input. It begins with what the
tests know (tests/httptools/cases, urls.txt) and fuzz/corpus; what it finds
beyond stays in build/fuzz-c, and --keep puts the best of it into fuzz/corpus.
It ends after --seconds, or at the first report, whose input it names.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.util
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from . import messages

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / 'fuzz' / 'corpus' / 'inputs.txt'
TESTS = ROOT / 'tests' / 'httptools'
LLHTTP: Any = runpy.run_path(str(ROOT / 'vendor' / 'sources.py'))['LLHTTP']
BUILD = ROOT / 'build' / 'fuzz-c'
COVERED = '-fsanitize=fuzzer-no-link'
SANITIZED = ('-fsanitize=address,undefined', '-fno-sanitize-recover=all')
SINGLE = r'#\d+\s+(NEW|REDUCE|RELOAD)|###### |"|MERGE'
LONGEST = 2048  # bytes of an input
KEPT_SIZE = 190_000  # bytes of fuzz/corpus


def fail(message: str) -> NoReturn:
    sys.exit(f'error: {message}')


def clang() -> str:
    """CLANG, else the newest clang on PATH."""
    if given := os.environ.get('CLANG'):
        return shutil.which(given) or fail(f'CLANG={given} is not there')
    found: dict[int, str] = {}
    for folder in os.get_exec_path():
        for path in Path(folder).glob('clang*'):
            if name := re.fullmatch(r'clang-?(\d*)', path.name):
                found.setdefault(int(name[1] or 0), str(path))
    if not found:
        fail(
            'there is no clang: install it and its runtime (Debian, Ubuntu:'
            ' apt-get install clang libclang-rt-dev), or set CLANG'
        )
    return found[max(found)]


# The program


def must(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode != 0:
        fail(f'that was: {shlex.join(command)}')


def compiled(compiler: str, source: str) -> str:
    """The object file; llhttp's plain copy is there, but is not looked at."""
    output = BUILD / (source.replace('/', '-') + '.o')
    paths = sysconfig.get_paths()
    flags = ['-std=gnu11', '-O1', '-g', '-fno-omit-frame-pointer', *SANITIZED]
    if source not in LLHTTP.sources:
        flags.append(COVERED)
    if 'llhttp' in source:
        # It calls our hooks with char pointers in place of unsigned char's.
        flags.append('-fno-sanitize=function')
    if source.endswith('_sse42.c'):
        flags.append('-msse4.2')  # clang ignores the file's pragma
    flags += [
        *('-D_GNU_SOURCE', '-UNDEBUG'),
        f'-DHTTPTOOLS_UV_VERSION="{version()}"',
        *('-Iinclude', '-Ihttptools/src', f'-I{LLHTTP.include}'),
        *(f'-I{paths["include"]}', f'-I{paths["platinclude"]}'),
    ]
    must([compiler, *flags, '-c', source, '-o', str(output)])
    return str(output)


def version() -> str:
    """Which httptools/__init__.py holds the compiled module to."""
    known = runpy.run_path(str(ROOT / 'httptools' / '_version.py'))
    return str(known['__version__'])


def base_python() -> str:
    """Where Python finds its library: no virtual environment."""
    return os.path.realpath(getattr(sys, '_base_executable', sys.executable))


def libpython() -> list[str]:
    """How Python is linked to, shared or not."""
    known = {
        key: str(sysconfig.get_config_var(key) or '')
        for key in ('LIBDIR', 'LIBPL', 'LIBRARY', 'LIBS', 'SYSLIBS', 'VERSION')
    }
    libraries = shlex.split(f'{known["LIBS"]} {known["SYSLIBS"]}')
    if sysconfig.get_config_var('Py_ENABLE_SHARED'):
        shared = str(sysconfig.get_config_var('LDLIBRARY'))
        path = f'{known["LIBDIR"]}/{shared}'
        return [path, f'-Wl,-rpath,{known["LIBDIR"]}', *libraries]
    path = f'{known["LIBPL"]}/{known["LIBRARY"]}'
    return [path, '-Wl,-export-dynamic', *libraries]


def build() -> Path:
    compiler = clang()
    ours = sorted((ROOT / 'httptools' / 'src').glob('*.c'))
    files = ['fuzz/guided.c', *LLHTTP.sources]
    files += [str(path.relative_to(ROOT)) for path in ours]
    BUILD.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        objects = list(pool.map(lambda file: compiled(compiler, file), files))
    program = BUILD / 'fuzzer'
    link = ['-fsanitize=fuzzer,address,undefined', *libpython()]
    must([compiler, *objects, *link, '-lm', '-o', str(program)])
    return program


# Inputs


def heads(kind: int, leniencies: int) -> Iterator[bytes]:
    """The first bytes of an input, as one.Plan reads them."""
    low, high = leniencies & 255, leniencies >> 8
    for flags, action, first, second in (
        (0b0110000, 0, 0, 0),
        (0b0111001, 1, 1, 1),
        (0b0110111, 1, 7, 30),
        (0b1101010, 2, 20, 3),
    ):
        options = (kind, flags, low, high, 0, 0, 2, 0)
        yield bytes([*options, action, 4, first, second])


def from_tests() -> Iterator[bytes]:
    from . import one

    spec = importlib.util.spec_from_file_location(
        'httptools_cases', TESTS / 'cases.py'
    )
    assert spec is not None and spec.loader is not None
    cases: Any = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = cases
    spec.loader.exec_module(cases)
    for case in cases.read_all():
        bits = sum(
            1 << i
            for i, name in enumerate(one.LENIENT)
            if f'lenient_{name}' in case.flags
        )
        for head in heads(one.KINDS.index(case.kind), bits):
            yield head + case.data
    for line in (TESTS / 'urls.txt').read_text().splitlines():
        url = ast.literal_eval(line.split(' -> ')[0])
        yield bytes([one.KINDS.index(one.URL), *[0] * 11]) + url
    for text in (b'a:b\\C:d\\\\body', b'Date:x\\\\a|b', b'', b'a:\r\n\\:'):
        for flags in (0b110101, 0b000111, 0b010110):
            first = (one.KINDS.index(one.WRITER), flags, *[0] * 8, 20, 0)
            yield bytes(first) + text


def kept() -> list[bytes]:
    """fuzz/corpus: an input a line, as Python writes bytes."""
    lines = KEPT.read_text().splitlines() if KEPT.exists() else []
    return [ast.literal_eval(line) for line in lines]


def write_inputs(folder: Path, inputs: Iterable[bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for data in inputs:
        name = hashlib.sha1(data).hexdigest()
        (folder / name).write_bytes(data[:LONGEST])


def write_dictionary(path: Path) -> None:
    words = [*messages.METHODS, *messages.VERSIONS, *messages.TARGETS]
    words += [word for word in messages.EXTENSIONS if word]
    for name, values in messages.VALUES.items():
        words += [b'\r\n' + name + b': ', *values]
    lines = {
        '"' + ''.join(f'\\x{byte:02x}' for byte in word) + '"\n'
        for word in words
        if word
    }
    path.write_text(''.join(sorted(lines)))


# Running


def environ() -> dict[str, str]:
    common = 'halt_on_error=1:print_stacktrace=1'
    return {
        'PATH': os.environ.get('PATH', ''),
        'FUZZ_PYTHON': base_python(),
        'PYTHONPATH': str(ROOT),
        'PYTHONDONTWRITEBYTECODE': '1',
        'PYTHONHASHSEED': '0',
        # Python's own allocator would hide misuse of freed objects.
        'PYTHONMALLOC': 'malloc',
        'ASAN_OPTIONS': f'{common}:detect_leaks=0',
        'UBSAN_OPTIONS': common,
    }


def run(program: Path, arguments: list[str]) -> int:
    """Shows what libFuzzer says, but for each single find."""
    command = [str(program), *arguments]
    print('+', shlex.join(command), flush=True)
    with subprocess.Popen(
        command,
        env=environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if not re.match(SINGLE, line):
                print(line, end='', flush=True)
    return child.returncode


def common(seed: int) -> list[str]:
    return [
        *(f'-max_len={LONGEST}', '-timeout=30', '-rss_limit_mb=3000'),
        # Leaks are what tests/httptools/test_memory.py is about.
        *('-print_final_stats=1', '-detect_leaks=0', f'-seed={seed}'),
        *(f'-dict={BUILD / "words"}', f'-artifact_prefix={BUILD}/report-'),
    ]


def keep(program: Path, found: Path, starting: Path) -> None:
    """The smallest set that covers as much, without what the tests know."""
    merged = BUILD / 'merged'
    shutil.rmtree(merged, ignore_errors=True)
    shutil.copytree(starting, merged)
    known = {path.name for path in merged.iterdir()}
    run(program, ['-merge=1', *common(1), str(merged), str(found)])
    inputs = [
        path.read_bytes()
        for path in merged.iterdir()
        if path.name not in known
    ]
    lines: list[str] = []
    for data in sorted(inputs, key=lambda data: (len(data), data)):
        lines.append(f'{data!r}\n')
        if sum(map(len, lines)) > KEPT_SIZE:
            lines.pop()
            break
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(''.join(lines))
    print(f'{KEPT}: {len(lines)} of {len(inputs)} inputs')


def main() -> int:
    parser = argparse.ArgumentParser(prog='make fuzz-c', description=__doc__)
    parser.add_argument('--seconds', type=int, default=60)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--keep', action='store_true')
    parser.add_argument('inputs', nargs='*', help='run these files, no others')
    given = parser.parse_args()
    program = build()
    if given.inputs:
        return run(program, given.inputs)
    found, starting = BUILD / 'found', BUILD / 'starting'
    shutil.rmtree(starting, ignore_errors=True)
    write_inputs(starting, from_tests())
    if given.keep:
        write_inputs(found, kept())
        keep(program, found, starting)
        return 0
    write_inputs(starting, kept())
    write_dictionary(BUILD / 'words')
    found.mkdir(exist_ok=True)
    arguments = [f'-max_total_time={given.seconds}', *common(given.seed)]
    return run(program, [*arguments, str(found), str(starting)])


if __name__ == '__main__':
    sys.exit(main())
