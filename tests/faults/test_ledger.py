"""The audit finds everything that must not happen, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.ledger import Attempt, StoredMail, audit

ATTEMPT = Attempt("a@x.test", ("b@y.test", "c@y.test"), "digest", 100, sent=True, reply=b"250 2.0.0 OK\r\n")
STORED = StoredMail("a@x.test", ("b@y.test", "c@y.test"), "digest", 100)


def test_an_acknowledged_mail_that_is_stored_once_is_right() -> None:
    result = audit([ATTEMPT], [STORED])
    assert (result.acknowledged, result.unanswered, result.unanswered_stored) == (1, 0, 0)
    assert result.findings == []


@pytest.mark.parametrize("stored", [[], [STORED]], ids=["not stored", "stored"])
def test_an_unanswered_mail_may_be_stored_once(stored: list[StoredMail]) -> None:
    result = audit([replace(ATTEMPT, reply=b"")], stored)
    assert (result.acknowledged, result.unanswered, result.unanswered_stored) == (0, 1, len(stored))
    assert result.findings == []


@pytest.mark.parametrize("stored", [[], [STORED]], ids=["not stored", "stored"])
def test_a_mail_that_was_refused_for_now_may_be_stored_once(stored: list[StoredMail]) -> None:
    result = audit([replace(ATTEMPT, reply=b"451 4.3.0 later\r\n")], stored)
    assert (result.acknowledged, result.refused, result.refused_stored) == (0, 1, len(stored))
    assert result.findings == []


@pytest.mark.parametrize(
    ("attempt", "stored", "finding"),
    [
        (ATTEMPT, [], "acknowledged, but not stored"),
        (ATTEMPT, [STORED, STORED], "stored more than once"),
        (replace(ATTEMPT, reply=b""), [STORED, STORED], "stored more than once"),
        (ATTEMPT, [replace(STORED, size=99)], "not the bytes that were sent"),
        (ATTEMPT, [replace(STORED, sha256="other")], "not the bytes that were sent"),
        (ATTEMPT, [replace(STORED, rcpt_tos=("b@y.test",))], "not for the recipients that were sent"),
        (ATTEMPT, [replace(STORED, rcpt_tos=("c@y.test", "b@y.test"))], "not for the recipients that were sent"),
        (replace(ATTEMPT, sent=False, reply=b""), [STORED], "its client never sent its end"),
        (ATTEMPT, [STORED, replace(STORED, mail_from="z@x.test")], "stored, but nobody sent it"),
        (ATTEMPT, [replace(STORED, as_listed=False)], "listed with another digest or size"),
    ],
)
def test_what_must_not_be_is_found(attempt: Attempt, stored: list[StoredMail], finding: str) -> None:
    [found] = audit([attempt], stored).findings
    assert found.startswith("1 mail ")
    assert finding in found


def test_a_finding_counts_all_mails_and_names_some() -> None:
    [found] = audit([replace(ATTEMPT, mail_from=f"{number}@x.test") for number in range(9)], []).findings
    assert found == ("9 mails acknowledged, but not stored: 0@x.test, 1@x.test, 2@x.test, 3@x.test, 4@x.test, ...")
