"""python serve.py PROGRAM ARGUMENTS... ENDPOINT: runs one server.

ENDPOINT is `tcp` (127.0.0.1, any free port) or `unix:/path`. The program is a
file of this folder, without its `.py`; its `serve` gets a listening socket,
`tell`, which it calls once it serves, and the arguments. What is told is one
line of JSON: where, and with what. Then it serves until it is killed.

This is run by the peer's own interpreter, and nothing of the checkout is on
its path (but for ours): so a program is found by its place, and imports what
it shares with others from `__main__`, which is this file.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).resolve().parent
BACKLOG = 1024

# HTTP: GET /bytes/N?anything is answered by N bytes, of all values in turn.

VALUES = bytes(range(256))
MAX_BODY = 1 << 20
MAX_KEPT = 100
bodies: dict[bytes, bytes] = {}


def body_of(target: bytes) -> bytes | None:
    """None: there is no such thing. Bodies are kept, as a server of files
    would keep them: to make them is not what is measured."""
    path = target.partition(b'?')[0]
    body = bodies.get(path)
    return make_body(path) if body is None else body


def make_body(path: bytes) -> bytes | None:
    digits = path.removeprefix(b'/bytes/')
    if digits == path or not digits.isdigit() or len(digits) > 7:
        return None
    size = int(digits)
    if size > MAX_BODY:
        return None
    body = (VALUES * (size // 256 + 1))[:size]
    if len(bodies) < MAX_KEPT:
        bodies[path] = body
    return body


def head_of(status: bytes, size: int) -> bytes:
    return (
        b'HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\n'
        b'Content-Length: %d\r\n\r\n' % (status, size)
    )


# The socket


def bind(endpoint: str) -> socket.socket:
    """TCP_NODELAY: Linux hands it on to what is accepted, so that every peer
    has it, also those that do not set it."""
    kind, _, path = endpoint.partition(':')
    if kind == 'tcp' and not path:
        listener = socket.socket(socket.AF_INET)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(('127.0.0.1', 0))
    elif kind == 'unix' and path:
        listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.remove(path)
        listener.bind(path)
    else:
        sys.exit(f'{endpoint}: an endpoint is tcp or unix:/path')
    listener.listen(BACKLOG)
    return listener


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f'{name}.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loop_of(name: str) -> tuple[ModuleType, Any, str, str]:
    """The module of a loop, a new loop of it, its class and its version.

    `aiofastnet+uvloop` is a loop of the second, patched by the first.
    """
    name, _, base = name.partition('+')
    module = importlib.import_module(name)
    if base:
        loop = module.patch_loop(
            importlib.import_module(base).new_event_loop()
        )
    else:
        loop = module.new_event_loop()
    kind = f'{type(loop).__module__}.{type(loop).__qualname__}'
    version = getattr(module, '__version__', platform.python_version())
    return module, loop, kind, version


def serve_protocol(
    listener: socket.socket,
    tell: Any,
    loop_name: str,
    factory: Any,
    module: ModuleType,
    version: str,
) -> None:
    """A protocol on a loop, for ever; told of is the module that it uses."""
    _, loop, kind, _ = loop_of(loop_name)
    server = loop.run_until_complete(
        loop.create_server(factory, sock=listener, backlog=BACKLOG)
    )
    tell(module, version, kind)
    loop.run_forever()
    server.close()


def main() -> None:
    name, *arguments, endpoint = sys.argv[1:]
    program = load(name)
    listener = bind(endpoint)
    address = listener.getsockname()
    where = {'path': address} if endpoint != 'tcp' else {'port': address[1]}

    def tell(module: ModuleType, version: str, loop: str) -> None:
        """Of the peer: its module, its version, the class of its loop."""
        told = {
            **where,
            'version': version,
            'loop': loop,
            'file': getattr(module, '__file__', ''),
            'python': platform.python_version(),
        }
        print(json.dumps(told), flush=True)

    try:
        program.serve(listener, tell, *arguments)
    except NotImplementedError:
        kind = endpoint.partition(':')[0]
        print(json.dumps({'unavailable': f'it does not implement {kind}'}))


if __name__ == '__main__':
    main()
