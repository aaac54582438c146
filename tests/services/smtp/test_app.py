"""The service: texts in the session store's bulk data, mails in the mail store, and what is said when either fails."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rr_tcp import App, Connection, Request, TcpEvent
from rr_tcp.testing import ConnectionDriver, MemorySessionStore
from services.smtp import MailEnvelope, MailInfo, MailStoreError, SmtpProtocol, replies
from services.smtp.delivery import TEXT_BUDGET, Delivery
from services.smtp.mailstore import database
from services.smtp.mailstore.sqlite import SqliteMailStore
from services.smtp.outcomes import Outcomes
from services.smtp.state import SmtpState, Transaction
from tests.services.smtp.corpus import envelope, session
from tests.services.smtp.harness import NOW, SETTINGS, MemoryMailStore, Service, codes

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
        service.store.failing = MailStoreError("the disk is gone")
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

    def save(
        self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False, server: str = ""
    ) -> None:
        self.appended += [append] if append else []
        super().save(key, state, ttl=ttl, append=append, truncate=truncate, server=server)

    def iter_bulk(self, key: str) -> Iterator[bytes]:
        self.reads += 1
        return super().iter_bulk(key)


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
        service.store.failing = MailStoreError("the disk is gone")
        assert client.send(*pieces) == b"451 4.3.0 The mail could not be stored; try again later\r\n"
        assert codes(client.send(b"DATA\r\n")) == [503]
        service.store.failing = None
        assert codes(client.send(envelope(), *pieces)) == [250, 250, 354, 250]
        [mail] = service.mails
        assert mail.info.mail_from == "from1@a.test"
    assert "the disk is gone" in caplog.text


def test_a_full_mail_store_is_452_until_there_is_room(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, mail_store=f"sqlite:///{tmp_path}/mail.db", mail_room=10, mail_keep=1)
    protocol = SmtpProtocol(settings)
    with contextlib.closing(App(store=MemorySessionStore())) as app:
        app.add("smtp", protocol)
        app.on_shutdown(protocol.close)
        client = ConnectionDriver(app, "smtp")
        client.connect()
        client.send(HELLO + envelope() + b"text\r\n.\r\n" + envelope())
        assert client.send(b"text\r\n.\r\n") == b"452 4.3.1 No room for the mail now; try again later\r\n"
        with contextlib.closing(SqliteMailStore(tmp_path / "mail.db")) as store:
            [info] = store.mails()
            store.delete(info.id)
        assert codes(client.send(envelope() + b"text\r\n.\r\n")) == [250, 250, 354, 250]


def test_after_one_failure_the_other_mails_of_the_event_do_not_wait_for_the_store(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each could wait for a lock as long as the first, until the worker is killed for it."""
    with Service() as service:
        client = service.client()
        service.store.failing = MailStoreError("the disk is gone")
        mails = [envelope(number) + b"text\r\n.\r\n" for number in (1, 2, 3)]
        assert codes(client.send(HELLO + b"".join(mails))) == [250, *[250, 250, 354, 451] * 3]
        assert service.store.attempts == 1
        assert caplog.text.count("is refused for now (451, not_stored)") == 3
        service.store.failing = None
        assert codes(client.send(mails[0])) == [250, 250, 354, 250], "the next event tries again"


def delivery_to(store: MemoryMailStore, *, monotonic: Callable[[], float]) -> Delivery:
    """That of one event."""
    request = Request("192.0.2.1:1", TcpEvent.DATA, b"", "uuid", "smtp")
    connection = Connection(request, SmtpState(), max_output=0)
    return Delivery(connection, store, limit=20, clock=lambda: NOW, outcomes=Outcomes(), monotonic=monotonic)


def test_an_event_that_takes_too_long_stores_no_more(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0

    class Slow(MemoryMailStore):
        def add(self, envelope: MailEnvelope, pieces: Iterable[bytes]) -> MailInfo:
            nonlocal now
            now += 6.0
            return super().add(envelope, pieces)

    store = Slow()
    delivery = delivery_to(store, monotonic=lambda: now)
    refusals = [delivery.store(Transaction(str(number), "a@b"), (b"",), 0) for number in range(4)]
    assert refusals == [None, None, replies.NOT_STORED, replies.NOT_STORED]
    assert caplog.text.count("its event takes too long") == 2


def test_a_text_that_takes_too_long_is_given_up_in_the_middle(caplog: pytest.LogCaptureFixture) -> None:
    """As over a slow network, where each piece is a round trip: RoadRunner would kill the worker in the end."""
    now, sent = 0.0, list[bytes]()

    def pieces() -> Iterator[bytes]:
        nonlocal now
        for _ in range(1000):
            now += 0.5
            sent.append(b"text")
            yield b"text"

    store = MemoryMailStore()
    delivery = delivery_to(store, monotonic=lambda: now)
    assert delivery.store(Transaction("1", "a@b"), pieces(), 4000) == replies.NOT_STORED
    assert len(sent) == TEXT_BUDGET / 0.5 + 1
    assert "not stored within 12 s" in caplog.text
    assert not store.kept


def test_a_locked_mail_store_is_451_for_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.05)
    path = tmp_path / "mail.db"
    protocol = SmtpProtocol(dataclasses.replace(SETTINGS, mail_store=f"sqlite:///{path}"))
    app = App(store=MemorySessionStore())
    app.add("smtp", protocol)
    app.on_shutdown(protocol.close)
    with contextlib.closing(app), contextlib.ExitStack() as stack:
        client = ConnectionDriver(app, "smtp")
        client.connect()
        other = stack.enter_context(contextlib.closing(sqlite3.connect(path, isolation_level=None)))
        other.execute("BEGIN IMMEDIATE")
        assert codes(client.send(HELLO + (envelope() + b"text\r\n.\r\n") * 2)) == [250, *[250, 250, 354, 451] * 2]
        other.execute("ROLLBACK")
        assert codes(client.send(session(b"text\r\n"))) == [250, 250, 250, 354, 250, 221]
    with contextlib.closing(SqliteMailStore(path)) as store:
        assert [info.size for info in store.mails()] == [6], "of the three, the one that was answered 250"


def test_mails_are_dated_in_utc() -> None:
    store = MemoryMailStore()
    before = datetime.now(UTC)
    with contextlib.closing(App(store=MemorySessionStore())) as app:
        app.add("smtp", SmtpProtocol(SETTINGS, store=store))
        client = ConnectionDriver(app, "smtp")
        client.connect()
        client.send(session(b"text\r\n"))
    [mail] = store.kept.values()
    assert mail.info.received_at.tzinfo is UTC
    assert before <= mail.info.received_at <= datetime.now(UTC)


def test_the_mail_store_is_closed_with_the_service(tmp_path: Path) -> None:
    path = tmp_path / "mail.db"
    protocol = SmtpProtocol(dataclasses.replace(SETTINGS, mail_store=f"sqlite:///{path}"))
    with contextlib.closing(App(store=MemorySessionStore())) as app:
        app.add("smtp", protocol)
        client = ConnectionDriver(app, "smtp")
        client.connect()
        assert codes(client.send(session(b"text\r\n")))[-2:] == [250, 221]
        assert path.with_name("mail.db-wal").exists()
    protocol.close()
    assert not path.with_name("mail.db-wal").exists(), "the last one to close the file removes its log"


def test_a_store_that_fails_is_451_also_after_handle_data_said_yes() -> None:
    class Accepting:
        async def handle_DATA(self, *_: object) -> str:  # noqa: N802 - the name is aiosmtpd's
            return "250 OK"

    with Service(SETTINGS, Accepting(), Accepting()) as service:
        service.store.failing = MailStoreError("the disk is gone")
        client = service.client()
        assert codes(client.send(session(b"text\r\n"))) == [250, 250, 250, 354, 451, 221]


def test_a_session_store_that_lost_a_piece_costs_the_session_and_stores_no_mail(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Losing(MemorySessionStore):
        def iter_bulk(self, key: str) -> Iterator[bytes]:
            yield b"".join(super().iter_bulk(key))[:-1]

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
