"""What F19 takes for a failure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tests.faults.clients import Log
from tests.faults.f19_killed_masters import SETTINGS, Setting, cases, outcome
from tests.faults.hardship import Hardship
from tests.faults.ledger import Audit
from tests.faults.leftovers import Leftovers

AGAIN, WAITED_FOR, UNSAFE = SETTINGS
LOG = Log(connections=100, refused=Counter({"421": 7, "451": 2}), longest=1.5)
HARDSHIP = Hardship(2, [0.25, 0.75], LOG, frozenset({1, 2}), frozenset({1, 2}))
AUDIT = Audit(acknowledged=200, unanswered=3, unanswered_stored=1, findings=[])
LOST = replace(AUDIT, findings=["2 mails acknowledged, but not stored"])
LEFT = Leftovers("nothing")


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_must_hold_and_does_is_no_finding(setting: Setting) -> None:
    assert not outcome(setting, HARDSHIP, AUDIT, LEFT, "").findings


@pytest.mark.parametrize("setting", [AGAIN, WAITED_FOR])
def test_a_mail_that_is_lost_is_a_finding(setting: Setting) -> None:
    assert outcome(setting, HARDSHIP, LOST, LEFT, "").findings == LOST.findings


def test_where_redis_promises_nothing_a_mail_that_is_lost_is_a_figure() -> None:
    measured = outcome(UNSAFE, HARDSHIP, LOST, LEFT, "")
    assert not measured.findings
    assert measured.figures["lost, doubled, changed"] == LOST.findings[0]


@pytest.mark.parametrize(("setting", "bound"), [(AGAIN, 5), (WAITED_FOR, 15)])
def test_a_recovery_that_takes_too_long_is_a_finding(setting: Setting, bound: int) -> None:
    slow = replace(HARDSHIP, recovered_after=[bound + 0.1])
    [finding] = outcome(setting, slow, AUDIT, LEFT, "").findings
    assert f"within {bound} s" in finding


def test_the_short_choice_has_both_ways_back() -> None:
    assert [case.name for case in cases(quick=True)] == [AGAIN.name, WAITED_FOR.name]
