"""The parser: bench/peers/parser_rows.py; see also bench/parser.py."""

from __future__ import annotations

import re

from ..peers.parser_rows import ROWS
from . import Case

COUNTS = (320, 960)  # multiples of the number of heads of each row
COUNTED = ('short', 'browser', 'head, short', 'head, browser')

CASES = [
    Case(
        name='parser-' + re.sub(r'[^a-z0-9]+', '-', row.lower()),
        title=f'parser: {row}',
        kind='parser',
        load='self',
        arguments=(row,),
        instructions=COUNTS if row in COUNTED else None,
    )
    for row in ROWS
]
