"""The table of the loop's methods in docs/compatibility.md, to be checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).parent.parent / 'docs' / 'compatibility.md'
SECTION = re.compile(r'^### Method by method\n(.*?)^#', re.M | re.S)


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
    section = SECTION.search(DOCUMENT.read_text())
    assert section is not None
    lines = re.findall(r'^\| `(\w+)` \|(.*)\|$', section[1], re.M)
    return {
        name: Row(*(cell.strip() for cell in cells.split('|')))
        for name, cells in lines
    }
