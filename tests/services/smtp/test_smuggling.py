"""One mail is never two: only CR LF . CR LF ends a text, and what others take for line ends is refused."""

from __future__ import annotations

import pytest

from rr_tcp.testing import cuts
from tests.services.smtp.corpus import envelope
from tests.services.smtp.harness import codes, converse

SMUGGLED = b"MAIL FROM:<evil@a.test>\r\nRCPT TO:<victim@b.test>\r\nDATA\r\nsmuggled\r\n"

FAKE_ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r.\r",
    b"\r\n.\r\r\n",
    b"\r\n.\0\r\n",
    b"\r\n\0.\r\n",
    b"\r\0\n.\r\n",
    b"\n.\r",
    b"\r\n.\n.\r\n",
]


@pytest.mark.parametrize("fake_end", FAKE_ENDS, ids=repr)
def test_a_fake_end_of_data_ends_nothing_wherever_it_is_cut(fake_end: bytes) -> None:
    text = b"first" + fake_end + SMUGGLED + b".\r\nQUIT\r\n"
    for pieces in cuts(text):
        outcome = converse([b"EHLO c\r\n" + envelope(), *pieces])
        assert codes(outcome.replies) == [250, 250, 250, 354, 554, 221]
        assert outcome.mails == []


@pytest.mark.parametrize("fake_end", [b".\n", b".\r", b".\r\r\n", b".\0\r\n", b"\n.\r\n"], ids=repr)
def test_a_fake_end_right_after_data_ends_nothing(fake_end: bytes) -> None:
    """There the text is empty, and a lone dot is the first line."""
    for pieces in cuts(fake_end + SMUGGLED + b".\r\nQUIT\r\n"):
        outcome = converse([b"EHLO c\r\n" + envelope(), *pieces])
        assert codes(outcome.replies) == [250, 250, 250, 354, 554, 221]


@pytest.mark.parametrize("command", [b"NOOP\n", b"\n", b"NOOP\r\0\n", b"EHLO c\nMAIL FROM:<a@b>\n"], ids=repr)
def test_nothing_behind_a_bare_line_feed_is_executed(command: bytes) -> None:
    """Whoever sits in between may have seen one command where we see two: so the session ends there."""
    for pieces in cuts(command + b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n"):
        outcome = converse([b"EHLO c\r\n", *pieces])
        assert codes(outcome.replies) == [250, 421], "RFC 5321 3.8: a server closes with 421 alone"
        assert b"bare LF" in outcome.replies
        assert outcome.closed


def test_a_bare_carriage_return_makes_a_line_no_command() -> None:
    outcome = converse([b"EHLO c\r\nNOOP\rMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"])
    assert codes(outcome.replies) == [250, 500, 503]
    assert not outcome.closed


def test_a_browser_is_sent_away_before_its_body() -> None:
    request = b"POST / HTTP/1.1\r\nHost: localhost:1025\r\n\r\nEHLO c\r\nMAIL FROM:<a@b>\r\n"
    outcome = converse([request])
    assert codes(outcome.replies) == [421]
    assert outcome.closed
