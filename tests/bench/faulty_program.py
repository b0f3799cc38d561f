"""A program that should time itself: python faulty_program.py FAULT."""

from __future__ import annotations

import sys

SAYS = {
    'none': '{"nanoseconds": 12.5, "version": "1.0"}',
    'no figure': '{"version": "1.0"}',
    'nothing at all': '{"nanoseconds": 0}',
    'no JSON': 'twelve',
    'cannot': '{"unavailable": "the loop has no pipes"}',
}

if sys.argv[1] == 'wrong result':
    print('noise', file=sys.stderr)
    sys.exit('the row: 3 datagrams came, not 4')
print(SAYS[sys.argv[1]])
