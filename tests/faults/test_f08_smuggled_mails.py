"""What F8 takes for a failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.faults.f08_smuggled_mails import END, Smuggled, _ways, expected, judge, stream
from tests.faults.ledger import StoredMail
from tests.support.fake_ends import FAKE_ENDS

TAKEN = b"220 a\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 stored as ID\r\n221 bye\r\n"
REFUSED = TAKEN.replace(b"250 stored as ID", b"554 bare")

WHOLE = Smuggled(0, b"\n.\n", 0, TAKEN)
CUT = Smuggled(1, b"\n.\n", 17, TAKEN)
CONTROL = Smuggled(2, END, 0, TAKEN + b"250 ok\r\n")
TRIED = [WHOLE, CUT, CONTROL]


def mail(sender: str) -> StoredMail:
    return StoredMail(f"{sender}@a.test", ("b@a.test",), "digest", 1)


STORED = [mail("s00000"), mail("s00001"), mail("s00002"), mail("s00002-smuggled")]


def test_one_mail_out_of_one_is_no_finding() -> None:
    outcome = judge("normalize", TRIED, STORED)
    assert not outcome.findings
    assert outcome.figures == {
        "texts": "2",
        "two mails out of one": "none",
        "two mails out of two, noticed": "1 of 1",
    }


def test_none_out_of_one_that_is_refused_is_no_finding() -> None:
    refused = [replace(WHOLE, replies=REFUSED), replace(CUT, replies=REFUSED), CONTROL]
    assert not judge("reject", refused, STORED[2:]).findings


@pytest.mark.parametrize(
    ("tried", "stored", "finding"),
    [
        (TRIED, [*STORED, mail("s00001-smuggled")], "cut at 17: 2 mails out of one"),
        (TRIED, [*STORED, mail("s00001")], "cut at 17: 2 mails out of one"),
        (TRIED, [STORED[0], *STORED[2:]], "cut at 17: 0 mails are stored, the client was told b'250"),
        ([WHOLE, replace(CUT, replies=TAKEN + b"250 ok\r\n"), CONTROL], STORED, "other replies than to the whole"),
        (TRIED, STORED[:3], "of 1 texts that did end there, 0 became two mails"),
        (TRIED, [*STORED, mail("nobody")], "mails that nobody sent: {'nobody@a.test': 1}"),
    ],
)
def test_anything_else_is_a_finding(tried: Sequence[Smuggled], stored: Sequence[StoredMail], finding: str) -> None:
    [found] = judge("normalize", tried, stored).findings
    assert finding in found


def test_a_text_that_should_have_been_refused_is_a_finding() -> None:
    assert all("the text was answered b'250" in found for found in judge("reject", TRIED, STORED).findings)
    assert len(judge("reject", TRIED, STORED).findings) == 2


def test_a_bare_newline_is_refused_in_one_mode_and_a_nul_in_both() -> None:
    assert [expected(mode, b"\n.\r\n") for mode in ("reject", "normalize")] == [b"5", b"2"]
    assert [expected(mode, b"\r\n.\r") for mode in ("reject", "normalize")] == [b"5", b"2"]
    assert [expected(mode, b"\r\n\0.\r\n") for mode in ("reject", "normalize")] == [b"5", b"5"]


def test_every_byte_is_a_place_to_cut() -> None:
    ways = _ways(1, seed=3)
    for end in (*FAKE_ENDS, END):
        assert {place for tried, place in ways if tried == end} == set(range(len(stream(0, end))))
