"""The service: texts in the session store's bulk data, mails in the mail store, and what is said when either fails."""

from __future__ import annotations

import hashlib

import pytest

from rr_tcp.testing import MemorySessionStore
from services.smtp import MailInfo
from tests.services.smtp.corpus import envelope, session
from tests.services.smtp.harness import NOW, SETTINGS, Service, codes

HELLO = b"EHLO client.test\r\n"


def test_all_about_a_mail_is_kept() -> None:
    with Service() as service:
        client = service.client()
        client.send(HELLO + b"MAIL FROM:<> BODY=8BITMIME SIZE=5\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
        reply = client.send(b"text\r\n.\r\n")
        [mail] = service.mails
    assert reply == f"250 2.0.0 OK, stored as {mail.info.id}\r\n".encode()
    assert len(mail.info.id) == 32
    assert mail.content == b"text\r\n"
    assert mail.info == MailInfo(
        id=mail.info.id,
        mail_from="",
        rcpt_tos=("a@b", "c@d"),
        size=6,
        received_at=NOW,
        peer="192.0.2.1:1234",
        sha256=hashlib.sha256(b"text\r\n").hexdigest(),
        helo="client.test",
        mail_options=("BODY=8BITMIME", "SIZE=5"),
    )


def test_the_mail_store_is_there_with_the_first_connection() -> None:
    with Service() as service:
        service.client()
        assert service.store.opened == 1


def test_a_mail_store_that_cannot_be_opened_is_reported_and_costs_no_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Service() as service:
        service.store.failing = True
        client = service.client()
        assert "the disk is gone" in caplog.text
        assert codes(client.send(session(b"text\r\n"))) == [250, 250, 250, 354, 451, 221]


class _WatchedStore(MemorySessionStore):
    """Notes what texts cost.

    Attributes:
        appended: what was appended, in order.
        reads: how often a text was read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.appended: list[bytes] = []
        self.reads = 0

    def save(self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False) -> None:
        self.appended += [append] if append else []
        super().save(key, state, ttl=ttl, append=append, truncate=truncate)

    def read_bulk(self, key: str) -> bytes:
        self.reads += 1
        return super().read_bulk(key)


def test_a_mail_in_one_piece_never_touches_the_bulk_data() -> None:
    sessions = _WatchedStore()
    with Service(sessions=sessions) as service:
        client = service.client()
        client.send(HELLO, envelope() + b"text\r\n.\r\n" + envelope(2) + b"text\r\n.\r\n")
        assert len(service.mails) == 2
    assert (sessions.appended, sessions.reads) == ([], 0)


def test_a_mail_in_pieces_is_appended_piece_by_piece_and_read_once() -> None:
    sessions = _WatchedStore()
    with Service(sessions=sessions) as service:
        client = service.client()
        client.send(HELLO + envelope() + b"on", b"e\r", b"\n..two\r\n", b"three\r\n.\r\n")
        assert service.mails[0].content == b"one\r\n.two\r\nthree\r\n"
        assert (sessions.appended, sessions.reads) == ([b"on", b"e\r", b"\n.two\r\n"], 1)
        stored = sessions.load(client.uuid)
        assert stored is not None
        assert stored.bulk_size == 0


@pytest.mark.parametrize("pieces", [(b"text\r\n.\r\n",), (b"text\r\n", b".\r\n")])
def test_a_mail_that_cannot_be_stored_is_451_and_over_and_the_session_goes_on(
    pieces: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with Service() as service:
        client = service.client()
        client.send(HELLO + envelope())
        service.store.failing = True
        assert client.send(*pieces) == b"451 4.3.0 The mail could not be stored; try again later\r\n"
        assert codes(client.send(b"DATA\r\n")) == [503]
        service.store.failing = False
        assert codes(client.send(envelope(), *pieces)) == [250, 250, 354, 250]
        [mail] = service.mails
        assert mail.info.mail_from == "from1@a.test"
    assert "the disk is full" in caplog.text


def test_a_store_that_fails_is_451_also_after_handle_data_said_yes() -> None:
    class Accepting:
        async def handle_DATA(self, *_: object) -> str:  # noqa: N802 - the name is aiosmtpd's
            return "250 OK"

    with Service(SETTINGS, Accepting(), Accepting()) as service:
        service.store.failing = True
        client = service.client()
        assert codes(client.send(session(b"text\r\n"))) == [250, 250, 250, 354, 451, 221]


def test_a_session_store_that_lost_a_piece_costs_the_session_and_stores_no_mail(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Losing(MemorySessionStore):
        def read_bulk(self, key: str) -> bytes:
            return super().read_bulk(key)[:-1]

    with Service(sessions=Losing()) as service:
        client = service.client()
        assert codes(client.send(HELLO + envelope() + b"text\r\n", b".\r\n")) == [250, 250, 250, 354, 421]
        assert client.closed
        assert service.mails == []
    assert "returned 5 bytes of a mail of 6" in caplog.text


def test_an_end_in_the_middle_of_a_mail_stores_nothing() -> None:
    with Service() as service:
        client = service.client()
        client.send(HELLO + envelope() + b"text\r\n")
        assert client.end(b".\r") == b""
        assert service.mails == []


def test_a_client_that_sends_all_and_ends_its_side_is_answered() -> None:
    """Without a line end at its end, RoadRunner hands the whole session over after CLOSE."""
    with Service() as service:
        client = service.client()
        replies = client.end(session(b"text\r\n").removesuffix(b"\r\n"))
        assert codes(replies) == [250, 250, 250, 354, 250]
        [mail] = service.mails
        assert mail.content == b"text\r\n"


def test_a_text_that_begins_after_the_end_is_whole() -> None:
    with Service() as service:
        client = service.client()
        client.send(HELLO + envelope())
        assert codes(client.end(b"text\r\n.\r\nQUIT")) == [250]
        assert service.mails[0].content == b"text\r\n"


def test_a_rest_after_the_end_never_completes_a_text_that_is_gone() -> None:
    with Service() as service:
        client = service.client()
        client.send(HELLO + envelope() + b"first half\r\n")
        assert client.end(b"second half\r\n.\r\nQUIT") == b""
        assert service.mails == []


def test_an_event_that_comes_again_after_the_end_finds_nothing_to_do() -> None:
    """RoadRunner may report CLOSE twice and DATA after it."""
    with Service() as service:
        client = service.client()
        client.send(HELLO + envelope() + b"text\r\n")
        client.end()
        assert client.send(b".\r\n") == b""
        assert service.mails == []


def test_two_sessions_at_a_time_know_nothing_of_each_other() -> None:
    with Service() as service:
        one, two = service.client(), service.client()
        one.send(HELLO + envelope(1))
        two.send(HELLO + envelope(2))
        one.send(b"one\r\n")
        two.send(b"two\r\n")
        assert codes(one.send(b".\r\n") + two.send(b".\r\n")) == [250, 250]
        assert [(mail.info.mail_from, mail.content) for mail in service.mails] == [
            ("from1@a.test", b"one\r\n"),
            ("from2@a.test", b"two\r\n"),
        ]
