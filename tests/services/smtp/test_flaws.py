"""The thirteen flaws of a well-known SMTP service on RoadRunner's TCP plugin: a regression test for each."""

from __future__ import annotations

from collections.abc import Iterator

from rr_tcp.testing import MemorySessionStore, cuts
from tests.services.smtp.corpus import MAILS, dot_stuffed, envelope, session
from tests.services.smtp.harness import LIMITS, Service, codes, converse

HELLO = b"EHLO c\r\n"


def test_flaw_1_merged_packets_lose_no_command() -> None:
    assert codes(converse([HELLO + envelope()]).replies) == [250, 250, 250, 354]


def test_flaw_2_a_split_packet_keeps_the_connection() -> None:
    outcome = converse([b"EH", b"LO c\r", b"\nMAIL FROM:<a", b"@b>\r\n"])
    assert codes(outcome.replies) == [250, 250]
    assert not outcome.closed


def test_flaw_3_commands_in_a_text_are_text_also_where_a_packet_begins_with_them() -> None:
    commands = [b"QUIT\r\n", b"RSET\r\n", b"AUTH LOGIN\r\n", b"MAIL FROM:<x@y>\r\n", b"EHLO z\r\n", b"DATA\r\n"]
    outcome = converse([HELLO + envelope(), *commands, b".\r\n"])
    assert codes(outcome.replies) == [250, 250, 250, 354, 250]
    assert outcome.mails[0][1] == b"".join(commands)


def test_flaw_4_a_piece_of_a_text_is_not_answered() -> None:
    start = converse([HELLO + envelope()]).replies
    assert converse([HELLO + envelope(), b"one\r\n", b"two\r\n", b"thr"]).replies == start


def test_flaw_5_the_end_of_a_text_is_seen_anywhere_in_a_packet() -> None:
    assert codes(converse([HELLO + envelope() + b"text\r\n.\r\nQUIT\r\n"]).replies)[-2:] == [250, 221]
    assert codes(converse([HELLO + envelope(), b".\r\nQUIT\r\n"]).replies)[-2:] == [250, 221]


def test_flaw_6_a_stuffed_dot_alone_on_its_line_does_not_end_the_text() -> None:
    for pieces in cuts(b"a\r\n..\r\nb\r\n.\r\n"):
        [(_, text)] = converse([HELLO + envelope(), *pieces]).mails
        assert text == b"a\r\n.\r\nb\r\n"


def test_flaw_7_dots_in_the_middle_of_a_line_stay_where_a_packet_begins_with_them() -> None:
    [(_, text)] = converse([HELLO + envelope(), b"wait", b"..", b"..what\r\n", b"..x\r\n.\r\n"]).mails
    assert text == b"wait....what\r\n.x\r\n"


def test_flaw_8_the_second_mail_of_a_session_inherits_nothing() -> None:
    first, second = converse([session(b"one\r\n", b"two\r\n")]).mails
    assert (first[0].mail_from, first[0].rcpt_tos, first[1]) == ("from1@a.test", ["to1@b.test"], b"one\r\n")
    assert (second[0].mail_from, second[0].rcpt_tos, second[1]) == ("from2@a.test", ["to2@b.test"], b"two\r\n")
    assert first[0].id != second[0].id
    mail_and_more = HELLO + envelope() + b"text\r\n.\r\n" + b"RCPT TO:<late@b.test>\r\nDATA\r\n"
    assert codes(converse([mail_and_more]).replies)[-2:] == [503, 503]


def test_flaw_9_auth_is_neither_announced_nor_pretended() -> None:
    outcome = converse([HELLO + b"AUTH LOGIN\r\nAUTH PLAIN AGEAYg==\r\n"])
    assert b"AUTH" not in outcome.replies.upper()
    assert codes(outcome.replies) == [250, 502, 502]


def test_flaw_10_verbs_have_no_case_unknown_ones_cost_nothing_and_the_sequence_is_checked() -> None:
    outcome = converse([b"eHlO c\r\nwhat\r\nmAiL fRoM:<a@b>\r\ndata\r\nrcpt to:<c@d>\r\nDaTa\r\n"])
    assert codes(outcome.replies) == [250, 500, 250, 503, 250, 354]
    assert not outcome.closed


def test_flaw_11_a_client_may_be_silent_for_five_minutes_in_the_middle_of_a_text() -> None:
    """RFC 5321 4.5.3.2.7; the time to live is the App's default."""
    now = 0.0
    with Service(sessions=MemorySessionStore(clock=lambda: now)) as service:
        client = service.client()
        client.send(HELLO + envelope(), b"before\r\n")
        now = 301.0
        assert codes(client.send(b"after\r\n", b".\r\n")) == [250]
        assert [mail.content for mail in service.mails] == [b"before\r\nafter\r\n"]


def test_flaw_11_a_session_whose_time_is_over_is_ended_and_never_begun_anew() -> None:
    """In the middle of a text above all: its lines would be taken for commands."""
    now = 0.0
    with Service(sessions=MemorySessionStore(clock=lambda: now)) as service:
        client = service.client()
        client.send(HELLO + envelope(), b"text\r\n")
        now = 10 * 3600.0
        assert codes(client.send(b"RSET\r\nMAIL FROM:<a@b>\r\n")) == [421]
        assert client.closed
        assert service.mails == []


class _CountingStore(MemorySessionStore):
    written = 0
    largest_state = 0
    saves = 0
    bytes_read = 0
    reads = 0

    def save(
        self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False, server: str = ""
    ) -> None:
        self.saves += 1
        self.written += len(state) + len(append)
        self.largest_state = max(self.largest_state, len(state))
        super().save(key, state, ttl=ttl, append=append, truncate=truncate, server=server)

    def iter_bulk(self, key: str) -> Iterator[bytes]:
        self.reads += 1
        for piece in super().iter_bulk(key):
            self.bytes_read += len(piece)
            yield piece


def test_flaw_12_a_text_is_written_once_and_read_once_and_its_size_is_limited() -> None:
    lines = [b"x" * 98 + b"\r\n"] * 19
    sessions = _CountingStore()
    with Service(sessions=sessions) as service:
        client = service.client()
        client.send(HELLO + envelope(), *lines)
        assert sessions.largest_state < 200
        assert sessions.written < 1900 + 200 * (len(lines) + 2)
        assert (sessions.saves, sessions.reads) == (len(lines) + 2, 0), "the greeting, EHLO to DATA, each line"
        assert codes(client.send(b".\r\n")) == [250]
        assert (sessions.reads, sessions.bytes_read) == (1, 1900)
        assert codes(client.send(envelope())) == [250, 250, 354]
        client.send(*lines, *lines)
        stored = sessions.load(client.uuid)
        assert stored is not None
        assert stored.bulk_size == 0, "what is refused is not kept"
        assert codes(client.send(b".\r\n")) == [552]
        assert len(lines[0]) * len(lines) < LIMITS.message < 2 * len(lines[0]) * len(lines)


def test_flaw_13_what_the_tests_cut_is_cut_everywhere() -> None:
    """What this file can say of tests that never split a packet: `test_splits` and `test_smuggling` cut by `cuts`.

    That there are real sockets and a real server too is the business of the integration and end-to-end tests.
    """
    stream = session(MAILS["dots"])
    pieces = cuts(stream)
    assert {len(parts[0]) for parts in pieces} == set(range(1, len(stream) + 1))
    assert all(b"".join(parts) == stream for parts in pieces)
    assert max(len(parts) for parts in pieces) == len(stream)
    assert dot_stuffed(MAILS["dots"]) in stream
