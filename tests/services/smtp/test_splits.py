"""Whatever the cuts, and whichever process goes on: the same replies and the same mails."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rr_tcp.testing import cuts
from services.smtp.body import BareNewlines
from tests.services.smtp.corpus import DIALOGUES, MAILS, dot_stuffed, envelope, session
from tests.services.smtp.harness import LIMITS, SETTINGS, Service, codes, converse


@pytest.mark.parametrize("name", MAILS)
def test_a_mail_cut_anywhere_gives_the_same_replies_and_the_same_text(name: str) -> None:
    stream = session(MAILS[name])
    for pieces in cuts(stream):
        outcome = converse(pieces)
        assert codes(outcome.replies) == [250, 250, 250, 354, 250, 221]
        assert [text for _, text in outcome.mails] == [MAILS[name]]


@pytest.mark.parametrize("name", DIALOGUES)
def test_a_dialogue_cut_anywhere_gives_the_same_replies_and_mails(name: str) -> None:
    whole = converse([DIALOGUES[name]])
    for pieces in cuts(DIALOGUES[name]):
        outcome = converse(pieces)
        assert outcome.replies == whole.replies
        assert outcome.mails == whole.mails
        assert outcome.closed == whole.closed


@pytest.mark.parametrize("name", MAILS)
def test_a_mail_through_two_workers_cut_anywhere_is_stored_once_and_whole(name: str) -> None:
    stream = session(MAILS[name], MAILS["plain"])
    with Service() as service:
        for count, pieces in enumerate(cuts(stream), 1):
            client = service.client()
            assert codes(client.send(*pieces)) == [250, 250, 250, 354, 250, 250, 250, 354, 250, 221]
            assert client.closed
            assert len(service.mails) == 2 * count
            assert [mail.content for mail in service.mails[-2:]] == [MAILS[name], MAILS["plain"]]


_LINES = st.one_of(
    st.sampled_from(
        [
            b"EHLO c\r\n",
            b"HELO c\r\n",
            b"MAIL FROM:<a@b>\r\n",
            b"mail from:<> size=10 body=8bitmime\r\n",
            "MAIL FROM:<\u00e9@b> SMTPUTF8 ENVID=Q RET=HDRS\r\n".encode(),
            "RCPT TO:<\u00e9@d> ORCPT=utf-8;\u00e9@d NOTIFY=SUCCESS,DELAY\r\n".encode(),
            b"BDAT 5\r\n",
            b"BDAT 0 LAST\r\n",
            b"HELP MAIL\r\n",
            b"RCPT TO:<c@d>\r\n",
            b"RCPT TO:<broken\r\n",
            b"DATA\r\n",
            b"RSET\r\n",
            b"NOOP\r\n",
            b"VRFY x\r\n",
            b"HELP\r\n",
            b".\r\n",
            b"..\r\n",
            b"\r\n",
            b"\n",
            b"\r",
            b".",
            b"\0",
            b"text\r\n",
            b"x" * 700,
            envelope() + dot_stuffed(MAILS["dots"]),
        ]
    ),
    st.binary(max_size=8),
)


@st.composite
def _streams_in_pieces(draw: st.DrawFn) -> list[bytes]:
    beginning = draw(st.sampled_from([b"", b"EHLO c\r\n", b"EHLO c\r\n" + envelope()]))
    stream = beginning + b"".join(draw(st.lists(_LINES, max_size=30)))
    marks = draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    return [stream[start:stop] for start, stop in zip([0, *marks], [*marks, len(stream)], strict=True)]


@given(_streams_in_pieces(), st.sampled_from(BareNewlines))
def test_random_input_in_random_pieces_gives_what_it_gives_in_one(pieces: list[bytes], policy: BareNewlines) -> None:
    settings = dataclasses.replace(SETTINGS, bare_newlines=policy)
    whole, outcome = converse([b"".join(pieces)], settings), converse(pieces, settings)
    assert dataclasses.replace(outcome, largest_state=0, most_kept=0) == dataclasses.replace(
        whole, largest_state=0, most_kept=0
    )
    assert outcome.largest_state < 2000
    assert outcome.most_kept <= LIMITS.message


@given(_streams_in_pieces())
def test_every_command_line_gets_one_reply(pieces: list[bytes]) -> None:
    r"""Replies are counted against the lines outside of texts, as a second, naive reading of the RFC finds them."""
    stream = b"".join(pieces).replace(b"\n", b"").replace(b"\r", b"\r\n").replace(b"\0", b"")
    stream = stream.replace(b"BDAT", b"NOOP")  # bytes that are no lines would follow
    outcome = converse([stream])
    expected, in_text = 0, False
    replies = iter(codes(outcome.replies))
    for line in stream.split(b"\r\n")[:-1]:
        if in_text and line != b".":
            continue
        expected += 1
        code = next(replies, None)
        in_text = code == 354
        if code in {221, 421}:
            break
    assert len(codes(outcome.replies)) == expected
