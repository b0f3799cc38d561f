"""HTTP: 300 connections of wrk; no head is like the one before."""

from __future__ import annotations

from . import Case

HEADS = {'short': 'short heads', 'browser': '12 headers'}


def http(heads: str, kilobytes: int) -> Case:
    return Case(
        name=f'http-{heads}-{kilobytes}k',
        title=f'HTTP, {HEADS[heads]}, {kilobytes} KB, 300 connections',
        kind='http',
        load='wrk',
        connections=300,
        size=kilobytes * 1024,
        script=f'{heads}.lua',
        instructions=(1000, 3000) if kilobytes == 1 else None,
    )


CASES = [http(heads, size) for heads in HEADS for size in (1, 10, 100)]
