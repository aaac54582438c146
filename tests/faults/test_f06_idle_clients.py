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


def test_what_must_not_be_is_a_finding(held: Held, finding: str) -> None:
    [found] = judge(held)[1]
    assert finding in found


def test_half_of_five_hundred_say_nothing_and_both_stores_see_them() -> None:
    assert CLIENTS == 500
    assert KINDS.count(Kind.SILENT) * 2 == len(KINDS)
    assert set(KINDS) == set(Kind)
    assert [case.name for case in cases(quick=True)] == ["sessions in lmdb", "sessions in redis"]
