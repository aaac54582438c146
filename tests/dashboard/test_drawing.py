"""The picture of the dashboard shows every series, to scale."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.dashboard.__main__ import OUTPUT
from tests.dashboard.drawing import Chart, number, svg, ticks
from tests.support.dashboard import panels

CHARTS = [
    Chart("Mails", "cps", {"accepted": [(0.0, 0.0), (60.0, 10.0), (120.0, 5.0)], "refused <&>": [(0.0, 1.0)]}),
    Chart("Nothing", "s", {}),
]


def test_each_series_is_a_line_within_its_panel_to_scale() -> None:
    drawing = svg(CHARTS, 0.0, 120.0, note="a < note")
    root = ET.fromstring(drawing)  # noqa: S314 - made here
    lines = [element.attrib["points"] for element in root.iter("{http://www.w3.org/2000/svg}polyline")]
    (left, low), (middle, high), (right, half) = [tuple(map(float, point.split(","))) for point in lines[0].split()]
    assert len(lines) == 2
    assert middle - left == pytest.approx(right - middle)
    assert low - half == pytest.approx((low - high) / 2, abs=0.2)
    assert "refused &lt;&amp;&gt;" in drawing


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00025, "s", "250 µs"),
        (0.5, "s", "500 ms"),
        (2.0, "s", "2 s"),
        (1536, "bytes", "1.5 KiB"),
        (0.25, "percentunit", "25 %"),
        (12.5, "cps", "12.5 /s"),
        (3.0, "short", "3"),
    ],
)
def test_values_have_their_unit(value: float, unit: str, text: str) -> None:
    assert number(value, unit) == text


@pytest.mark.parametrize("top", [0.0, 0.0007, 1.0, 3.3, 4.0, 99.0, 1e9])
def test_marks_are_few_round_and_reach_the_top(top: float) -> None:
    marks = ticks(top)
    assert marks[0] == 0
    assert len(marks) <= 6
    assert marks[-1] >= top * (1 - 1e-9)


def test_the_committed_picture_is_of_the_dashboard_as_it_is() -> None:
    """`make dashboard-picture` makes it anew."""
    drawing = Path(OUTPUT).read_text()
    titles = re.findall(r'font-size="14" fill="#222222">([^<]*)<', drawing)
    assert titles == [panel.title for panel in panels()]
    assert drawing.count("<polyline") >= sum(len(panel.queries) for panel in panels())


def test_sizes_have_marks_that_are_round_in_their_own_prefix() -> None:
    assert [number(mark, "bytes") for mark in ticks(3 * 2**20, 1024)] == ["0 B", "1 MiB", "2 MiB", "3 MiB"]
