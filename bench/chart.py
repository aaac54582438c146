"""The chart of a run, as SVG: a group of bars for each scenario, a line for the ceiling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from bench.results import Results, machine

# All in pixels of the drawing.
_BAR: Final = 30
_GAP: Final = 36
_HEIGHT: Final = 260
_LEFT: Final = 56
_TOP: Final = 56
_LEGEND: Final = 20
_COLOURS: Final = ("#1f4e79", "#2e8b57", "#d98c00", "#b03a48", "#6b5b95", "#5f6b73")
_GRID: Final = (0.0, 0.25, 0.5, 0.75, 1.0)


def svg(results: Results) -> str:
    """The drawing."""
    others = results.contenders[1:]
    group = _BAR * len(others) + _GAP
    width = _LEFT + group * len(results.scenarios) + _GAP
    height = _TOP + _HEIGHT + 36 + _LEGEND * len(others) + 24
    top = max(1.0, *(results.ratio(scenario, other).median for scenario in results.scenarios for other in others))
    scale = _HEIGHT / (top * 1.08)
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif" role="img">',
            f"<title>{escape(machine(results))}</title>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            _text(_LEFT, 26, f"Speed as a ratio to that of a {results.contenders[0].title}", size=15),
            *_grid(width, scale),
            *_bars(results, group, scale),
            *_legend(results),
            "</svg>",
            "",
        ]
    )


def _grid(width: int, scale: float) -> Iterator[str]:
    for value in _GRID:
        y = _TOP + _HEIGHT - value * scale
        colour = "#222222" if value in {0.0, 1.0} else "#d8d8d8"
        yield f'<line x1="{_LEFT}" x2="{width - _GAP // 2}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}"/>'
        yield _text(_LEFT - 8, y + 4, f"{value:g}", anchor="end")


def _bars(results: Results, group: int, scale: float) -> Iterator[str]:
    others = results.contenders[1:]
    for column, scenario in enumerate(results.scenarios):
        left = _LEFT + _GAP // 2 + column * group
        for row, contender in enumerate(others):
            median = results.ratio(scenario, contender).median
            x, y = left + row * _BAR, _TOP + _HEIGHT - median * scale
            yield (
                f'<rect x="{x + 1}" y="{y:.1f}" width="{_BAR - 2}" height="{median * scale:.1f}" '
                f'fill="{_COLOURS[row % len(_COLOURS)]}"/>'
            )
            yield _text(x + _BAR / 2, y - 4, f"{median:.2f}", anchor="middle", size=11)
        yield _text(left + _BAR * len(others) / 2, _TOP + _HEIGHT + 20, scenario.title, anchor="middle")


def _legend(results: Results) -> Iterator[str]:
    for row, contender in enumerate(results.contenders[1:]):
        y = _TOP + _HEIGHT + 36 + row * _LEGEND
        yield f'<rect x="{_LEFT}" y="{y}" width="12" height="12" fill="{_COLOURS[row % len(_COLOURS)]}"/>'
        yield _text(_LEFT + 18, y + 11, contender.title)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 13) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="#222222">{escape(text)}</text>'
    )
