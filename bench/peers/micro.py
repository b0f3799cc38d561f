"""One row that times itself: python micro.py LOOP ROW [COUNT].

LOOP is a module with `new_event_loop`, ROW is one of bench/peers/rows. It
prints one line of JSON: what one operation takes, and what it was measured
on; or {"unavailable": why}, if the loop lacks what the row is about. With
COUNT it does exactly so many operations and prints nothing, for counting
instructions: two counts and their difference.

A result that is wrong, an exception that nobody expects or a row that hangs
ends it with exit code 1 and one line that says what.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import json
import os
import platform
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

# The folder of the rows, and nothing else of the checkout; it comes last, so
# nothing in it stands before what a peer imports.
sys.path.append(str(Path(__file__).resolve().parent))
rows: Any = importlib.import_module('rows')

HANGS_SECONDS = 60


def version_of(module: ModuleType) -> str:
    name = module.__name__
    if name == 'asyncio':
        return platform.python_version()
    if hasattr(module, '__version__'):
        return str(module.__version__)
    return importlib.metadata.version(name)


def watch() -> None:
    """A loop that loses a callback waits for ever."""

    def end(signal_number: int, frame: FrameType | None) -> None:
        os.write(2, b'it hangs: what it waits for does not come\n')
        os._exit(1)

    signal.signal(signal.SIGALRM, end)
    signal.alarm(HANGS_SECONDS)


def run(
    loop: asyncio.AbstractEventLoop, row: Any, count: int
) -> dict[str, float]:
    """The figures; none if there is a count."""
    reported: list[str] = []

    def report(
        loop: asyncio.AbstractEventLoop, context: dict[str, Any]
    ) -> None:
        # What waits for the work to end is told that the loop has stopped.
        reason = context.get('exception') or context.get('message')
        reported.append(repr(reason))
        loop.stop()

    loop.set_exception_handler(report)
    try:
        with row.open(loop) as work:
            if count:
                work(count)
                figures = {}
            else:
                figures = row.measure(work, row.step)
    except Exception:
        # It may be what comes of that.
        if not reported:
            raise
    if reported:
        raise rows.Wrong(f'reported to the loop: {reported[0]}')
    return figures


def main() -> int:
    name, row_name, *counts = sys.argv[1:]
    module = importlib.import_module(name)
    row = rows.ROWS[row_name]
    count = int(counts[0]) if counts else 0
    if count % row.step:
        sys.exit(f'{row_name}: the count is a multiple of {row.step}')
    if not count:
        watch()
    loop: asyncio.AbstractEventLoop = module.new_event_loop()
    told: dict[str, object]
    try:
        told = dict(run(loop, row, count))
    except NotImplementedError:
        told = {'unavailable': f'the loop has no {row.needs}'}
    except rows.Wrong as wrong:
        sys.exit(f'{row_name}: {wrong}')
    except Exception as error:
        # On the last line, after what led there.
        traceback.print_exc()
        sys.exit(f'{row_name}: {error!r}')
    if not count:
        told |= {
            'version': version_of(module),
            'loop': f'{type(loop).__module__}.{type(loop).__qualname__}',
            'file': module.__file__,
            'python': platform.python_version(),
        }
        print(json.dumps(told), flush=True)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    return 0


if __name__ == '__main__':
    sys.exit(main())
