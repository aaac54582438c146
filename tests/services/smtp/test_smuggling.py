"""One mail is never two: only CR LF . CR LF ends a text, and what others take for line ends is refused."""

from __future__ import annotations

import dataclasses

import pytest

from rr_tcp.testing import cuts
from services.smtp import SmtpSettings
from services.smtp.body import BareNewlines
from tests.services.smtp.corpus import dot_stuffed, envelope
from tests.services.smtp.harness import SETTINGS, codes, converse
from tests.support.fake_ends import FAKE_ENDS

SMUGGLED = b"MAIL FROM:<evil@a.test>\r\nRCPT TO:<victim@b.test>\r\nDATA\r\nsmuggled\r\n"


NORMALIZING = dataclasses.replace(SETTINGS, bare_newlines=BareNewlines.NORMALIZE)


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


@pytest.mark.parametrize("fake_end", [*FAKE_ENDS, b"\n.\n.\r", b"\n..\n", b"\r\n..\n.\r\n"], ids=repr)
@pytest.mark.parametrize("before", [b"first", b""])
def test_a_fake_end_that_is_normalized_ends_nothing_here_or_further_on(fake_end: bytes, before: bytes) -> None:
    """What is kept is one mail, and so is what comes of it when it is sent on with its dots doubled."""
    text = before + fake_end + SMUGGLED + b".\r\nQUIT\r\n"
    expected = 554 if b"\0" in fake_end else 250
    kept = set()
    for pieces in cuts(text):
        outcome = converse([b"EHLO c\r\n" + envelope(), *pieces], NORMALIZING)
        assert codes(outcome.replies) == [250, 250, 250, 354, expected, 221]
        kept |= {content for _, content in outcome.mails}
    if expected == 554:
        assert not kept
        return
    [content] = kept
    assert content.endswith(SMUGGLED)
    for pieces in cuts(dot_stuffed(content)):
        onward = converse([b"EHLO c\r\n" + envelope(), *pieces, b"QUIT\r\n"])
        assert codes(onward.replies) == [250, 250, 250, 354, 250, 221]
        assert [text for _, text in onward.mails] == [content]


@pytest.mark.parametrize("command", [b"NOOP\n", b"\n", b"NOOP\r\0\n", b"EHLO c\nMAIL FROM:<a@b>\n"], ids=repr)
@pytest.mark.parametrize("settings", [SETTINGS, NORMALIZING], ids=["reject", "normalize"])
def test_nothing_behind_a_bare_line_feed_is_executed(command: bytes, settings: SmtpSettings) -> None:
    """Whoever sits in between may have seen one command where we see two: so the session ends there."""
    for pieces in cuts(command + b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n"):
        outcome = converse([b"EHLO c\r\n", *pieces], settings)
        assert codes(outcome.replies) == [250, 421], "RFC 5321 3.8: a server closes with 421 alone"
        assert b"bare LF" in outcome.replies
        assert outcome.closed


def test_a_bare_carriage_return_makes_a_line_no_command() -> None:
    outcome = converse([b"EHLO c\r\nNOOP\rMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"])
    assert codes(outcome.replies) == [250, 500, 503]
    assert not outcome.closed


CHUNK = b"x\r\n.\r\nMAIL FROM:<evil@a.test>\r\nRSET\n\0\xff"


@pytest.mark.parametrize("line", [b"BDAT %d\r\n", b"bdat %d LAST\r\n", b"BDAT 0%d \r\n"])
def test_the_bytes_of_a_refused_chunk_are_no_commands_wherever_they_are_cut(line: bytes) -> None:
    stream = line % len(CHUNK) + CHUNK + b"NOOP\r\nBDAT 0 LAST\r\nNOOP\r\nBDAT 1\r\n\nRSET\r\n"
    for pieces in cuts(stream):
        outcome = converse([b"EHLO c\r\n", *pieces])
        assert codes(outcome.replies) == [250, 502, 250, 502, 250, 502, 250]


@pytest.mark.parametrize(
    "line",
    [
        b"BDAT\r\n",
        b"BDAT LAST\r\n",
        b"BDAT -1\r\n",
        b"BDAT 1 2\r\n",
        b"BDAT\t5\r\n",
        b"BDAT 5\0\r\n",
        b"BDAT 5\xff\r\n",
        b"bdat 2001\r\n",
        b"BDAT 99999999999999999999999\r\n",
        b"BDAT 5" + b" " * 600 + b"\r\n",
        b"BDAT 5" + b" " * 2000 + b"\r\n",
        b"BDAT 5" + b" " * 2000 + b"\n",
    ],
    ids=lambda line: repr(line[:12]) + str(len(line)),
)
def test_a_chunk_of_unknown_end_ends_the_session(line: bytes) -> None:
    """Nothing says which bytes behind it are commands again; one over the size limit would be swallowed for nothing."""
    for pieces in cuts(line + b"\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"):
        outcome = converse([b"EHLO c\r\n", *pieces])
        assert codes(outcome.replies) == [250, 421]
        assert b"BDAT" in outcome.replies
        assert outcome.closed


def test_a_browser_is_sent_away_before_its_body() -> None:
    request = b"POST / HTTP/1.1\r\nHost: localhost:1025\r\n\r\nEHLO c\r\nMAIL FROM:<a@b>\r\n"
    outcome = converse([request])
    assert codes(outcome.replies) == [421]
    assert outcome.closed
