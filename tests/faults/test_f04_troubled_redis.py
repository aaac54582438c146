"""What F4 takes for a failure, beside what all faults of the stores do."""

from __future__ import annotations

import pytest

from tests.faults.f04_troubled_redis import TROUBLES, cases
from tests.faults.lone_client import LARGE_WAIT, LEEWAY, SILENT_FOR, TIMEOUTS, judge
from tests.faults.redis_stacks import PLACES

STORED, LATER = b"250 2.0.0 OK\r\n", b"451 4.3.0 later\r\n"


@pytest.mark.parametrize("reply", [STORED, LATER])
def test_what_must_hold_and_does_is_no_finding(reply: bytes) -> None:
    figures, findings = judge("sessions", 2.0, (9.5, reply), set())
    assert not findings
    assert figures["10 MB to a slow Redis"] == f"{reply[:3].decode()} after 9.5 s"


@pytest.mark.parametrize(
    ("longest", "large", "lost", "finding"),
    [
        (TIMEOUTS["sessions"] + LEEWAY + 0.1, (9.5, STORED), set(), "the timeouts are 3 s together"),
        (2.0, (LARGE_WAIT + 0.1, STORED), set(), "after 18.1 s"),
        (2.0, (9.5, b""), set(), "a large mail was answered b''"),
        (2.0, (9.5, b"554 no\r\n"), set(), "a large mail was answered b'554"),
        (2.0, (9.5, STORED), {17}, "1 workers ended"),
    ],
)
def test_what_must_not_be_is_a_finding(
    longest: float, large: tuple[float, bytes], lost: set[int], finding: str
) -> None:
    _, [found] = judge("sessions", longest, large, lost)
    assert finding in found


def test_each_trouble_befalls_each_place_and_the_quick_case_has_all_troubles() -> None:
    names = [case.name for case in cases(quick=False)]
    assert names == [f"{place} in it" for place in PLACES] + [f"{place} in it, one client" for place in SILENT_FOR]
    assert [case.name for case in cases(quick=True)] == ["both in it"]
    assert list(TROUBLES) == ["slow", "black hole", "reset", "cut"]
