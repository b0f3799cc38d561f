"""Builds both extensions: httptools._http and uvloop_core._core.

PROFILE=release|debug|asan|tsan|cov|portable picks how; each profile and each
Python has a build folder of its own, build/<profile>-<tag>. Importing this
file, or asking it for metadata, needs no network and no third-party source:
vendor/fetch.py runs from build_ext and sdist only.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist
from setuptools.errors import BaseError

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / 'vendor'))

import fetch  # noqa: E402
import sources  # noqa: E402

# Of the time stamps in archives, when SOURCE_DATE_EPOCH is not set: the
# earliest that a zip file can hold, so that builds agree by default.
EPOCH = os.environ.setdefault('SOURCE_DATE_EPOCH', '315532800')

WARNINGS = """
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
    -Wwrite-strings -Wvla -Wpointer-arith -Wformat=2 -Wundef -Wconversion
""".split()

# For every file, ours or not. -fwrapv is what CPython itself is built with;
# without a PLT a call of the interpreter is one jump less (LINK binds all).
COMMON = [
    *('-fPIC', '-fno-plt', '-fwrapv', '-fvisibility=hidden'),
    f'-ffile-prefix-map={ROOT}=.',
]

# UV_EXTERN gives libuv's functions default visibility whatever the flags say;
# a linker script hides them, or another libuv in the process could take
# their place. Symbols are bound at load, so that a missing one is seen then.
EXPORTS = '{ global: PyInit_*; local: *; };\n'
LINK = ['-Wl,-z,relro,-z,now']


@dataclass(frozen=True)
class Profile:
    flags: tuple[str, ...]  # compiling, all files
    ours: tuple[str, ...]  # compiling, our files
    link: tuple[str, ...] = ()
    lto: bool = False  # optimise again at the link, where that is possible


def sanitized(*kinds: str) -> Profile:
    sanitize = f'-fsanitize={",".join(kinds)}'
    return Profile(
        flags=('-O1', '-g', '-fno-omit-frame-pointer', sanitize),
        ours=('-UNDEBUG', '-Werror'),
        link=(sanitize,),
    )


PROFILES = {
    'release': Profile(('-O3',), ('-DNDEBUG',), lto=True),
    'debug': Profile(('-O1', '-g3'), ('-UNDEBUG', '-Werror')),
    'asan': sanitized('address', 'undefined'),
    'tsan': sanitized('thread'),
    'cov': Profile(
        ('-O0', '-g'), ('-UNDEBUG', '-Werror', '--coverage'), ('--coverage',)
    ),
    # What is Linux only is compiled out.
    'portable': Profile(('-O3',), ('-DNDEBUG', '-DPORTABLE=1', '-Werror')),
}


def profile_name() -> str:
    name = os.environ.get('PROFILE') or 'release'
    if name not in PROFILES:
        sys.exit(f'error: PROFILE={name}: use one of {", ".join(PROFILES)}')
    return name


def python_tag() -> str:
    """cp313, cp313t (free-threaded), cp313d (debug)."""
    version = f'cp{sys.version_info.major}{sys.version_info.minor}'
    threads = 't' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''
    return (
        version + threads + ('d' if hasattr(sys, 'gettotalrefcount') else '')
    )


def version() -> str:
    text = (ROOT / 'httptools' / '_version.py').read_text()
    match = re.search(r"""^__version__.*=\s*['"](.+)['"]""", text, re.M)
    if match is None:
        sys.exit('error: httptools/_version.py has no __version__')
    return match[1]


class Module(Extension):
    """One extension: our own files, and a library that is compiled in."""

    def __init__(
        self, name: str, folder: str, library: sources.Library
    ) -> None:
        self.folder = folder
        self.library = library
        self.ours = sorted(glob(f'{folder}/*.c'))
        super().__init__(
            name,
            [*self.ours, *library.sources],
            depends=sorted(glob(f'{folder}/*.h') + glob('include/*.h')),
        )


def modules() -> list[Module]:
    try:
        libuv = sources.libuv()
    except LookupError as error:
        sys.exit(f'error: {error.args[0]}')
    return [
        Module('httptools._http', 'httptools/src', sources.LLHTTP),
        Module('uvloop_core._core', 'uvloop_core/src', libuv),
    ]


def require_sources() -> None:
    try:
        fetch.ensure()
    except fetch.SourcesError as error:
        raise BaseError(str(error)) from None


@contextmanager
def alone_in(folder: str) -> Iterator[None]:
    """Lets one build at a time into a build folder; others wait."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, '.lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Step:
    """One run of the compiler or the linker, skipped if nothing changed."""

    command: list[str]  # without -o
    output: str
    inputs: tuple[str, ...]
    finds_headers: bool

    def is_fresh(self) -> bool:
        try:
            made = os.stat(self.output).st_mtime_ns
            if Path(self.output + '.cmd').read_text() != str(self.command):
                return False
            inputs = list(self.inputs)
            if self.finds_headers:
                inputs += read_headers(self.output + '.d')
            return all(os.stat(path).st_mtime_ns < made for path in inputs)
        except OSError:
            return False

    def run(self) -> None:
        if self.is_fresh():
            return
        os.makedirs(os.path.dirname(self.output), exist_ok=True)
        began = time.time_ns()
        command = [*self.command, '-o', self.output + '.new']
        if self.finds_headers:
            command += ['-MD', '-MF', self.output + '.d']
        sys.stdout.write(f'making {self.output}\n')
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            check=False,
        )
        sys.stderr.write(done.stdout)
        if done.returncode != 0:
            sys.stderr.write(f'that was: {shlex.join(command)}\n')
            raise BaseError(
                f'{self.output} could not be made: the compiler says why above'
            )
        # What is edited while the compiler runs is newer than its output.
        os.utime(self.output + '.new', ns=(began, began))
        os.replace(self.output + '.new', self.output)
        Path(self.output + '.cmd').write_text(str(self.command))


def read_headers(path: str) -> list[str]:
    """The prerequisites in a dependency file as compilers write it."""
    text = Path(path).read_text().replace('\\\n', ' ').partition(': ')[2]
    names = re.split(r'(?<!\\)\s+', text.strip())
    return [name.replace('\\ ', ' ') for name in names]


def run_all(steps: list[Step], jobs: int) -> None:
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for _ in pool.map(Step.run, steps):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class Build(build):
    """Gives each profile and Python its own folder."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.build_base = f'build/{profile_name()}-{python_tag()}'

    def finalize_options(self) -> None:
        self.build_platlib = self.build_platlib or f'{self.build_base}/lib'
        self.build_temp = self.build_temp or f'{self.build_base}/temp'
        super().finalize_options()

    def run(self) -> None:
        # Else a module that was deleted or renamed since would be packed.
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


class BuildExt(build_ext):
    """Compiles all files of both extensions in parallel, then links."""

    def run(self) -> None:
        self.require_compiler()
        with alone_in(self.build_temp):
            require_sources()
            super().run()
            if not self.inplace:
                self.copy_licences()

    def require_compiler(self) -> None:
        compiler = self.compiler_command()[0]
        if shutil.which(compiler) is None:
            raise BaseError(
                f'there is no C compiler: {compiler} is not on PATH; install'
                ' it (Debian, Ubuntu: apt-get install gcc libc6-dev; Fedora:'
                ' dnf install gcc), or set CC to the one that you have'
            )
        if not any(
            Path(path, 'Python.h').exists() for path in python_include()
        ):
            raise BaseError(
                f'there is no Python.h in {python_include()[0]}: install the'
                ' headers of this Python (Debian, Ubuntu: apt-get install'
                ' python3-dev; Fedora: dnf install python3-devel)'
            )

    def compiler_command(self) -> list[str]:
        command = os.environ.get('CC') or sysconfig.get_config_var('CC')
        return shlex.split(command or 'cc')

    def build_extensions(self) -> None:
        """Goes on with the second extension if the first one fails."""
        self.check_extensions_list(self.extensions)
        failures = []
        for module in self.extensions:
            try:
                self.build_module(module)
            except BaseError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def build_module(self, module: Module) -> None:
        jobs = self.parallel
        if not isinstance(jobs, int):
            jobs = len(os.sched_getaffinity(0))
        compiles = self.compiles(module)
        self.write_database(compiles)
        run_all(compiles, jobs)
        link = self.link(module, compiles)
        link.run()
        target = self.get_ext_fullpath(module.name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        # By renaming: a process may have the old one mapped.
        shutil.copyfile(link.output, target + '.new')
        shutil.copymode(link.output, target + '.new')
        os.replace(target + '.new', target)

    def compiles(self, module: Module) -> list[Step]:
        profile = PROFILES[profile_name()]
        # Python's own CFLAGS are left out: they differ from one Python to
        # the next (-g, -Wall, -march) and would mix with the profile's.
        start = [*self.compiler_command(), *COMMON, *profile.flags, *self.lto]
        user = shlex.split(
            os.environ.get('CPPFLAGS', '') + ' ' + os.environ.get('CFLAGS', '')
        )
        ours = [
            *('-std=c11', '-D_GNU_SOURCE', *WARNINGS, *profile.ours),
            f'-DHTTPTOOLS_UV_VERSION="{version()}"',
            *('-Iinclude', f'-I{module.folder}'),
            *('-isystem', module.library.include),
            *(f'-isystem{path}' for path in python_include()),
        ]
        theirs = [
            *('-std=gnu11', '-DNDEBUG', '-fno-strict-aliasing', '-w'),
            *module.library.flags,
        ]
        steps = []
        for source in module.sources:
            own = ours if source in module.ours else theirs
            output = f'{self.build_temp}/{module.name}/{source[:-2]}.o'
            command = [*start, *own, *user, '-c', source]
            steps.append(Step(command, output, (source,), True))
        return steps

    @cached_property
    def lto(self) -> list[str]:
        """The flags for optimising at the link, if compiler and linker know
        how to: clang's needs a linker that reads its objects."""
        if not PROFILES[profile_name()].lto:
            return []
        flags = ['-O3', '-flto=auto']
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, 'probe.c')
            source.write_text('int probe(void) { return 0; }\n')
            compiler = [*self.compiler_command(), *COMMON, *flags]
            commands = (
                [*compiler, '-c', str(source), '-o', f'{folder}/probe.o'],
                [*self.compiler.linker_so, *flags, f'{folder}/probe.o']
                + ['-o', f'{folder}/probe.so'],
            )
            done = (subprocess.run(c, capture_output=True) for c in commands)
            return flags if not any(d.returncode for d in done) else []

    def write_database(self, compiles: list[Step]) -> None:
        """For clang-tidy and editors: how our own files are compiled."""
        path = Path(self.build_temp, 'compile_commands.json')
        known = json.loads(path.read_text()) if path.exists() else []
        entries = {entry['file']: entry for entry in known}
        for step in compiles:
            (file,) = step.inputs
            entries[file] = {
                'directory': str(ROOT),
                'file': file,
                'arguments': step.command,
            }
        path.write_text(json.dumps(list(entries.values()), indent=1))

    def link(self, module: Module, compiles: list[Step]) -> Step:
        script = f'{self.build_temp}/exports.map'
        Path(script).write_text(EXPORTS)
        objects = [step.output for step in compiles]
        command = [
            *(*self.compiler.linker_so, *PROFILES[profile_name()].link),
            *(*self.lto, *LINK, f'-Wl,--version-script={script}', *objects),
            *(f'-l{name}' for name in module.library.libraries),
        ]
        output = f'{self.build_temp}/{module.name}.so'
        return Step(command, output, tuple(objects), False)

    def copy_licences(self) -> None:
        """The licences ask to go wherever the compiled code goes."""
        for tree in ('llhttp', 'libuv'):
            for path in sorted(Path('vendor/src', tree).glob('LICENSE*')):
                package = 'httptools' if tree == 'llhttp' else 'uvloop_core'
                target = Path(self.build_lib, package, f'{path.name}.{tree}')
                shutil.copyfile(path, target)


def python_include() -> list[str]:
    paths = sysconfig.get_paths()
    return list(dict.fromkeys([paths['include'], paths['platinclude']]))


class SDist(sdist):
    """Packs the fetched sources too, and the same bytes every time."""

    def run(self) -> None:
        require_sources()
        # setuptools would add every file that an earlier list names.
        for path in glob('*.egg-info/SOURCES.txt'):
            os.remove(path)
        super().run()

    def make_archive(
        self, base_name, format, root_dir=None, base_dir=None, **ignored
    ):  # type: ignore[no-untyped-def]
        if format != 'gztar':
            raise BaseError(f'sdist --formats={format}: only gztar is made')
        path = base_name + '.tar.gz'
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        with (
            open(path, 'wb') as file,
            gzip.GzipFile('', 'wb', 9, file, mtime=int(EPOCH)) as zipped,
            tarfile.open(
                fileobj=zipped, mode='w', format=tarfile.PAX_FORMAT
            ) as tar,
        ):
            for member in sorted(Path(base_dir).rglob('*')):
                tar.add(member, recursive=False, filter=anonymous)
        return path


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leaves nothing of the machine or the moment in a member."""
    member.mtime = int(EPOCH)
    member.uid = member.gid = 0
    member.uname = member.gname = ''
    runs = member.isdir() or member.mode & 0o100
    member.mode = 0o755 if runs else 0o644
    return member


setup(
    ext_modules=modules(),
    cmdclass={'build': Build, 'build_ext': BuildExt, 'sdist': SDist},
)
