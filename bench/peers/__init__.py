"""Who is measured, and how each one's program is started.

A peer is installed by pip into a virtual environment of its own, on first
use: so it never shadows ours, nor ours it.
"""

from __future__ import annotations

import fcntl
import platform
import shutil
import sys
import sysconfig
from dataclasses import dataclass

from ..build import ROOT
from ..processes import Failed, run

SERVERS = ROOT / 'bench' / 'peers'
INSTALL_SECONDS = 300


class Unavailable(Exception):
    """The peer cannot be measured here; the text says why."""


@dataclass(frozen=True)
class Peer:
    """A program for each kind of case: a file of this folder, its arguments.

    This class is of peers that CPython runs; others say in `install` and
    `command` what runs theirs. `requirements` is what pip installs; `ours`
    is imported from the checkout. Ratios are to ours of the same `style`
    (streams, sock), so that like is compared with like.
    """

    name: str
    servers: dict[str, tuple[str, ...]]
    requirements: tuple[str, ...] = ()
    ours: bool = False
    style: str = ''
    ceiling: bool = False  # shows what is possible, and is no rival
    since: tuple[int, int] = (3, 11)  # of CPython
    before: tuple[int, int] | None = None
    glibc: tuple[int, int] = (0, 0)  # that its wheels need
    from_source: bool = False  # it has no wheels, and needs no compiler
    compiled: bool = False  # install() makes the program
    not_counted: str = ''  # why callgrind cannot count it

    def install(self) -> list[str]:
        """What its programs' command lines begin with.

        Raises Unavailable, with the reason in one line.
        """
        if sys.version_info[:2] < self.since:
            raise Unavailable(f'needs CPython {dotted(self.since)}')
        if self.before and sys.version_info[:2] >= self.before:
            raise Unavailable(f'needs a CPython before {dotted(self.before)}')
        glibc = platform.libc_ver()[1]
        if glibc and tuple(map(int, glibc.split('.'))) < self.glibc:
            raise Unavailable(f'needs glibc {dotted(self.glibc)}, not {glibc}')
        if not self.requirements:
            return [sys.executable]
        # Peers that need the same share it.
        name = '-'.join(['bench', python_name(), *self.requirements])
        name = name.replace('==', '-')
        return [
            environment(name, *self.requirements, from_source=self.from_source)
        ]

    def command(self, prefix: list[str], kind: str) -> list[str]:
        """Its program for the kind; `prefix` is what install() returned."""
        if kind == 'echo-tls':
            from .certificate import make_certificate

            make_certificate()
        file, *arguments = self.servers[kind]
        if self.compiled:
            return [*prefix, *arguments]
        return [*prefix, str(SERVERS / file), *arguments]

    def environ(self) -> dict[str, str]:
        """The hash seed is fixed, or the same work would take another number
        of instructions each time."""
        environ = {
            'PYTHONSAFEPATH': '1',
            'PYTHONNOUSERSITE': '1',
            'PYTHONHASHSEED': '0',
            'PYTHONDONTWRITEBYTECODE': '1',
        }
        if self.ours:
            environ['PYTHONPATH'] = str(ROOT)
        return environ


def dotted(version: tuple[int, int]) -> str:
    return f'{version[0]}.{version[1]}'


def python_name() -> str:
    threads = 't' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''
    return '{}.{}.{}'.format(*sys.version_info) + threads


def environment(
    name: str, *requirements: str, base: str = '', from_source: bool = False
) -> str:
    """The interpreter of .venv/<name>, with the requirements installed, for
    this Python or the one of `base`.

    The name tells the versions, so a finished one never goes stale. From
    wheels, unless `from_source`: a compiler of Rust would take minutes.
    """
    folder = ROOT / '.venv' / name
    python = folder / 'bin' / 'python'
    done = folder / 'installed'
    folder.parent.mkdir(exist_ok=True)
    with open(ROOT / '.venv' / f'lock-{name}', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            this = getattr(sys, '_base_executable', sys.executable)
            pip = [str(python), '-m', 'pip', '--disable-pip-version-check']
            install = [*pip, 'install', '-q']
            if not from_source:
                install.append('--only-binary=:all:')
            try:
                run([base or this, '-m', 'venv', str(folder)], INSTALL_SECONDS)
                run([*install, *requirements], INSTALL_SECONDS)
            except Failed as failed:
                raise Unavailable(f'not installed: {failed}') from None
            done.touch()
    return str(python)


def all_peers() -> list[Peer]:
    """In the order of each round, and of the tables."""
    from . import known

    return list(known.PEERS)
