"""What F5 takes for a failure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.faults.f05_cut_streams import LONG, SHORT, SIZES, TEXTS, Answered, _ways, compare, name_of
from tests.faults.ledger import StoredMail

WHOLE = Answered(0, "not at all", b"220 a\r\n250 b\r\n221 c\r\n", 2)
LONGER = Answered(1, "not at all", b"220 a\r\n250 b\r\n250 b\r\n221 c\r\n", 3)
CUT = replace(WHOLE, number=2, how="at 17")
ANSWERS = [WHOLE, LONGER, CUT]


def mail(connection: int, number: int) -> StoredMail:
    name, text = name_of(connection).decode(), TEXTS[number]
    digest = hashlib.sha256(text).hexdigest()
    return StoredMail(f"{name}-{number}@a.test", ("b@a.test", '"a b"@[127.0.0.1]'), digest, len(text))


STORED = [mail(answer.number, number) for answer in ANSWERS for number in range(answer.expected)]


def test_the_same_replies_and_mails_are_no_finding() -> None:
    outcome = compare(ANSWERS, STORED, events=9)
    assert not outcome.findings
    assert outcome.figures["mails stored"] == "7"


@pytest.mark.parametrize(
    ("answers", "stored", "finding"),
    [
        ([WHOLE, LONGER, replace(CUT, replies=b"220 a\r\n")], STORED, "cut at 17, other replies: b'220 a"),
        (ANSWERS, STORED[:-1], "cut at 17, mail c00002-1@a.test is not stored"),
        (ANSWERS, [*STORED, mail(2, 1)], "mail c00002-1@a.test is stored 2 times"),
        (
            ANSWERS,
            [*STORED[:-1], replace(STORED[-1], sha256="other")],
            "cut at 17, mail c00002-1@a.test is stored, but",
        ),
        (ANSWERS, [*STORED[:-1], replace(STORED[-1], rcpt_tos=("b@a.test",))], "not as it was sent"),
        ([replace(answer, replies=b"220 a\r\n") for answer in ANSWERS], STORED, "not answered to their end"),
    ],
)
def test_any_difference_is_a_finding(answers: Sequence[Answered], stored: Sequence[StoredMail], finding: str) -> None:
    [found] = compare(answers, stored, events=9).findings
    assert finding in found


def test_the_bytes_are_cut_at_every_position_and_in_every_size() -> None:
    ways = _ways(1, seed=3)
    assert all(b"".join(pieces) == whole for _, whole, pieces in ways)
    assert {how for how, _, _ in ways} == {
        "not at all",
        *(f"at {position}" for position in range(1, len(SHORT))),
        *(f"in pieces of {size}" for size in SIZES),
    }
    assert max(SIZES) * 2 < len(LONG), "more than two pieces of the largest size"
