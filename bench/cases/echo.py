"""Echo: each connection waits for its answer before it sends again."""

from __future__ import annotations

from . import Case

SIZES = {'1k': 1024, '10k': 10 * 1024, '100k': 100 * 1024, '900': 900}
SAID = {'900': '900 B', '1k': '1 KB', '10k': '10 KB', '100k': '100 KB'}


def echo(endpoint: str, size: str, connections: int) -> Case:
    many = '' if connections == 10 else f'-{connections}'
    return Case(
        name=f'echo-{endpoint}-{size}{many}',
        title=f'{endpoint.upper()} echo, {SAID[size]},'
        f' {connections} connections',
        kind='echo',
        endpoint=endpoint,
        connections=connections,
        size=SIZES[size],
        # In blocks of 100 KB there is little but bytes that are copied.
        instructions=(1000, 3000)
        if SIZES[size] <= 10 * 1024 and connections == 10
        else None,
    )


def echo_tls(size: str) -> Case:
    return Case(
        name=f'echo-tls-{size}',
        title=f'TLS echo, {SAID[size]}, 10 connections',
        kind='echo-tls',
        size=SIZES[size],
    )


CASES = [
    *(echo(end, size, 10) for end in ('tcp', 'unix') for size in SIZES),
    *(echo('tcp', size, 300) for size in ('1k', '10k', '100k')),
    *(echo_tls(size) for size in ('1k', '100k')),
]
