"""What F17 takes for a failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.faults.f17_expired_sessions import AFTER, BEFORE, SILENCE, TTL, Silent, cases, judge
from tests.faults.ledger import StoredMail
from tests.faults.stacks import SESSION_STORES

GONE = b"421 4.4.2 The session has expired, closing the connection\r\n"
IN_TEXT, AFTER_MAIL = Silent("text-0", "text", GONE), Silent("a-mail-0", "a mail", GONE)
SILENT = [IN_TEXT, AFTER_MAIL]
STORED_REPLY = b"250 2.0.0 OK\r\n"


def mail(sender: str) -> StoredMail:
    return StoredMail(f"{sender}@a.test", ("b@a.test",), "digest", 1)


STORED = [mail("a-mail-0-before"), mail("lively")]


def test_what_must_hold_and_does_is_no_finding() -> None:
    outcome = judge(SILENT, STORED_REPLY, STORED)
    assert not outcome.findings
    assert outcome.figures["told 421"] == "2"
    assert outcome.figures["mails before, during"] == "1, 0"


@pytest.mark.parametrize(
    ("silent", "kept", "stored", "finding"),
    [
        ([replace(IN_TEXT, answer=b""), AFTER_MAIL], STORED_REPLY, STORED, "silent after text, then told b''"),
        ([replace(IN_TEXT, answer=STORED_REPLY), AFTER_MAIL], STORED_REPLY, STORED, "then told b'250"),
        ([replace(IN_TEXT, answer=GONE + GONE), AFTER_MAIL], STORED_REPLY, STORED, "silent after text"),
        ([IN_TEXT, replace(AFTER_MAIL, answer=b"421 4.3.0 error\r\n")], STORED_REPLY, STORED, "silent after a mail"),
        (SILENT, STORED_REPLY, [*STORED, mail("text-0")], "'text-0@a.test'"),
        (SILENT, STORED_REPLY, STORED[1:], "the mails that are stored are of ['lively@a.test']"),
        (SILENT, GONE, STORED, "the client that kept its session alive was told b'421"),
    ],
)
def test_what_must_not_be_is_a_finding(
    silent: Sequence[Silent], kept: bytes, stored: Sequence[StoredMail], finding: str
) -> None:
    [found] = judge(silent, kept, stored).findings
    assert finding in found


def test_every_store_and_every_state_is_tried() -> None:
    assert [case.name for case in cases(quick=False)] == [f"sessions in {store}" for store in SESSION_STORES]
    assert BEFORE.keys() == AFTER.keys()
    assert SILENCE > TTL
