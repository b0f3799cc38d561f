"""What C programs are linked with: libuv and llhttp from vendor/src, compiled
as the extensions' own are, and the system's OpenSSL."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from .build import PROGRAMS, ROOT

sys.path.append(str(ROOT / 'vendor'))

import fetch
import sources

FLAGS = ('-O3', '-DNDEBUG', '-fno-strict-aliasing', '-w')
LLHTTP = 'vendor/src/llhttp'
LIBUV = 'vendor/src/libuv'
OPENSSL = ('-lssl', '-lcrypto')
NO_OPENSSL = "OpenSSL's headers are not installed: apt-get install libssl-dev"
TRY = '#include <openssl/ssl.h>\nint main(void) { return !TLS_method(); }\n'


def compiler() -> str:
    command = os.environ.get('CC') or sysconfig.get_config_var('CC')
    return shlex.split(command or 'cc')[0]


def libuv() -> list[str]:
    """The flags to compile and link with it."""
    library = sources.libuv()
    flags = [f'-I{LIBUV}/include', f'-I{LIBUV}/src', '-D_GNU_SOURCE']
    archive = make('libuv', library.sources, flags)
    system = [f'-l{name}' for name in library.libraries]
    return ['-isystem', str(ROOT / library.include), archive, *system]


def llhttp() -> list[str]:
    files = [f'{LLHTTP}/src/{name}.c' for name in ('api', 'http', 'llhttp')]
    archive = make('llhttp', files, [f'-I{LLHTTP}/include'])
    return ['-isystem', str(ROOT / LLHTTP / 'include'), archive]


@cache
def openssl() -> list[str]:
    """Nothing if its headers or its libraries are not there."""
    done = subprocess.run(
        [compiler(), '-x', 'c', '-', *OPENSSL, '-o', os.devnull],
        input=TRY,
        capture_output=True,
        text=True,
        check=False,
    )
    return [] if done.returncode else list(OPENSSL)


def make(name: str, files: Sequence[str], flags: list[str]) -> str:
    """An archive of the files; made once for a state of vendor/."""
    archive = PROGRAMS / f'{name}.a'
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    with open(PROGRAMS / 'lock-libraries', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pins = [ROOT / 'vendor' / file for file in ('pins.txt', 'sources.py')]
        newest = max(path.stat().st_mtime for path in pins)
        if not archive.exists() or archive.stat().st_mtime < newest:
            fetch.ensure()
            folder = PROGRAMS / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for file in files:
                output = folder / f'{Path(file).stem}.o'
                call([compiler(), *FLAGS, *flags, '-c', file, '-o', output])
            fresh = archive.with_suffix('.new')
            fresh.unlink(missing_ok=True)
            call(['ar', 'rcs', fresh, *sorted(folder.glob('*.o'))])
            fresh.replace(archive)
    return str(archive)


def call(command: list[str | Path]) -> None:
    subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True
    )
