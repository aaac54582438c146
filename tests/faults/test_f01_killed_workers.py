"""What F1 takes for a failure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tests.faults import aftermath
from tests.faults.clients import Log
from tests.faults.f01_killed_workers import COMBINATIONS, Storm, cases, judge
from tests.faults.fault import Outcome
from tests.faults.ledger import Audit
from tests.faults.leftovers import Leftovers
from tests.faults.stacks import MAIL_STORES, SESSION_STORES

STORM = Storm(kills=10, busy=6, starting=1, whole_after=[0.2, 0.3], late_after=[1.3])
LOG = Log(connections=100, broken=Counter(text=15, RCPT=5))
AUDIT = Audit(acknowledged=200, unanswered=3, unanswered_stored=1, findings=[])
NOTHING_LEFT, WAITED = Leftovers("nothing"), Log(connections=25)


def judged(log: Log, audit: Audit, left: Leftovers, output: str) -> Outcome:
    return judge(STORM, aftermath.judge(log, audit, left, output), log.broken.total(), WAITED)


def test_what_must_hold_and_does_is_no_finding() -> None:
    outcome = judged(LOG, AUDIT, NOTHING_LEFT, "no error")
    assert not outcome.findings
    assert outcome.figures["kills (busy, starting)"] == "10 (6, 1)"
    assert outcome.figures["broken, per kill"] == "20, 2.00"
    assert outcome.figures["broken while waiting for the reply to"] == "text 15, RCPT 5"
    assert outcome.figures["pool whole again, median and longest"] == "0.25 s, 0.30 s"


@pytest.mark.parametrize(
    ("log", "audit", "left", "output", "finding"),
    [
        (replace(LOG, broken=Counter(text=21)), AUDIT, NOTHING_LEFT, "", "10 kills broke 21 connections"),
        (replace(LOG, findings=["MAIL was answered 451"]), AUDIT, NOTHING_LEFT, "", "MAIL was answered 451"),
        (LOG, replace(AUDIT, findings=["a mail is lost"]), NOTHING_LEFT, "", "a mail is lost"),
        (LOG, replace(AUDIT, acknowledged=0), NOTHING_LEFT, "", "nothing was tested"),
        (LOG, AUDIT, Leftovers("a key", ["a key is left"]), "", "a key is left"),
        (LOG, AUDIT, NOTHING_LEFT, "Traceback (most recent call last)\n", "1 tracebacks in the stack's log"),
    ],
)
def test_what_must_not_be_is_a_finding(log: Log, audit: Audit, left: Leftovers, output: str, finding: str) -> None:
    [found] = judged(log, audit, left, output).findings
    assert finding in found


def test_every_store_sees_all_kills() -> None:
    assert {sessions for sessions, _, _ in COMBINATIONS} == set(SESSION_STORES)
    assert {mails for _, mails, _ in COMBINATIONS} == set(MAIL_STORES)
    assert len({case.name for case in cases(quick=True)}) == len(COMBINATIONS)
