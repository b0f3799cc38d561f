"""TCP echo: 10 connections, each waits for its answer before it sends."""

from __future__ import annotations

from . import Case

CASES = [
    Case(
        name=f'echo-{kilobytes}k',
        title=f'TCP echo, {kilobytes} KB, 10 connections, Protocol',
        kind='echo',
        connections=10,
        size=kilobytes * 1024,
        instructions=(2000, 6000) if kilobytes == 1 else None,
    )
    for kilobytes in (1, 10, 100)
]
