"""C programs, compiled when they are not there or their source is newer."""

from __future__ import annotations

import fcntl
import os
import platform
import shlex
import subprocess
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / 'build' / 'bench'
# A program that was linked with a newer libc does not run on an older one.
PROGRAMS = BUILD / '-'.join(platform.libc_ver())
FLAGS = (
    '-std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Wshadow -Wstrict-prototypes'
    ' -Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Wconversion'
).split()


def compile_c(source: Path, *more: str) -> str:
    """The program of one C file; `more` are flags, libraries last.

    The last step is a rename: others may be running it. Raises
    CalledProcessError with the compiler's words in its stderr.
    """
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    program = PROGRAMS / source.stem
    with open(PROGRAMS / 'lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        headers = source.parent.glob('*.h')
        newest = max(path.stat().st_mtime for path in (source, *headers))
        if not program.exists() or program.stat().st_mtime < newest:
            compiler = os.environ.get('CC') or sysconfig.get_config_var('CC')
            fresh = program.with_suffix('.new')
            subprocess.run(
                [
                    *shlex.split(compiler or 'cc')[:1],
                    *FLAGS,
                    *('-o', str(fresh), str(source), *more),
                ],
                check=True,
                capture_output=True,
                text=True,
            )
            fresh.replace(program)
    return str(program)
