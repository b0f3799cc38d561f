"""The peers: what each one is, which of its programs serves what, and what it
takes to install it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

from .. import libraries
from ..build import BUILD, compile_c
from ..processes import Failed, run
from . import INSTALL_SECONDS, SERVERS, Peer, Unavailable

CERTIFICATE = (str(BUILD / 'certificate.pem'), str(BUILD / 'key.pem'))

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

    def command(self, prefix: list[str], kind: str) -> list[str]:
        return [*prefix, *self.servers[kind][1:]]


def library(name: str) -> list[str]:
    if name == 'libuv':
        return libraries.libuv()
    if name == 'llhttp':
        return libraries.llhttp()
    if flags := libraries.openssl():
        return flags
    raise Unavailable(NO_OPENSSL)


NO_OPENSSL = "OpenSSL's headers are not installed: apt-get install libssl-dev"


@dataclass(frozen=True)
class Node(Peer):
    def install(self) -> list[str]:
        return [found('node', 'nodejs')]


@dataclass(frozen=True)
class Go(Peer):
    """Compiled once, by the standard library alone: no network is used."""

    def install(self) -> list[str]:
        source = SERVERS / 'server.go'
        program = BUILD / 'server-go'
        go = found('go', 'golang-go')
        environ = {
            'GO111MODULE': 'off',
            'GOTOOLCHAIN': 'local',
            'GOFLAGS': '',
            'GOPATH': str(BUILD / 'go'),
            'GOCACHE': str(BUILD / 'go-cache'),
        }
        command = [go, 'build', '-o', str(program), str(source)]
        try:
            run(command, INSTALL_SECONDS, environ)
        except Failed as failed:
            raise Unavailable(f'not compiled: {failed}') from None
        return [str(program)]

    def command(self, prefix: list[str], kind: str) -> list[str]:
        return [*prefix, *self.servers[kind][1:]]


def found(program: str, package: str) -> str:
    path = shutil.which(program)
    if path is None and program == 'go':
        # Where its own archive is unpacked to.
        path = shutil.which('/usr/local/go/bin/go')
    if path is None:
        raise Unavailable(f'{program} is not here: apt-get install {package}')
    return path


def make_certificate() -> None:
    """A self-signed one, for the servers of TLS; the client does not care."""
    if not libraries.openssl():
        raise Unavailable(NO_OPENSSL)
    if shutil.which('openssl') is None:
        raise Unavailable('openssl is not here: apt-get install openssl')
    certificate, key = CERTIFICATE
    BUILD.mkdir(parents=True, exist_ok=True)
    command = (
        'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
        ' -days 3650 -subj /CN=localhost'
    )
    run([*command.split(), '-keyout', key, '-out', certificate], 60)


def echo(loop: str, style: str = 'protocol') -> tuple[str, ...]:
    return ('serve.py', 'echo', loop, style)


def kinds(loop: str) -> dict[str, tuple[str, ...]]:
    """Of a loop that has TLS."""
    return {
        'echo': echo(loop),
        'echo-tls': (*echo(loop), *CERTIFICATE),
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
        'echo-tls': (file, 'echo-tls', *CERTIFICATE),
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
    Peer('rsloop', kinds('rsloop') | micro('rsloop'), ('rsloop==0.1.66',)),
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
        ('sockets', ('ours', 'uvloop', 'asyncio', 'rloop')),
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
    Peer('httptools+uvloop', http('protocol', 'uvloop'), (HTTPTOOLS, UVLOOP)),
    Peer('httptools+asyncio', http('protocol', 'asyncio'), (HTTPTOOLS,)),
    Peer('zttp+uvloop', http('zttp', 'uvloop'), ('zttp==0.0.35', UVLOOP)),
]

FRAMEWORKS = [
    Peer(
        'aiohttp+ours',
        http('aiohttp', 'uvloop_core'),
        (AIOHTTP,),
        ours=True,
        style='aiohttp',
    ),
    Peer(
        'aiohttp+uvloop',
        http('aiohttp', 'uvloop'),
        (AIOHTTP, UVLOOP),
        style='aiohttp',
    ),
    Peer(
        'aiohttp+asyncio',
        http('aiohttp', 'asyncio'),
        (AIOHTTP,),
        style='aiohttp',
    ),
    Peer(
        'uvicorn+ours',
        http('uvicorn', 'uvloop_core'),
        (UVICORN,),
        ours=True,
        style='asgi',
    ),
    Peer(
        'uvicorn+uvloop',
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
    Peer('curio', {'echo': ('serve.py', 'with_curio')}, ('curio==1.6',)),
]

OTHERS = [
    Node('Node.js', other('server.js')),
    Go('Go', other('server.go')),
    Ceiling('C epoll', {'echo': ('echo_epoll.c',)}),
    Ceiling('C libuv', {'echo': ('echo_uv.c',)}, needs=('libuv',)),
    Ceiling(
        'C libuv+llhttp',
        {'http': ('http_uv.c',)},
        needs=('llhttp', 'libuv'),
    ),
    Ceiling(
        'C libuv+libssl',
        {'echo-tls': ('tls_uv.c', *CERTIFICATE)},
        needs=('libuv', 'openssl'),
    ),
]

PEERS = [*LOOPS, *STYLES, *PARSERS, *FRAMEWORKS, *OTHERS]
