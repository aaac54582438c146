"""Panels of lines over time, as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

# All in pixels of the drawing.
_WIDTH: Final = 440
_HEIGHT: Final = 150
_LEFT: Final = 64
_RIGHT: Final = 16
_TOP: Final = 36
_LEGEND_LINE: Final = 16
_LEGEND_LINES: Final = 4
_COLUMNS: Final = 3
_COLOURS: Final = ("#1f4e79", "#2e8b57", "#d98c00", "#b03a48", "#6b5b95", "#5f6b73", "#00868b", "#8b5a2b")
_GRID: Final = "#d8d8d8"
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_MOST_STEPS: Final = 4
_LONGEST_LEGEND: Final = 26

Samples = Sequence[tuple[float, float]]

_UNITS: Final[Mapping[str, tuple[float, tuple[str, ...]]]] = {
    "s": (1000.0, ("µs", "ms", "s")),
    "bytes": (1024.0, ("B", "KiB", "MiB", "GiB")),
    "Bps": (1000.0, ("B/s", "kB/s", "MB/s", "GB/s")),
    "cps": (1000.0, ("/s", "k/s")),
    "short": (1000.0, ("", "k", "M")),
    "percentunit": (1000.0, ("%",)),
}
"""By Grafana's name of a unit: from one prefix to the next, and the prefixes."""

_TO_FIRST: Final = {"s": 1e6, "percentunit": 100.0}
"""What a value is in the first of its unit's prefixes, where that is not the unit itself."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One panel.

    Attributes:
        title: what stands above it.
        unit: Grafana's name of it.
        series: the samples, time in seconds since the epoch and value, by what the legend calls them.
    """

    title: str
    unit: str
    series: Mapping[str, Samples]


def number(value: float, unit: str) -> str:
    """A value as it stands at an axis, e.g. `1.5 ms`."""
    factor, prefixes = _UNITS[unit]
    value *= _TO_FIRST.get(unit, 1.0)
    index = 0
    while abs(value) >= factor and index < len(prefixes) - 1:
        value /= factor
        index += 1
    return f"{value:.3g} {prefixes[index]}".strip()


def ticks(top: float, base: float = 1000.0) -> list[float]:
    """Values from 0 to the first that is not below `top`, five at most, round in their prefix; `base` is the next."""
    if top <= 0:
        return [0.0, 1.0]
    if top >= base:
        return [base * mark for mark in ticks(top / base, base)]
    magnitude = 10.0 ** math.floor(math.log10(top / _MOST_STEPS))
    step = next(step * magnitude for step in _STEPS if step * magnitude * _MOST_STEPS >= top * (1 - 1e-9))
    return [step * index for index in range(math.ceil(top / step * (1 - 1e-9)) + 1)]


def svg(charts: Sequence[Chart], start: float, end: float, *, note: str) -> str:
    """The drawing.

    Args:
        charts: from left to right, three in a row.
        start: the time at the left edge of each, in seconds since the epoch.
        end: that at the right edge.
        note: what the drawing is of, for those who cannot see it.
    """
    one = _TOP + _HEIGHT + 24 + _LEGEND_LINE * _LEGEND_LINES + 16
    width, height = _WIDTH * _COLUMNS, one * math.ceil(len(charts) / _COLUMNS)
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    drawing = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif" role="img">',
        f"<title>{escape(note)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for index, chart in enumerate(charts):
        x, y = _WIDTH * (index % _COLUMNS), one * (index // _COLUMNS)
        drawing.append(f'<g transform="translate({x} {y})">')
        drawing += [*_panel(chart, start, end), "</g>"]
    return "\n".join([*drawing, "</svg>", ""])


def _panel(chart: Chart, start: float, end: float) -> Iterator[str]:
    values = [value for samples in chart.series.values() for _, value in samples]
    marks = ticks(max(values, default=0.0), _UNITS[chart.unit][0])
    base, across, unit = _TOP + _HEIGHT, _WIDTH - _LEFT - _RIGHT, _HEIGHT / marks[-1]
    yield _text(_LEFT, 22, chart.title, size=14)
    for mark in marks:
        y = base - mark * unit
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_GRID}"/>'
        yield _text(_LEFT - 6, y + 4, number(mark, chart.unit), anchor="end")
    for minute in range(int((end - start) // 60) + 1):
        yield _text(_LEFT + across * minute * 60 / (end - start), base + 16, f"{minute} min", anchor="middle")
    for row, (name, samples) in enumerate(_shown(chart.series).items()):
        colour = _COLOURS[row % len(_COLOURS)]
        points = " ".join(
            f"{_LEFT + across * (at - start) / (end - start):.1f},{base - value * unit:.1f}" for at, value in samples
        )
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        left = _LEFT + (row // _LEGEND_LINES) * (across // 2)
        y = base + 24 + 12 + (row % _LEGEND_LINES) * _LEGEND_LINE
        yield f'<rect x="{left}" y="{y - 8}" width="10" height="10" fill="{colour}"/>'
        yield _text(left + 16, y + 1, name[:_LONGEST_LEGEND])


def _shown(series: Mapping[str, Samples]) -> Mapping[str, Samples]:
    """Those that are not 0 all the time; all, where there is no other."""
    return {name: samples for name, samples in series.items() if any(value for _, value in samples)} or series


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="#222222">{escape(text)}</text>'
    )
