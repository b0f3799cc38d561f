"""Instructions per request, counted by valgrind.

A program is run twice, for a smaller and a larger number of requests; the
difference of the counts, over the difference of the numbers, is free of what
it takes to start, to accept and to end. It depends neither on other load on
the machine nor on its clock, so both runs are made at once; it is blind to the
kernel, to caches, and to how long an instruction takes.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from .build import BUILD
from .cases import Case
from .measure import serving
from .peers import Peer, Unavailable
from .processes import end_all, run

START_SECONDS = 120
PATIENCE_SECONDS = 60
SELF_SECONDS = 300


@dataclass
class Count:
    """Instructions, and how they are spread over functions (self cost)."""

    total: float = 0
    functions: dict[str, float] = field(default_factory=dict)


def instructions_per_request(
    client: str,
    peer: Peer,
    case: Case,
    prefix: list[str],
    bounds: tuple[int, int],
) -> Count:
    if peer.not_counted:
        raise Unavailable(peer.not_counted)
    if not shutil.which('valgrind'):
        raise Unavailable('valgrind is not installed')
    few, many = at_once(lambda n: count(client, peer, case, prefix, n), bounds)
    requests = bounds[1] - bounds[0]
    return Count(
        (many.total - few.total) / requests,
        {
            name: (cost - few.functions.get(name, 0)) / requests
            for name, cost in many.functions.items()
        },
    )


def at_once(
    action: Callable[[int], Count], numbers: tuple[int, int]
) -> list[Count]:
    """Each in a thread. If one fails, or we are interrupted, all processes
    end, and those that were just about to start."""
    with ThreadPoolExecutor(len(numbers)) as pool:
        futures = [pool.submit(action, number) for number in numbers]
        try:
            return [future.result() for future in futures]
        except BaseException:
            while wait(futures, 0.1).not_done:
                end_all()
            raise


def count(
    client: str, peer: Peer, case: Case, prefix: list[str], requests: int
) -> Count:
    """Of a program's whole life, in which it does so many requests."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        file = Path(folder, 'out')
        tool = (
            *('valgrind', '-q', '--tool=callgrind', '--compress-pos=no'),
            f'--callgrind-out-file={file}',
        )
        if case.load == 'self':
            command = peer.command(prefix, case.kind)
            run(
                [*tool, *command, *case.arguments, str(requests)],
                SELF_SECONDS,
                peer.environ(),
            )
        else:
            with serving(
                client, peer, case, prefix, tool, START_SECONDS
            ) as server:
                server.ask(requests, PATIENCE_SECONDS)
                # Callgrind writes its file when the server ends.
                server.running.terminate(PATIENCE_SECONDS)
        return parse(file.read_text(errors='replace'))


def parse(text: str) -> Count:
    """Reads the format of callgrind's files.

    A cost line is a position and a number. It belongs to the last `fn=` of
    the last `ob=`, unless it follows a `calls=`: then it is what a call took
    in all.
    """
    costs: Counter[str] = Counter()
    functions: dict[str, str] = {}
    objects: dict[str, str] = {}
    function = file = ''
    is_call = False
    for line in text.splitlines():
        key, _, value = line.partition('=')
        if key == 'fn':
            function = name_of(value, functions)
        elif key == 'cfn':
            name_of(value, functions)
        elif key == 'ob':
            file = Path(name_of(value, objects)).name
        elif key == 'cob':
            name_of(value, objects)
        elif key == 'calls':
            is_call = True
        elif line[:1].isdigit() or line[:1] in ('+', '-', '*'):
            if not is_call:
                costs[f'{function} [{file}]'] += int(line.split()[1])
            is_call = False
    return Count(costs.total(), dict(costs))


def name_of(text: str, names: dict[str, str]) -> str:
    """`(7) name` gives number 7 its name, `(7)` alone stands for it."""
    match = re.match(r'\((\d+)\)(?: (.*))?', text)
    if match is None:
        return text
    number, name = match.groups()
    if name:
        # callgrind marks the depth of a recursion: f, f'2
        names[number] = re.sub(r"'\d+$", '', name)
    return names[number]
