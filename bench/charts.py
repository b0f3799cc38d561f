"""The charts of a result file, as SVG, by matplotlib.

The same numbers make the same bytes, whatever the machine: no date, no random
identifiers, text left as text. So a chart that is committed changes only with
the numbers.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

matplotlib.rcParams.update(
    {
        'svg.hashsalt': 'bench',
        'svg.fonttype': 'none',
        'font.family': 'sans-serif',
        'font.size': 8.5,
        'axes.spines.top': False,
        'axes.spines.right': False,
    }
)

WIDTH = 3.9  # inches: 374 pixels, a telephone's width
BAR = 0.19  # inches a bar takes of the height
OURS, PEER, CEILING = '#0b6e4f', '#8fa3bf', '#d9d4c7'
INK, GRID, SPREAD = '#1f2328', '#e3e6ea', '#4a4f57'
MARKS = 'osD^vP*Xh'
COLOURS = (
    *('#2f5d9b', '#c2612c', '#7a4fa3', '#a9433f', '#4d7f8f', '#8a7a2c'),
    *('#666666', '#b0568a', '#3f7d3c'),
)


@dataclass(frozen=True)
class Bar:
    """`low` and `high` are the least and the most of the rounds."""

    label: str
    value: float
    low: float
    high: float
    kind: str = 'peer'  # or ours, ceiling

    @property
    def colour(self) -> str:
        return {'ours': OURS, 'ceiling': CEILING}.get(self.kind, PEER)


def short(number: float) -> str:
    """Three digits: 1.25M, 228k, 4.20."""
    for size, letter in ((1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
        if abs(number) >= size * 0.9995:
            return f'{number / size:#.3g}'.rstrip('.') + letter
    return f'{number:#.3g}'.rstrip('.')


def tick(number: float) -> str:
    for size, letter in ((1e6, 'M'), (1e3, 'k')):
        if number >= size:
            return f'{number / size:g}{letter}'
    return f'{number:g}'


def as_svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(
        file, format='svg', metadata={'Date': None, 'Creator': None}
    )
    # An XML declaration may stand at the beginning of a file only.
    return file.getvalue().partition('?>\n')[2]


def draw_bars(axes: Any, bars: Sequence[Bar]) -> None:
    """Horizontal, in the order given, each with its number and its spread."""
    places = range(len(bars))
    most = max(max(bar.high, bar.value) for bar in bars)
    axes.barh(
        places,
        [bar.value for bar in bars],
        color=[bar.colour for bar in bars],
        height=0.72,
    )
    for place, bar in zip(places, bars, strict=True):
        if bar.low < bar.high:
            axes.plot(
                (bar.low, bar.high), (place, place), color=SPREAD, lw=0.9
            )
        axes.text(
            max(bar.high, bar.value) + most * 0.015,
            place,
            short(bar.value),
            va='center',
            color=INK,
        )
    axes.set_yticks(places, [bar.label for bar in bars])
    for label, bar in zip(axes.get_yticklabels(), bars, strict=True):
        label.set_fontweight('bold' if bar.kind == 'ours' else 'normal')
    axes.invert_yaxis()
    axes.set_xlim(0, most * 1.17)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: tick(x)))
    axes.locator_params(axis='x', nbins=5)
    axes.tick_params(length=0, colors=INK)
    axes.grid(axis='x', color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[['left', 'bottom']].set_visible(False)


def name(figure: Figure, title: str) -> None:
    """Above all, from where the labels begin."""
    figure.suptitle(
        title, x=0.01, ha='left', color=INK, fontsize=9.5, weight='bold'
    )


def panel(bars: Sequence[Bar], title: str) -> str:
    """One small chart."""
    height = BAR * len(bars) + 0.6
    figure = Figure(figsize=(WIDTH, height), layout='constrained')
    draw_bars(figure.add_subplot(), bars)
    name(figure, title)
    return as_svg(figure)


def panels(charts: Sequence[tuple[Sequence[Bar], str]], heading: str) -> str:
    """Some side by side, for the README."""
    most = max(len(bars) for bars, _ in charts)
    width = max(2.95 * len(charts), 5)  # which the heading needs
    figure = Figure(figsize=(width, BAR * most + 0.85), layout='constrained')
    for axes, (bars, title) in zip(
        figure.subplots(1, len(charts), squeeze=False)[0], charts, strict=True
    ):
        draw_bars(axes, bars)
        axes.set_title(title, loc='left', color=INK, fontsize=9)
    name(figure, heading)
    return as_svg(figure)


def dots(
    rows: Sequence[tuple[str, dict[str, float]]], title: str, unit: str
) -> str:
    """For each row what each peer takes of ours, on a logarithmic scale."""
    peers = list(dict.fromkeys(peer for _, ratios in rows for peer in ratios))
    figure = Figure(
        figsize=(8.2, 0.24 * len(rows) + 1.15), layout='constrained'
    )
    axes = figure.add_subplot()
    for i, peer in enumerate(peers):
        found = [
            (ratios[peer], place)
            for place, (_, ratios) in enumerate(rows)
            if peer in ratios
        ]
        axes.plot(
            [ratio for ratio, _ in found],
            [place for _, place in found],
            MARKS[i % len(MARKS)],
            color=COLOURS[i % len(COLOURS)],
            ms=5,
            label=peer,
            alpha=0.9,
        )
    axes.axvline(1, color=OURS, lw=2, label='ours')
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    set_log_scale(axes, [x for _, ratios in rows for x in ratios.values()])
    axes.tick_params(length=0, colors=INK)
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[['left', 'bottom']].set_visible(False)
    axes.set_xlabel(unit, color=INK)
    name(figure, title)
    figure.legend(
        loc='outside lower left', ncols=8, frameon=False, handletextpad=0.3
    )
    return as_svg(figure)


def set_log_scale(axes: Any, ratios: Sequence[float]) -> None:
    low, high = min([*ratios, 1]) * 0.9, max([*ratios, 1]) * 1.1
    axes.set_xscale('log')
    axes.set_xlim(low, high)
    ticks = (0.1, 0.2, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100)
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f'{x:g}x'))
