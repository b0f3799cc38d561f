"""python -m bench.report [FILE...]: a page and charts; `make report`.

The first file is what the page is about; of the others, ratios of the same
rows stand beside it. Without files, the newest of bench/results, and beside
it the newest of each other version of CPython there. The page is
build/bench/report.html: one file, which loads nothing. The charts that the
README shows are docs/charts/*.svg.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from . import charts, promise
from .build import ROOT
from .charts import Bar
from .compare import FLOORS, MORE_IS_BETTER

RESULTS = ROOT / 'bench' / 'results'
CHARTS = ROOT / 'docs' / 'charts'
PAGE = ROOT / 'build' / 'bench' / 'report.html'
STYLE = Path(__file__).with_suffix('.css')

GROUPS = {
    ('echo', 'tcp'): 'Echo over TCP',
    ('echo', 'unix'): 'Echo over UNIX sockets',
    ('echo-tls', 'tcp'): 'Echo over TLS',
    ('http', 'tcp'): 'HTTP',
    ('parser', 'tcp'): 'The parser',
}
REST = 'Single operations'
FIGURES = {
    'requests_per_second': 'requests/s',
    'cpu_us': 'CPU us a request',
    'instructions': 'instructions a request',
    'p99_us': 'p99 us',
    'least': 'time or size',
}
# Head, figure, form ('': four digits), whether its ratio to ours is shown.
LOADED = (
    ('requests/s', 'requests_per_second', '{:,.0f}', True),
    ('p50 us', 'p50_us', '{:,.0f}', False),
    ('p99 us', 'p99_us', '{:,.0f}', True),
    ('CPU us', 'cpu_us', '{:,.2f}', True),
    ('user', 'user_us', '{:,.2f}', False),
    ('sys', 'system_us', '{:,.2f}', False),
    ('instructions', 'instructions', '{:,.0f}', True),
)
SELF = (
    ('{unit}, least', 'least', '', True),
    ('median', 'value', '', False),
    ('instructions', 'instructions', '{:,.0f}', True),
)
OVERVIEW = (
    (
        'echo',
        'Echo over TCP, 10 connections',
        {
            'echo-tcp-1k': '1 KB',
            'echo-tcp-10k': '10 KB',
            'echo-tcp-100k': '100 KB',
        },
    ),
    (
        'http',
        'HTTP, 1 KB, 300 connections',
        {'http-short-1k': 'short heads', 'http-browser-1k': '12 headers'},
    ),
)
MORE = '(more is better)'
LESS = '(less is better)'

Row = dict[str, Any]
Case = dict[str, Any]


class Results:
    """A result file."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.machine: dict[str, Any] = document['machine']
        self.cases: list[Case] = document['cases']
        self.rows: list[Row] = document['rows']

    @property
    def interpreter(self) -> str:
        return str(self.machine['interpreter'])

    @property
    def version(self) -> str:
        """CPython 3.14"""
        return '.'.join(self.interpreter.split(',')[0].split('.')[:2])

    def rows_of(self, case: Case) -> list[Row]:
        """Best first; what does not score is last."""
        rows = [row for row in self.rows if row['case'] == case['name']]
        figure = deciding(case)
        sign = -1 if figure in MORE_IS_BETTER else 1
        return sorted(
            rows,
            key=lambda row: (
                not row['median'],
                sign * row['median'].get(figure, 0),
            ),
        )

    def ours_for(self, row: Row) -> Row | None:
        """The row of ours that this one is compared with: of its style, or
        the first."""
        mine = [
            other
            for other in self.rows
            if other['case'] == row['case'] and other['ours']
        ]
        same = [other for other in mine if other['style'] == row['style']]
        return next(iter(same or mine), None)

    def ratio(self, row: Row, figure: str) -> float | None:
        """Of this row's figure to ours."""
        ours = self.ours_for(row)
        if ours is None or ours is row:
            return None
        return ratio_of(row, ours, figure)

    def find(self, row: Row) -> Row | None:
        for other in self.rows:
            if (other['case'], other['peer']) == (row['case'], row['peer']):
                return other
        return None


def deciding(case: Case) -> str:
    """What the order of a case's rows, and its chart, go by."""
    return 'least' if case['load'] == 'self' else 'requests_per_second'


def ratio_of(row: Row, other: Row, figure: str) -> float | None:
    mine = promise.figure_of(row, figure)
    theirs = promise.figure_of(other, figure)
    return mine / theirs if mine and theirs else None


def wins(ratio: float, figure: str) -> int:
    """1 if ours is ahead of a peer with this ratio, -1 if behind; 0: noise."""
    if abs(ratio - 1) <= FLOORS[figure]:
        return 0
    return 1 if (ratio > 1) != (figure in MORE_IS_BETTER) else -1


def unit_of(case: Case, rows: list[Row]) -> tuple[str, float]:
    """Of what times itself: the unit to show, and what it divides by."""
    if 'nanoseconds' not in case['figure']:
        return str(case['figure']), 1
    most = max((row['median'].get('least', 0) for row in rows), default=0)
    for size, unit in ((1e6, 'ms'), (1e3, 'us')):
        if most >= 2 * size:
            return unit, size
    return 'ns', 1


# HTML


def table(
    heads: Iterable[str], lines: Iterable[str], text: Sequence[int] = (0,)
) -> str:
    """`text` are the columns that hold words."""
    row = ''.join(
        f'<th{" class=text" * (i in text)}>{head}</th>'
        for i, head in enumerate(heads)
    )
    body = '\n'.join(lines)
    return (
        f'<div class="scroll"><table><thead><tr>{row}</tr></thead>'
        f'<tbody>\n{body}\n</tbody></table></div>'
    )


def cell(text: str, kind: str = '') -> str:
    words = f' class="{kind}"' if kind else ''
    return f'<td{words}>{text}</td>'


def line(cells: Iterable[str], kind: str = '') -> str:
    words = f' class="{kind}"' if kind else ''
    return f'<tr{words}>{"".join(cells)}</tr>'


def image(svg: str, alt: str) -> str:
    """As a picture of its own: the names within it meet no others."""
    data = base64.b64encode(svg.encode()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{data}">'


def colour(ratio: float, figure: str) -> str:
    return {1: 'good', -1: 'bad', 0: ''}[wins(ratio, figure)]


# Parts of the page


def heading(results: Results) -> Iterator[str]:
    about, machine = results.document, results.machine
    rounds = f'{about["rounds"]} round' + 's' * (about['rounds'] != 1)
    yield '<h1>httptools-uv beside its peers</h1>'
    yield (
        f'<p>{escape(results.interpreter)}; {escape(machine["cpu"])},'
        f' {machine["cores"]} cores; {escape(machine["system"])},'
        f' {escape(machine["libc"])}; {about["date"]},'
        f' commit {escape(machine["commit"])}. Plan {about["plan"]}:'
        f' {rounds} of {about["seconds"]} s, interleaved.</p>'
    )
    yield (
        '<p class="quiet">Ratios are a peer’s figure to ours of the same'
        ' style. <span class="good">Green</span>: ours is ahead;'
        ' <span class="bad">red</span>: ours is behind; neither: within what'
        ' two runs of the same code are apart'
        f' ({", ".join(floors())}).</p>'
    )
    disturbed = [row for row in results.rows if row['disturbed']]
    if disturbed:
        yield (
            f'<p class="bad">Other processes disturbed {len(disturbed)} of'
            f' {len(results.rows)} rows, marked * in the tables: their times'
            ' are worth little, their instructions stand.</p>'
        )


def floors() -> Iterator[str]:
    for figure, floor in FLOORS.items():
        yield f'{FIGURES[figure]} {floor:.0%}'


def promised(results: Results) -> Iterator[str]:
    found = promise.verdicts(results.document)
    held = sum(one.holds for one in found)
    open_ = sum(one.ratio is None for one in found)
    yield '<h2 id="promise">The promise</h2>'
    yield (
        f'<p class="tally"><span class="good">{held} hold</span>,'
        f' <span class="bad">{len(found) - held - open_} do not</span>,'
        f' {open_} were not measured.</p>'
    )
    heads = ['row', 'ratio', 'goal', '', 'ours', 'best']
    yield table(heads, (verdict(one) for one in found), text=(0, 5))


def verdict(one: promise.Verdict) -> str:
    goal = one.goal
    kind = ('good' if one.holds else 'bad') if one.ratio else ''
    said = ('holds' if one.holds else 'missed') if one.ratio else 'unknown'
    row = escape(f'{goal.case}, {goal.ours}')
    work = escape(f'{goal.work}: {FIGURES[goal.figure]}')
    best = escape(one.why)
    if one.best is not None:
        best = f'{charts.short(one.best)}, {escape(one.peer)}'
    return line(
        [
            cell(f'{row}<br><span class="quiet">{work}</span>'),
            cell(f'{one.ratio:.3f}' if one.ratio else '-', kind),
            cell(f'{"≥" if goal.at_least else "≤"} {goal.limit:.2f}'),
            cell(said, kind),
            cell(charts.short(one.ours) if one.ours else '-'),
            cell(best, 'text'),
        ]
    )


def losses(results: Results) -> Iterator[str]:
    """Every figure in which a peer that is no ceiling is ahead."""
    titles = {case['name']: case for case in results.cases}
    found = []
    for row in results.rows:
        case = titles[row['case']]
        columns = SELF if case['load'] == 'self' else LOADED
        for _, figure, _, compared in columns:
            ratio = results.ratio(row, figure) if compared else None
            rival = not row['ceiling'] and not row['ours']
            if rival and ratio and wins(ratio, figure) < 0:
                found.append((case, row, figure, ratio))
    yield '<h2 id="losses">Where we lose</h2>'
    if not found:
        yield '<p>Nowhere, beyond the noise.</p>'
        return
    yield f'<p>{len(found)} figures in which a peer is ahead of ours:</p>'
    yield table(
        ['case', 'peer', 'figure', 'ours', 'theirs', 'of ours'],
        (loss(results, *each) for each in found),
        text=(0, 1, 2),
    )


def loss(
    results: Results, case: Case, row: Row, figure: str, ratio: float
) -> str:
    ours = results.ours_for(row)
    assert ours is not None
    mine, theirs = (
        charts.short(promise.figure_of(each, figure) or 0)
        for each in (ours, row)
    )
    return line(
        [
            cell(escape(case['title'])),
            cell(escape(row['peer']), 'text'),
            cell(FIGURES[figure], 'text'),
            cell(f'{mine} ({escape(ours["peer"])})'),
            cell(theirs),
            cell(f'{ratio:.2f}', 'bad'),
        ]
    )


def section(case: Case, results: Results, beside: list[Results]) -> str:
    rows = results.rows_of(case)
    scoring = [row for row in rows if row['median'] or row['instructions']]
    parts = [f'<h3>{escape(case["title"])}</h3>']
    if scoring:
        pictures = ''.join(case_charts(case, results))
        parts.append(f'<div class="charts">{pictures}</div>')
        parts.append(case_table(case, scoring, results, beside))
    parts += [
        f'<p class="bad">{escape(row["peer"])}: failed:'
        f' {escape(row["failed"])}</p>'
        for row in rows
        if row['failed']
    ]
    return '\n'.join(parts)


def case_table(
    case: Case, rows: list[Row], results: Results, beside: list[Results]
) -> str:
    unit, scale = unit_of(case, rows)
    columns = [
        column
        for column in (SELF if case['load'] == 'self' else LOADED)
        if any(promise.figure_of(row, column[1]) for row in rows)
    ]
    heads = ['peer', 'version']
    for head, _, _, compared in columns:
        heads.append(head.format(unit=unit))
        heads += ['of ours'] if compared else []
    heads += [f'of ours, {other.version}' for other in beside]
    lines = []
    for row in rows:
        cells = [
            cell(escape(row['peer']) + '*' * row['disturbed']),
            cell(escape(str(row['server'].get('version', ''))[:24]), 'text'),
        ]
        for _, figure, form, compared in columns:
            value = promise.figure_of(row, figure)
            if value is not None and figure in ('least', 'value'):
                value /= scale
            cells.append(cell(shown(value, form)))
            if compared:
                cells.append(ratio_cell(results, row, figure))
        for other in beside:
            same = other.find(row)
            cells.append(
                ratio_cell(other, same, deciding(case)) if same else cell('-')
            )
        lines.append(line(cells, kind_of(row)))
    return table(heads, lines, text=(0, 1))


def shown(value: float | None, form: str) -> str:
    if value is None:
        return '-'
    if form:
        return form.format(value)
    return f'{value:,.0f}' if value >= 1000 else f'{value:#.4g}'


def ratio_cell(results: Results, row: Row, figure: str) -> str:
    ratio = results.ratio(row, figure)
    if ratio is None:
        return cell('')
    rival = not row['ceiling'] and not row['ours']
    return cell(f'{ratio:.2f}', colour(ratio, figure) if rival else '')


def kind_of(row: Row) -> str:
    if row['ours']:
        return 'ours'
    return 'ceiling' if row['ceiling'] else ''


def bars(
    case: Case, results: Results, figure: str, scale: float = 1
) -> list[Bar]:
    found = []
    for row in results.rows_of(case):
        value = promise.figure_of(row, figure)
        if value is None:
            continue
        name = 'value' if figure == 'least' else figure
        rounds = [one[name] / scale for one in row['rounds'] if name in one]
        value /= scale
        low, high = (min(rounds), max(rounds)) if rounds else (value, value)
        kind = kind_of(row) or 'peer'
        found.append(Bar(row['peer'], value, low, high, kind))
    sign = -1 if figure in MORE_IS_BETTER else 1
    return sorted(found, key=lambda bar: sign * bar.value)


def case_charts(case: Case, results: Results) -> Iterator[str]:
    unit, scale = unit_of(case, results.rows_of(case))
    wanted = [
        ('requests_per_second', f'Requests/s {MORE}', 1.0),
        ('cpu_us', f'CPU us a request {LESS}', 1.0),
        ('instructions', f'Instructions a request {LESS}', 1.0),
    ]
    if case['load'] == 'self':
        wanted = [('least', f'{unit} {LESS}', scale)]
    for figure, label, divisor in wanted:
        if found := bars(case, results, figure, divisor):
            svg = charts.panel(found, label)
            numbers = ', '.join(
                f'{bar.label} {charts.short(bar.value)}' for bar in found
            )
            yield image(svg, f'{case["title"]}, {label}: {numbers}')


def group_of(case: Case) -> str:
    return GROUPS.get((case['kind'], case['endpoint']), REST)


def groups(results: Results, beside: list[Results]) -> Iterator[str]:
    for name in dict.fromkeys(map(group_of, results.cases)):
        yield f'<h2 id="{anchor(name)}">{name}</h2>'
        cases = [case for case in results.cases if group_of(case) == name]
        for case in cases:
            yield section(case, results, beside)


def anchor(name: str) -> str:
    return name.lower().replace(' ', '-')


def absent(results: Results) -> Iterator[str]:
    """Who was not measured, with the reason; each reason once."""
    cases: dict[tuple[str, str, str], list[str]] = {}
    for row in results.rows:
        for state in ('failed', 'unavailable', 'not_counted'):
            if row[state]:
                key = (row['peer'], state.replace('_', ' '), row[state])
                cases.setdefault(key, []).append(row['case'])
    yield '<h2 id="absent">What was not measured</h2>'
    if not cases:
        yield '<p>Everything was.</p>'
        return
    yield table(
        ['peer', '', 'cases', 'why'],
        (
            line(
                [
                    cell(escape(peer)),
                    cell(state, 'text bad' if state == 'failed' else 'text'),
                    cell(shortened(names), 'text'),
                    cell(escape(why), 'text wide'),
                ]
            )
            for (peer, state, why), names in cases.items()
        ),
        text=(0, 1, 2, 3),
    )


def shortened(names: list[str]) -> str:
    return ', '.join(names) if len(names) < 4 else f'{len(names)} cases'


def overview(results: Results) -> dict[str, str]:
    """The charts that the README shows, by name."""
    by_name = {case['name']: case for case in results.cases}
    made = {}
    for name, heading, cases in OVERVIEW:
        found = [
            (bars(by_name[case], results, 'requests_per_second'), said)
            for case, said in cases.items()
            if case in by_name
        ]
        found = [each for each in found if each[0]]
        if found:
            made[name] = charts.panels(found, f'{heading}: requests/s {MORE}')
    rows = [
        (str(case['title']), ratios)
        for case in results.cases
        if case['load'] == 'self' and (ratios := ratios_of(case, results))
    ]
    if rows:
        title = 'What one operation takes, as a multiple of ours'
        label = 'left of the line: a peer is ahead of ours'
        made['operations'] = charts.dots(rows, title, label)
    return made


def ratios_of(case: Case, results: Results) -> dict[str, float]:
    return {
        row['peer']: ratio
        for row in results.rows
        if row['case'] == case['name']
        and not row['ours']
        and (ratio := results.ratio(row, 'least'))
    }


def page(results: Results, beside: list[Results]) -> str:
    names = dict.fromkeys(map(group_of, results.cases))
    links = {'promise': 'The promise', 'losses': 'Where we lose'}
    links |= {anchor(name): name for name in names}
    links |= {'absent': 'What was not measured'}
    menu = ''.join(
        f'<a href="#{key}">{text}</a>' for key, text in links.items()
    )
    pictures = ''.join(
        image(svg, f'{name}, of ours and its peers')
        for name, svg in overview(results).items()
    )
    parts = [
        *heading(results),
        f'<nav>{menu}</nav>',
        *promised(results),
        *losses(results),
        '<h2 id="overview" class="glance">At a glance</h2>',
        f'<div class="charts glance">{pictures}</div>',
        *groups(results, beside),
        *absent(results),
        '<p class="quiet">How it is measured, and what each number is worth:'
        ' docs/performance.md.</p>',
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,'
        ' initial-scale=1">\n<title>httptools-uv beside its peers</title>\n'
        f'<style>\n{STYLE.read_text()}</style>\n</head>\n<body>\n'
        + '\n'.join(parts)
        + '\n</body>\n</html>\n'
    )


# The command line


def read(path: Path) -> Results:
    try:
        return Results(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f'error: {path}: not a result file: {error!r}')


def newest() -> list[Results]:
    """One of each version of CPython, the newest first."""
    found = sorted(
        (read(path) for path in RESULTS.glob('*.json')),
        key=lambda results: str(results.document['date']),
        reverse=True,
    )
    if not found:
        sys.exit('error: bench/results is empty: run `make bench` first')
    chosen: dict[str, Results] = {}
    for results in found:
        chosen.setdefault(results.version, results)
    return list(chosen.values())


def main() -> int:
    parser = argparse.ArgumentParser(prog='make report', description=__doc__)
    parser.add_argument('files', nargs='*', type=Path, metavar='FILE')
    parser.add_argument(
        '--charts', type=Path, default=CHARTS, help='not docs/charts'
    )
    given = parser.parse_args()
    results, *beside = [read(path) for path in given.files] or newest()
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(results, beside))
    print(PAGE)
    given.charts.mkdir(parents=True, exist_ok=True)
    for name, svg in overview(results).items():
        path = given.charts / f'{name}.svg'
        path.write_text(svg)
        print(path)
    return 0


if __name__ == '__main__':
    sys.exit(main())
