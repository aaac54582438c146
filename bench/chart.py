"""The chart of a run, as SVG: panels with groups of bars, and a line for what they are ratios to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

# All in pixels of the drawing.
_BAR: Final = 30
_GAP: Final = 36
_HEIGHT: Final = 260
_LEFT: Final = 56
_TOP: Final = 56
_LINE: Final = 20
_COLOURS: Final = ("#1f4e79", "#2e8b57", "#d98c00", "#b03a48", "#6b5b95", "#5f6b73")
_STEPS: Final = (0.25, 0.5, 1.0, 2.0, 5.0)
_MOST_STEPS: Final = 6


@dataclass(frozen=True, slots=True)
class Group:
    """Bars side by side, one for each entry of the legend.

    Attributes:
        labels: what stands below it, a line each.
        values: how high the bars are, as ratios.
    """

    labels: Sequence[str]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Panel:
    """Groups side by side.

    Attributes:
        title: what stands above it.
        groups: at least one.
    """

    title: str
    groups: Sequence[Group]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where things are in a panel.

    Attributes:
        bar: width of a bar.
        group: width of a group with the gap to the next.
        base: where the bars stand.
        unit: height of a bar of the value 1.
        top: the largest value.
    """

    bar: int
    group: int
    base: float
    unit: float
    top: float


def svg(panels: Sequence[Panel], legend: Sequence[str], *, note: str, bar: int = _BAR) -> str:
    """The drawing.

    Args:
        panels: from top to bottom.
        legend: what the bars of every group are.
        note: what the drawing is of, for those who cannot see it.
        bar: width of a bar in pixels; its value stands above it where that fits.
    """
    group = bar * len(legend) + _GAP
    lines = max(len(group.labels) for panel in panels for group in panel.groups)
    one = _TOP + _HEIGHT + _LINE * lines + 16
    width = _LEFT + group * max(len(panel.groups) for panel in panels) + _GAP
    height = one * len(panels) + _LINE * len(legend) + 24
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    drawing = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif" role="img">',
        f"<title>{escape(note)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for row, panel in enumerate(panels):
        top = max(1.0, *(value for each in panel.groups for value in each.values))
        scale = _Scale(bar, group, row * one + _TOP + _HEIGHT, _HEIGHT / (top * 1.08), top)
        drawing += [_text(_LEFT, row * one + 26, panel.title, size=15), *_grid(width, scale), *_bars(panel, scale)]
    return "\n".join([*drawing, *_legend(legend, one * len(panels)), "</svg>", ""])


def _grid(width: int, scale: _Scale) -> Iterator[str]:
    step = next((step for step in _STEPS if scale.top / step <= _MOST_STEPS), _STEPS[-1])
    for number in range(int(scale.top * 1.08 / step) + 1):
        value = number * step
        y = scale.base - value * scale.unit
        colour = "#222222" if value in {0.0, 1.0} else "#d8d8d8"
        yield f'<line x1="{_LEFT}" x2="{width - _GAP // 2}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}"/>'
        yield _text(_LEFT - 8, y + 4, f"{value:g}", anchor="end")


def _bars(panel: Panel, scale: _Scale) -> Iterator[str]:
    for column, group in enumerate(panel.groups):
        left = _LEFT + _GAP // 2 + column * scale.group
        for row, value in enumerate(group.values):
            x, y = left + row * scale.bar, scale.base - value * scale.unit
            yield (
                f'<rect x="{x + 1}" y="{y:.1f}" width="{scale.bar - 2}" height="{value * scale.unit:.1f}" '
                f'fill="{_COLOURS[row % len(_COLOURS)]}"/>'
            )
            if scale.bar >= _BAR:
                yield _text(x + scale.bar / 2, y - 4, f"{value:.2f}", anchor="middle", size=11)
        middle = left + scale.bar * len(group.values) / 2
        for line, label in enumerate(group.labels, 1):
            yield _text(middle, scale.base + _LINE * line, label, anchor="middle")


def _legend(legend: Sequence[str], top: int) -> Iterator[str]:
    for row, title in enumerate(legend):
        y = top + row * _LINE
        yield f'<rect x="{_LEFT}" y="{y}" width="12" height="12" fill="{_COLOURS[row % len(_COLOURS)]}"/>'
        yield _text(_LEFT + 18, y + 11, title)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 13) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="#222222">{escape(text)}</text>'
    )
