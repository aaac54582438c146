"""A worker's memory stays as it is, however many events it answers (`make fuzz` sends a million)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.memory import Measurement, flat, measure


def test_memory_stays_flat_over_many_events(tmp_path: Path) -> None:
    result = measure(50_000, tmp_path)
    assert flat(result), result


@pytest.mark.parametrize(("growth", "expected"), [(700, True), (50_000 * 64 // 1024, False)])
def test_an_object_kept_of_every_event_is_no_flat_memory(growth: int, expected: bool) -> None:
    assert flat(Measurement(events=50_000, before=20_000, after=20_000 + growth, seconds=1)) is expected
