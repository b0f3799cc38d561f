"""bench/report.py: what the page says; its charts are looked at by eye."""

from __future__ import annotations

import importlib
import re
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from bench.compare import FLOORS
from tests.bench.documents import case, document, loaded, row

NAMES = ('label', 'value', 'low', 'high', 'kind')
CASES = [
    case('echo-tcp-1k'),
    case('timer', 'self'),
    case('memory', 'self', figure='bytes'),
]


@pytest.fixture
def report(monkeypatch):
    """Without the plotting library, which is not among the tests' tools."""
    charts = SimpleNamespace(
        short='{:.3g}'.format,
        panel=lambda bars, title: f'<svg>{len(bars)}</svg>',
        panels=lambda charts, heading: '<svg/>',
        dots=lambda rows, title, unit: '<svg/>',
        Bar=lambda *values: SimpleNamespace(
            **dict(zip(NAMES, values, strict=True))
        ),
    )
    monkeypatch.setitem(sys.modules, 'bench.charts', charts)
    monkeypatch.setattr('bench.charts', charts, raising=False)
    monkeypatch.delitem(sys.modules, 'bench.report', raising=False)
    yield importlib.import_module('bench.report')
    monkeypatch.delitem(sys.modules, 'bench.report')


@pytest.fixture
def page(report):
    def make(*rows, beside=()) -> str:
        return report.page(
            report.Results(document(CASES, list(rows))),
            [report.Results(document(CASES, list(beside)))] if beside else [],
        )

    return make


def text_of(html: str) -> str:
    return re.sub(r'\s+', ' ', re.sub(r'<[^>]+>', ' ', html))


def part(html: str, name: str) -> str:
    return text_of(html.partition(f'id="{name}"')[2].partition('<h2')[0])


OURS = row('echo-tcp-1k', 'ours', [loaded(4)], instructions=1000.0)


def test_a_peer_that_is_ahead_stands_under_where_we_lose(page):
    ahead = row('echo-tcp-1k', 'rloop', [loaded(2)], instructions=2000.0)

    lost = part(page(OURS, ahead), 'losses')

    assert '3 figures in which a peer is ahead' in lost
    assert 'rloop requests/s' in lost
    assert 'rloop CPU us a request 4 (ours) 2 0.50' in lost
    assert 'instructions' not in lost


def test_a_peer_within_the_noise_and_a_ceiling_are_no_loss(page):
    near = row(
        'echo-tcp-1k', 'uvloop', [loaded(4 / (1 + FLOORS['cpu_us'] / 2))]
    )
    ceiling = row('echo-tcp-1k', 'C libuv', [loaded(2)])

    assert 'Nowhere' in part(page(OURS, ceiling), 'losses')
    assert 'Nowhere' in part(page(OURS, near), 'losses')


def test_ratios_are_to_ours_of_the_same_style(report):
    rows = [
        OURS,
        row('echo-tcp-1k', 'ours streams', [loaded(8)], style='streams'),
        row('echo-tcp-1k', 'uvloop streams', [loaded(16)], style='streams'),
        row('echo-tcp-1k', 'gevent', [loaded(16)], style='of its own'),
    ]
    results = report.Results(document(CASES, rows))

    assert [results.ratio(each, 'cpu_us') for each in rows] == [
        *(None, None, 2.0, 4.0),
    ]


def test_what_failed_or_could_not_run_is_told_with_the_reason(page):
    html = page(
        OURS,
        row('echo-tcp-1k', 'bad', [], failed='wrong <answer>'),
        row('echo-tcp-1k', 'absent', [], unavailable='needs CPython 3.14'),
    )

    assert 'bad: failed: wrong &lt;answer&gt;' in html
    absent = part(html, 'absent')
    assert 'absent unavailable echo-tcp-1k needs CPython 3.14' in absent
    assert 'bad failed echo-tcp-1k wrong &lt;answer&gt;' in absent


def test_another_interpreter_stands_beside(page):
    rows = [OURS, row('echo-tcp-1k', 'uvloop', [loaded(6)])]
    other = [OURS, row('echo-tcp-1k', 'uvloop', [loaded(5)])]

    echo = part(page(*rows, beside=other), 'echo-over-tcp')

    assert 'of ours, CPython 3.14' in echo
    assert echo.split()[-1] == '0.80'


def test_a_time_has_the_unit_that_suits_it_and_bytes_stay_bytes(page):
    html = page(
        row('timer', 'ours', [{'value': 12_500.0}]),
        row('memory', 'ours', [{'value': 12_500.0}]),
    )

    found = part(html, 'single-operations')
    assert 'us, least of ours median' in found
    assert '12.5' in found
    assert 'bytes, least' in found
    assert '12,500' in found


def test_the_page_loads_nothing_and_is_well_formed(page):
    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            for name, value in attrs:
                assert name not in ('src', 'href') or value[0] in 'd#'
            if tag not in ('meta', 'img', 'br'):
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    opened: list[str] = []
    html = page(OURS, row('echo-tcp-1k', 'uvloop', [loaded(6)]))
    Parser().feed(html)

    assert opened == []
    assert '://' not in html


def test_the_same_numbers_make_the_same_page(page):
    rows = [OURS, row('echo-tcp-1k', 'uvloop', [loaded(6)])]

    assert page(*rows) == page(*rows)
