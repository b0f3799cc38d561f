"""The peers: what each one is, which of its programs serves what, and what it
takes to install it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .. import libraries
from ..build import PROGRAMS, compile_c
from ..processes import Failed, run
from . import (
    INSTALL_SECONDS,
    SERVERS,
    Peer,
    Unavailable,
    dotted,
    environment,
)
from .certificate import FILES

PYENV = Path.home() / '.pyenv' / 'versions'

UVLOOP = 'uvloop==0.23.0'
HTTPTOOLS = 'httptools==0.9.0'
AIOHTTP = 'aiohttp==3.14.5'
UVICORN = 'uvicorn==0.54.0'


@dataclass(frozen=True)
class Ceiling(Peer):
    """One C program of this folder, and the libraries that it needs."""

    needs: tuple[str, ...] = ()

    def install(self) -> list[str]:
        ((file, *_),) = self.servers.values()
        try:
            flags = [flag for name in self.needs for flag in library(name)]
            program = compile_c(SERVERS / file, '-O3', *flags)
        except subprocess.CalledProcessError as error:
            lines = [line for line in error.stderr.splitlines() if line]
            raise Unavailable(f'not compiled: {lines[0]}') from None
        return [program]


def library(name: str) -> list[str]:
    if name == 'libuv':
        return libraries.libuv()
    if name == 'llhttp':
        return libraries.llhttp()
    if flags := libraries.openssl():
        return flags
    raise Unavailable(libraries.NO_OPENSSL)


@dataclass(frozen=True)
class OnOlder(Peer):
    """One that no newer CPython than `before` runs: on such a one, if there
    is one on PATH or where pyenv keeps them."""

    def install(self) -> list[str]:
        assert self.before is not None
        if sys.version_info[:2] < self.before:
            return super().install()
        for minor in range(self.before[1] - 1, self.since[1] - 1, -1):
            name = f'python3.{minor}'
            kept = sorted(PYENV.glob(f'3.{minor}.*/bin/{name}'))
            base = str(kept[-1]) if kept else shutil.which(name)
            if base and works(base):
                folder = '-'.join(['bench', name, *self.requirements])
                folder = folder.replace('==', '-')
                return [
                    environment(
                        folder,
                        *self.requirements,
                        base=base,
                        from_source=self.from_source,
                    )
                ]
        last = dotted((3, self.before[1] - 1))
        raise Unavailable(f'needs CPython {last} or older: none is here')


def works(python: str) -> bool:
    """A command of pyenv may be there for a Python that is not chosen."""
    done = subprocess.run([python, '-c', ''], capture_output=True, check=False)
    return done.returncode == 0


@dataclass(frozen=True)
class Node(Peer):
    def install(self) -> list[str]:
        return [found('node', 'nodejs')]


@dataclass(frozen=True)
class Go(Peer):
    """Compiled once, by the standard library alone: no network is used."""

    def install(self) -> list[str]:
        source = SERVERS / 'server.go'
        program = PROGRAMS / 'server-go'
        go = found('go', 'golang-go')
        environ = {
            'GO111MODULE': 'off',
            'GOTOOLCHAIN': 'local',
            'GOFLAGS': '',
            'GOPATH': str(PROGRAMS / 'go'),
            'GOCACHE': str(PROGRAMS / 'go-cache'),
        }
        command = [go, 'build', '-o', str(program), str(source)]
        try:
            run(command, INSTALL_SECONDS, environ)
        except Failed as failed:
            raise Unavailable(f'not compiled: {failed}') from None
        return [str(program)]


def found(program: str, package: str) -> str:
    path = shutil.which(program)
    if path is None and program == 'go':
        # Where its own archive is unpacked to.
        path = shutil.which('/usr/local/go/bin/go')
    if path is None:
        raise Unavailable(f'{program} is not here: apt-get install {package}')
    return path


def echo(loop: str, style: str = 'protocol') -> tuple[str, ...]:
    return ('serve.py', 'echo', loop, style)


def kinds(loop: str) -> dict[str, tuple[str, ...]]:
    """Of a loop that has TLS."""
    return {
        'echo': echo(loop),
        'echo-tls': (*echo(loop), *FILES),
    }


def micro(loop: str) -> dict[str, tuple[str, ...]]:
    return {'micro': ('micro.py', loop)}


def http(program: str, loop: str) -> dict[str, tuple[str, ...]]:
    return {'http': ('serve.py', f'http_{program}', loop)}


def framework(name: str) -> dict[str, tuple[str, ...]]:
    """One that does without a loop of asyncio's interface."""
    return {
        kind: ('serve.py', f'with_{name}', kind) for kind in ('echo', 'http')
    }


def other(file: str) -> dict[str, tuple[str, ...]]:
    """A program for all kinds that is not in Python."""
    return {
        'echo': (file, 'echo'),
        'echo-tls': (file, 'echo-tls', *FILES),
        'http': (file, 'http'),
    }


LOOPS = [
    Peer(
        'ours',
        kinds('uvloop_core')
        | micro('uvloop_core')
        | {'parser': ('parser_rows.py',)},
        ours=True,
    ),
    Peer('uvloop', kinds('uvloop') | micro('uvloop'), (UVLOOP,)),
    Peer('asyncio', kinds('asyncio') | micro('asyncio')),
    Peer(
        'rloop',
        {'echo': echo('rloop')} | micro('rloop'),
        ('rloop==0.5.0',),
    ),
    Peer(
        'rsloop',
        kinds('rsloop') | micro('rsloop'),
        ('rsloop==0.1.66',),
        glibc=(2, 39),
    ),
    Peer(
        'zuvloop',
        kinds('zuvloop') | micro('zuvloop'),
        ('zuvloop==0.0.17',),
        since=(3, 14),
    ),
    Peer(
        'aiofastnet',
        kinds('aiofastnet+uvloop'),
        ('aiofastnet==1.2.0', UVLOOP),
    ),
]

STYLES = [
    Peer(
        f'{name} {style}',
        {'echo': echo(loop, style)},
        requirements,
        ours=name == 'ours',
        style=style,
    )
    for style, names in (
        ('streams', ('ours', 'uvloop', 'asyncio')),
        ('sock', ('ours', 'uvloop', 'asyncio', 'rloop')),
    )
    for name, loop, requirements in (
        ('ours', 'uvloop_core', ()),
        ('uvloop', 'uvloop', (UVLOOP,)),
        ('asyncio', 'asyncio', ()),
        ('rloop', 'rloop', ('rloop==0.5.0',)),
    )
    if name in names
]

PARSERS = [
    Peer('httptools', {'parser': ('parser_rows.py',)}, (HTTPTOOLS,)),
    Peer('ours classic', http('protocol', 'uvloop_core'), ours=True),
    Peer('ours batch', http('batch', 'uvloop_core'), ours=True),
    Peer('example server', http('example', 'uvloop_core'), ours=True),
    Peer('uvloop classic', http('protocol', 'uvloop'), (HTTPTOOLS, UVLOOP)),
    Peer('asyncio classic', http('protocol', 'asyncio'), (HTTPTOOLS,)),
    Peer('uvloop zttp', http('zttp', 'uvloop'), ('zttp==0.0.35', UVLOOP)),
]

FRAMEWORKS = [
    Peer(
        'aiohttp ours',
        http('aiohttp', 'uvloop_core'),
        (AIOHTTP,),
        ours=True,
        style='aiohttp',
    ),
    Peer(
        'aiohttp uvloop',
        http('aiohttp', 'uvloop'),
        (AIOHTTP, UVLOOP),
        style='aiohttp',
    ),
    Peer(
        'aiohttp asyncio',
        http('aiohttp', 'asyncio'),
        (AIOHTTP,),
        style='aiohttp',
    ),
    Peer(
        'uvicorn ours',
        http('uvicorn', 'uvloop_core'),
        (UVICORN,),
        ours=True,
        style='asgi',
    ),
    Peer(
        'uvicorn uvloop',
        http('uvicorn', 'uvloop'),
        (UVICORN, HTTPTOOLS, UVLOOP),
        style='asgi',
    ),
    Peer(
        'granian',
        http('granian', 'uvloop'),
        ('granian==2.8.7', UVLOOP),
        style='asgi',
    ),
    Peer('gevent', {'echo': ('serve.py', 'with_gevent')}, ('gevent==26.9.0',)),
    Peer('tornado', framework('tornado'), ('tornado==6.6.1',)),
    Peer('twisted', framework('twisted'), ('twisted==26.10.0',)),
    OnOlder(
        'curio',
        {'echo': ('serve.py', 'with_curio')},
        ('curio==1.6',),
        since=(3, 9),
        before=(3, 12),
        from_source=True,
    ),
]

OTHERS = [
    Node(
        'Node.js',
        other('server.js'),
        not_counted='it compiles its code while it is counted',
    ),
    Go(
        'Go',
        other('server.go'),
        compiled=True,
        not_counted='valgrind does not run every version of its runtime',
    ),
    Ceiling(
        'C epoll', {'echo': ('echo_epoll.c',)}, ceiling=True, compiled=True
    ),
    Ceiling(
        'C libuv',
        {'echo': ('echo_uv.c',)},
        needs=('libuv',),
        ceiling=True,
        compiled=True,
    ),
    Ceiling(
        'C libuv+llhttp',
        {'http': ('http_uv.c',)},
        needs=('llhttp', 'libuv'),
        ceiling=True,
        compiled=True,
    ),
    Ceiling(
        'C libuv+libssl',
        {'echo-tls': ('tls_uv.c', *FILES)},
        needs=('libuv', 'openssl'),
        ceiling=True,
        compiled=True,
    ),
]

PEERS = [*LOOPS, *STYLES, *PARSERS, *FRAMEWORKS, *OTHERS]
