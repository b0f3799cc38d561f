"""What is measured. A case is a load; every peer that has a program for its
kind is measured under it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One load: what is done, and to which program of a peer.

    `load` says by whom:
      client  bench/client.c sends `size` bytes and compares the answers
      wrk     wrk asks for /bytes/SIZE with the heads of `script`, a file of
              this folder; answers are compared byte by byte before and after
      self    the program measures itself: it is run with `arguments`, and
              prints `figure` (nanoseconds, bytes) of one operation

    `instructions` are the numbers of requests of two counting runs, whose
    difference leaves out what starting costs; None where instructions mean
    little: from a few KB up, valgrind counts one a byte that is copied.
    """

    name: str
    title: str
    kind: str
    load: str = 'client'
    endpoint: str = 'tcp'  # or unix
    connections: int = 10
    size: int = 1024
    script: str = ''
    arguments: tuple[str, ...] = ()
    figure: str = 'nanoseconds'
    instructions: tuple[int, int] | None = None


def all_cases() -> list[Case]:
    from . import echo, http, micro, parser

    return [*echo.CASES, *http.CASES, *micro.CASES, *parser.CASES]
