"""What every fault takes for a failure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tests.faults.aftermath import judge, with_aftermath
from tests.faults.clients import Log
from tests.faults.ledger import Audit
from tests.faults.leftovers import Leftovers

LOG = Log(connections=100, broken=Counter(text=15, RCPT=5))
AUDIT = Audit(acknowledged=2000, unanswered=3, unanswered_stored=1, findings=[])
NOTHING_LEFT = Leftovers("nothing")


def test_what_must_hold_and_does_is_no_finding() -> None:
    outcome = with_aftermath({"own": "1"}, [], judge(LOG, AUDIT, NOTHING_LEFT, "no error"))
    assert not outcome.findings
    assert outcome.figures == {
        "own": "1",
        "mails acknowledged": "2,000",
        "lost, doubled, changed": "none",
        "unanswered, of them stored": "3, 1",
        "refused for now, of them stored": "0, 0",
        "connections, of them broken": "100, 20",
        "broken while waiting for the reply to": "text 15, RCPT 5",
        "sessions at the end": "nothing",
    }


@pytest.mark.parametrize(
    ("log", "audit", "left", "output", "finding"),
    [
        (replace(LOG, findings=["MAIL was answered 451"]), AUDIT, NOTHING_LEFT, "", "MAIL was answered 451"),
        (LOG, replace(AUDIT, findings=["a mail is lost"]), NOTHING_LEFT, "", "a mail is lost"),
        (LOG, replace(AUDIT, acknowledged=0), NOTHING_LEFT, "", "nothing was tested"),
        (LOG, AUDIT, Leftovers("a key", ["a key is left"]), "", "a key is left"),
        (LOG, AUDIT, NOTHING_LEFT, "Traceback (most recent call last)\n", "1 tracebacks in the stack's log"),
    ],
)
def test_what_must_not_be_is_a_finding(log: Log, audit: Audit, left: Leftovers, output: str, finding: str) -> None:
    [found] = with_aftermath({}, [], judge(log, audit, left, output)).findings
    assert finding in found
