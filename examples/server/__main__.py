"""python -m examples.server: the command line, and every way it can fail."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from dataclasses import fields
from math import inf
from typing import NoReturn

import uvloop_core

from .app import app
from .limits import Limits
from .serve import listen, serve, url_of

# The first is the default.
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    'uvloop_core': uvloop_core.new_event_loop,
    'asyncio': asyncio.new_event_loop,
}


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        fail(message)


def fail(message: str) -> NoReturn:
    print(f'examples.server: {message}', file=sys.stderr)
    sys.exit(1)


def port_number(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f'{text!r} is not in 0..65535')
    return number


def positive(kind: type[int | float]) -> Callable[[str], int | float]:
    def convert(text: str) -> int | float:
        number = kind(text)
        if not 0 < number < inf:  # nan is neither
            raise ValueError
        return number

    convert.__name__ = f'positive {kind.__name__}'  # for argparse's message
    return convert


def main() -> None:
    parser = Parser(prog='python -m examples.server', description=__doc__)
    parser.add_argument('--host', default='127.0.0.1')
    parser.add_argument(
        '--port', type=port_number, default=8000, help='0: any free one'
    )
    parser.add_argument('--loop', choices=LOOPS, default=next(iter(LOOPS)))
    limits = parser.add_argument_group('limits')
    for field in fields(Limits):
        name = '--' + field.name.replace('_', '-')
        default = field.default
        assert isinstance(default, (int, float))
        limits.add_argument(
            name, type=positive(type(default)), default=default, metavar='N'
        )
    options = vars(parser.parse_args())
    host, port = options.pop('host'), options.pop('port')
    loop_factory = LOOPS[options.pop('loop')]

    try:
        sock = listen(host, port)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, 'strerror', None) or error
        fail(f'cannot listen on {host}:{port}: {reason}')

    def ready() -> None:
        print(f'serving on {url_of(sock)}', flush=True)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        cut_off = runner.run(serve(sock, app, Limits(**options), ready))
    if cut_off:
        fail(f'stopped with {cut_off} connections cut off')


if __name__ == '__main__':
    main()
