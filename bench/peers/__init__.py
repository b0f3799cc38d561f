"""Who is measured, and how each one's server is started.

A peer is installed by pip into a virtual environment of its own, on first
use: so it never shadows ours, nor ours it.
"""

from __future__ import annotations

import fcntl
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from ..processes import Failed, run

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ROOT / 'bench' / 'peers'
INSTALL_SECONDS = 300


class Unavailable(Exception):
    """The peer cannot be measured here; the text says why."""


@dataclass(frozen=True)
class Peer:
    """A server for each kind of case: a file of this folder, its arguments.

    `requirement` is what pip installs, '' for nothing; `ours` is imported
    from the checkout.
    """

    name: str
    servers: dict[str, tuple[str, ...]]
    requirement: str = ''
    ours: bool = False

    def command(self, kind: str, python: str) -> list[str]:
        file, *arguments = self.servers[kind]
        return [python, str(SERVERS / file), *arguments]

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

    def install(self) -> str:
        """The interpreter to run its servers with."""
        if not self.requirement:
            return sys.executable
        name = self.requirement.replace('==', '-')
        return environment(f'bench-{python_name()}-{name}', self.requirement)


def python_name() -> str:
    threads = 't' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''
    return '{}.{}.{}'.format(*sys.version_info) + threads


def environment(name: str, requirement: str) -> str:
    """The interpreter of .venv/<name>, which holds the requirement alone.

    The name holds both versions, so a finished one never goes stale.
    """
    folder = ROOT / '.venv' / name
    python = folder / 'bin' / 'python'
    done = folder / 'installed'
    folder.parent.mkdir(exist_ok=True)
    with open(ROOT / '.venv' / f'lock-{name}', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            base = getattr(sys, '_base_executable', sys.executable)
            pip = [str(python), '-m', 'pip', '--disable-pip-version-check']
            wheel = ['--only-binary=:all:', '--no-deps']
            try:
                run([base, '-m', 'venv', str(folder)], INSTALL_SECONDS)
                run(
                    [*pip, 'install', '-q', *wheel, requirement],
                    INSTALL_SECONDS,
                )
            except Failed as failed:
                raise Unavailable(f'not installed: {failed}') from None
            done.touch()
    return str(python)


def all_peers() -> list[Peer]:
    """In the order of each round, and of the tables."""
    return [
        Peer('ours', {'echo': ('echo_server.py', 'uvloop_core')}, ours=True),
        Peer(
            'uvloop',
            {'echo': ('echo_server.py', 'uvloop')},
            requirement='uvloop==0.23.0',
        ),
        Peer('asyncio', {'echo': ('echo_server.py', 'asyncio')}),
    ]
