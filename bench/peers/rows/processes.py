"""Subprocesses."""

from __future__ import annotations

import asyncio
import shutil

from .timing import Row, coroutine, expect

PROGRAM = shutil.which('true') or '/bin/true'


async def spawn(count: int) -> None:
    """The smallest program, from its start to its exit code."""
    for _ in range(count):
        process = await asyncio.create_subprocess_exec(PROGRAM)
        expect(await process.wait(), 0, 'the exit code')


ROWS = {'subprocess': Row(coroutine(spawn), needs='subprocess_exec')}
