"""Writes what httptools 0.9.0 does into the data files of these tests.

Run it with a Python that has the original httptools and not ours:
``python tests/httptools/record.py``. It rewrites cases/*.md (see cases.py)
and urls.txt.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import httptools

sys.path.insert(0, str(Path(__file__).parent))

import cases

URLS = Path(__file__).with_name('urls.txt')


def record_case(found: re.Match[str], case: cases.Case) -> str:
    events = cases.lines(cases.run(case, [case.data]))
    events.append(cases.digest(case))
    end = found.end('text') + len('```\n')
    head = found.string[found.start() : end]
    return head + '```events\n' + '\n'.join(events) + '\n```\n'


def record_file(path: Path) -> int:
    text = path.read_text()
    known = list(cases.read_file(path))
    replacements = iter(known)
    path.write_text(
        cases.BLOCK.sub(
            lambda found: record_case(found, next(replacements)), text
        )
    )
    return len(known)


def record_urls() -> int:
    lines = []
    for line in URLS.read_text().splitlines():
        url = ast.literal_eval(line.split(' -> ')[0])
        try:
            result = repr(httptools.parse_url(url))
        except httptools.HttpParserInvalidURLError as error:
            result = f'HttpParserInvalidURLError: {error}'
        lines.append(f'{url!r} -> {result}\n')
    URLS.write_text(''.join(lines))
    return len(lines)


if __name__ == '__main__':
    if getattr(httptools, '__version__', '') != '0.9.0':
        sys.exit(f'error: {httptools.__file__} is not httptools 0.9.0')
    for path in sorted(cases.FOLDER.glob('*.md')):
        print(f'{path.name}: {record_file(path)} cases')
    print(f'{URLS.name}: {record_urls()} URLs')
