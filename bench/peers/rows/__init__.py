"""The rows of the micro-benchmarks; ../micro.py runs one.

They use asyncio's interface alone, so that any loop can run them.
"""

from __future__ import annotations

from . import (
    connections,
    crowd,
    datagrams,
    names,
    pipes,
    processes,
    scheduling,
    sockets,
    streams,
    tasks,
    threads,
    tls,
)
from .timing import Row, Wrong

__all__ = ['ROWS', 'Row', 'Wrong']

ROWS: dict[str, Row] = {
    **scheduling.ROWS,
    **tasks.ROWS,
    **threads.ROWS,
    **sockets.ROWS,
    **streams.ROWS,
    **datagrams.ROWS,
    **tls.ROWS,
    **pipes.ROWS,
    **processes.ROWS,
    **names.ROWS,
    **connections.ROWS,
    **crowd.ROWS,
}
