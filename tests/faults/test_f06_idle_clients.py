"""What F6 takes for a failure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.crowd import Kind
from tests.faults.f06_idle_clients import CLIENTS, KINDS, Held, cases, judge

LASTED = {Kind.SILENT: [10.5, 12.0], Kind.BYTES: [11.0], Kind.NOOP: [40.0, 42.5]}
HELD = Held(
    (10, 40),
    LASTED,
    without=[0.002, 0.001],
    beside=[0.004, 0.5, 0.003],
    twin=[0.002, 0.1, 0.09],
    keys=0,
    established=(2, 502, 2),
)


def test_what_must_hold_and_does_is_no_finding() -> None:
    figures, findings = judge(HELD)
    assert not findings
    assert figures["ratio (median of windows)"] == "2.00"
    assert figures["closed after: silent after the greeting"] == "10.5 to 12.0 s"
    assert figures["the worst window of each"] == "500.0 ms, 100.0 ms"


@pytest.mark.parametrize(
    ("held", "finding"),
    [
        (replace(HELD, lasted={**LASTED, Kind.SILENT: [9.9, 10.5]}), "closed after 9.9 to 9.9 s, not 10 to 20"),
        (replace(HELD, lasted={**LASTED, Kind.BYTES: [21.0]}), "closed after 21.0 to 21.0 s"),
        (replace(HELD, lasted={**LASTED, Kind.NOOP: [12.0, 41.0]}), "1 connections (a NOOP a second) were closed"),
        (replace(HELD, lasted={**LASTED, Kind.NOOP: [None, 41.0]}), "1 connections (a NOOP a second) were never"),
        (replace(HELD, beside=[0.0041, 0.5, 0.003]), "2.05 times that without it"),
        (replace(HELD, open=3), "3 sessions of open connections"),
        (replace(HELD, keys=1), "1 keys are left"),
        (replace(HELD, established=(2, 502, 3)), "the server has 3 connections, before it had 2"),
        (replace(HELD, findings=["a connection was lost"]), "a connection was lost"),
    ],
)
def test_what_must_not_be_is_a_finding(held: Held, finding: str) -> None:
    [found] = judge(held)[1]
    assert finding in found


def test_half_of_five_hundred_say_nothing_and_both_stores_see_them() -> None:
    assert CLIENTS == 500
    assert KINDS.count(Kind.SILENT) * 2 == len(KINDS)
    assert set(KINDS) == set(Kind)
    assert [case.name for case in cases(quick=False)] == ["sessions in lmdb", "sessions in redis"]
    assert [case.name for case in cases(quick=True)] == ["sessions in lmdb"]
