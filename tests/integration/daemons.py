"""Servers that are not Python's: PostgreSQL and Redis, for a test run.

Each has a folder of its own, which goes with it, and ends with the process
that started it, however that ends.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.conftest import Program


def find(name: str, package: str) -> str:
    """The program; Debian has PostgreSQL's in a folder of its version."""
    debian = Path('/usr/lib/postgresql').glob('*/bin')
    path = os.pathsep.join([*os.get_exec_path(), *map(str, debian)])
    found = shutil.which(name, path=path)
    if found is None or shutil.which('setpriv') is None:
        pytest.skip(f'{name} is not installed: apt-get install {package}')
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        port: int = sock.getsockname()[1]
        return port


class Server:
    """Where one serves: a port of 127.0.0.1 and what lies in its folder."""

    def __init__(self) -> None:
        # Not pytest's folder: nobody else may look into that of root.
        self.folder = Path(tempfile.mkdtemp(prefix='server-'))
        self.port = 0
        # PostgreSQL refuses to run as root, and Redis has no need to.
        self.user = pwd.getpwuid(os.getuid())
        if self.user.pw_uid == 0:
            self.user = pwd.getpwnam('nobody')
        self.own(self.folder)

    def own(self, path: Path) -> None:
        os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def command(self, *words: str) -> list[str]:
        """As that user, and not for longer than this process."""
        drop = ['setpriv', '--pdeathsig', 'KILL']
        if os.getuid() == 0:
            drop += ['--reuid', str(self.user.pw_uid), '--clear-groups']
            drop += ['--regid', str(self.user.pw_gid)]
        return [*drop, *words]

    def start(self, kind: type[Program], command: list[str]) -> Program:
        """Starts it on a free port, which {port} in the command stands for."""
        for tries in (2, 1, 0):
            self.port = free_port()
            words = [word.format(port=self.port) for word in command]
            try:
                return kind(*self.command(*words))
            except pytest.fail.Exception as error:
                # Somebody else may have been quicker to take the port.
                if 'ddress already in use' not in str(error) or not tries:
                    raise
        raise AssertionError


@contextmanager
def a_server() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        shutil.rmtree(server.folder)


class Postgres(Program):
    serves = 'ready to accept connections'
    complains = 'PANIC|was terminated by signal'
    stops = signal.SIGINT  # ends at once, connections or not


class Redis(Program):
    serves = 'Ready to accept connections'
    complains = 'BUG REPORT|Fatal'


def initialise(server: Server, program: str, folder: Path) -> None:
    command = [program, '--no-sync', '--auth=trust', '--username=test']
    done = subprocess.run(
        server.command(*command, str(folder)),
        cwd='/',
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def postgres(certificate: tuple[Path, Path]) -> Iterator[Server]:
    program = find('postgres', 'postgresql')
    initdb = find('initdb', 'postgresql')
    with a_server() as server:
        data = server.folder / 'data'
        initialise(server, initdb, data)
        command = [program, '-D', str(data), '-h', '127.0.0.1']
        command += ['-p', '{port}', '-k', str(server.folder), '-F']
        settings = {'lc_messages': 'C', 'shared_buffers': '8MB', 'ssl': 'on'}
        for path, name in zip(certificate, ('cert', 'key'), strict=True):
            settings[f'ssl_{name}_file'] = shutil.copy(path, server.folder)
            server.own(server.folder / path.name)
        for name, value in settings.items():
            command += ['-c', f'{name}={value}']
        process = server.start(Postgres, command)
        try:
            yield server
        finally:
            process.close()


@contextmanager
def redis() -> Iterator[Server]:
    program = find('redis-server', 'redis-server')
    with a_server() as server:
        command = [program, '--bind', '127.0.0.1', '--port', '{port}']
        command += ['--unixsocket', f'{server.folder}/socket']
        command += ['--save', '', '--dir', str(server.folder)]
        process = server.start(Redis, command)
        try:
            yield server
        finally:
            process.close()
