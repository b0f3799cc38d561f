"""The tables of docs/compatibility.md that tests check."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).parent.parent / 'docs' / 'compatibility.md'
METHODS = re.compile(r'^### Method by method\n(.*?)^#', re.M | re.S)
DEFECTS = re.compile(r'^### Defects of uvloop .*?\n(.*?)^#', re.M | re.S)


@dataclass
class Row:
    """What it says of a method in asyncio, in uvloop and here."""

    asyncio: str
    uvloop: str
    here: str

    def since(self) -> dict[str, tuple[int, ...]]:
        """The arguments that came to asyncio later, and with which Python."""
        found = re.findall(r'`(\w+)` from (3)\.(\d+)', self.asyncio)
        return {name: (int(x), int(y)) for name, x, y in found}


def names_in(cell: str) -> set[str]:
    return set(re.findall(r'`(\w+)`', cell))


def read_methods() -> dict[str, Row]:
    section = METHODS.search(DOCUMENT.read_text())
    assert section is not None
    lines = re.findall(r'^\| `(\w+)` \|(.*)\|$', section[1], re.M)
    return {
        name: Row(*(cell.strip() for cell in cells.split('|')))
        for name, cells in lines
    }


def read_defects() -> dict[str, list[tuple[str, str]]]:
    """uvloop's, each with the files and names of the tests that show it."""
    section = DEFECTS.search(DOCUMENT.read_text())
    assert section is not None
    rows = re.findall(r'^\| ([^|]+) \|.*\|([^|]+)\|$', section[1], re.M)
    # The first row is the heading.
    return {
        what: re.findall(r'`(\w+\.py)::(\w+)`', tests)
        for what, tests in rows[1:]
    }
