"""What is measured. A case is a load; every peer that has a server for its
kind is measured under it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One load: what the client does, and which server it does it to.

    `instructions` are the numbers of requests of two counting runs, whose
    difference leaves out what starting costs; None where instructions mean
    little: from a few KB up, valgrind counts one a byte that is copied.
    """

    name: str
    title: str
    kind: str
    connections: int
    size: int
    instructions: tuple[int, int] | None = None


def all_cases() -> list[Case]:
    from . import echo

    return [*echo.CASES]
