"""python serve.py PROGRAM ARGUMENTS... ENDPOINT: runs one server.

ENDPOINT is `tcp` (127.0.0.1, any free port) or `unix:/path`. The program is a
file of this folder, without its `.py`; its `serve` gets a bound socket, the
arguments, and `tell`, which it calls once it serves: one line of JSON that
says where, and with what. It serves until it is killed.

This is run by the peer's own interpreter, and nothing of the checkout is on
its path (but for ours): so the programs are found by their place.
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

FOLDER = Path(__file__).resolve().parent


def bind(endpoint: str) -> socket.socket:
    """TCP_NODELAY: Linux hands it on to what is accepted, so that every peer
    has it, also those that do not set it."""
    kind, _, path = endpoint.partition(':')
    if kind == 'tcp' and not path:
        listener = socket.socket(socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(('127.0.0.1', 0))
    elif kind == 'unix' and path:
        listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.remove(path)
        listener.bind(path)
    else:
        sys.exit(f'{endpoint}: an endpoint is tcp or unix:/path')
    # A peer listens again, and may ask for less: this is for those that
    # do not, and for the time until then.
    listener.listen(1024)
    return listener


def load(name: str) -> ModuleType:
    path = FOLDER / f'{name}.py'
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    name, *arguments, endpoint = sys.argv[1:]
    program = load(name)
    listener = bind(endpoint)
    address = listener.getsockname()
    where = {'path': address} if endpoint != 'tcp' else {'port': address[1]}

    def tell(module: ModuleType, version: str = '', loop: str = '') -> None:
        """Of the peer: its module, its version, the class of its loop."""
        told = {
            **where,
            'version': version or getattr(module, '__version__', ''),
            'loop': loop,
            'file': getattr(module, '__file__', ''),
            'python': platform.python_version(),
        }
        print(json.dumps(told), flush=True)

    program.serve(listener, tell, *arguments)


main()
