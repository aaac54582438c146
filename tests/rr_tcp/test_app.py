"""App: routing, stateful protocols around a store, and where errors end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from rr_tcp import (
    App,
    ConfigurationError,
    Connection,
    Request,
    Response,
    SessionDataError,
    SessionError,
    SessionStoreError,
    StatefulProtocol,
    StoredSession,
    TcpEvent,
    TcpResponse,
    Worker,
)
from rr_tcp.app import MAX_STATE, create_worker
from rr_tcp.testing import ConnectionDriver, FakeRelay, MemorySessionStore, event_frame
from tests.support.clock import Clock


class Notes(msgspec.Struct, forbid_unknown_fields=True):
    lines: int = 0
    closed: int = 0


class NotesProtocol(StatefulProtocol[Notes]):
    state_type = Notes
    error_reply = b"sorry\n"
    expired_reply = b"too late\n"

    def __init__(self) -> None:
        self.seen_closed: list[int] = []

    def connected(self, connection: Connection[Notes]) -> None:
        connection.write(b"hello\n")

    async def data_received(self, connection: Connection[Notes], data: bytes) -> None:
        await asyncio.sleep(0)
        if data == b"raise\n":
            connection.write(b"never sent")
            raise RuntimeError("on purpose")
        if data == b"bye\n":
            connection.close()
        connection.state.lines += 1
        connection.append_bulk(data)
        connection.write(b"%d of %d\n" % (connection.state.lines, connection.bulk_size))

    def eof_received(self, connection: Connection[Notes], data: bytes) -> None:
        connection.write(b"%d and %s" % (connection.state.lines, data))

    def closed(self, connection: Connection[Notes]) -> None:
        self.seen_closed.append(connection.state.lines)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemorySessionStore:
    return MemorySessionStore(clock)


@pytest.fixture
def protocol() -> NotesProtocol:
    return NotesProtocol()


@pytest.fixture
def app(store: MemorySessionStore, protocol: NotesProtocol) -> Iterator[App]:
    app = App(store=store, session_ttl=100)
    app.add("notes", protocol)
    yield app
    app.close()


@pytest.fixture
def client(app: App) -> ConnectionDriver:
    driver = ConnectionDriver(app, "notes")
    assert driver.connect() == b"hello\n"
    return driver


def request(event: TcpEvent, body: bytes = b"", server: str = "notes", uuid: str = "u") -> Request:
    return Request("127.0.0.1:1", event, body, uuid, server)


def test_state_and_bulk_travel_from_event_to_event(client: ConnectionDriver) -> None:
    assert client.send(b"ab\n", b"cd\n") == b"1 of 3\n2 of 6\n"


def test_another_app_on_the_same_store_goes_on_where_the_first_one_stopped(
    store: MemorySessionStore, client: ConnectionDriver
) -> None:
    client.send(b"ab\n")
    other = App(store=store)
    other.add("notes", NotesProtocol())
    client._app = other
    assert client.send(b"cd\n") == b"2 of 6\n"
    other.close()


def test_a_protocol_that_closes_leaves_a_tombstone_and_no_bulk(
    store: MemorySessionStore, client: ConnectionDriver
) -> None:
    assert client.send(b"bye\n") == b"1 of 4\n"
    assert client.closed
    assert store.load(client.uuid) == StoredSession(b"", closed=True)


@pytest.mark.parametrize("last_line", [b"x\n", b"bye\n"], ids=["by the client", "by the protocol"])
def test_closed_is_called_once_whoever_closed_and_however_often_close_comes(
    client: ConnectionDriver, protocol: NotesProtocol, last_line: bytes
) -> None:
    client.send(last_line)
    client.end()
    client.end()
    assert protocol.seen_closed == [1]


def test_an_undelimited_rest_after_close_is_handled_once(app: App, client: ConnectionDriver) -> None:
    """RoadRunner sends CLOSE, DATA, CLOSE when a client half-closes in mid-line; a replay finds nothing to act on."""
    client.send(b"x\n")
    assert client.end(b"rest") == b"1 and rest"
    replayed = app.handle(request(TcpEvent.DATA, b"rest", uuid=client.uuid))
    assert replayed == Response(TcpResponse.CLOSE)


def test_data_without_a_session_never_starts_a_fresh_one(app: App, store: MemorySessionStore) -> None:
    assert app.handle(request(TcpEvent.DATA, b"x\n")) == Response(TcpResponse.WRITECLOSE, b"too late\n")
    assert store.load("u") is None


def test_data_after_the_session_expired_is_told_so_and_closed(clock: Clock, client: ConnectionDriver) -> None:
    clock.now = 101
    assert client.send(b"x\n") == b"too late\n"
    assert client.closed


def test_every_event_starts_the_time_to_live_anew(clock: Clock, client: ConnectionDriver) -> None:
    for clock.now in (90.0, 180.0, 270.0):
        client.send(b"x\n")
    assert not client.closed


def test_a_close_without_a_session_is_answered_and_leaves_nothing(app: App, store: MemorySessionStore) -> None:
    assert app.handle(request(TcpEvent.CLOSE)) == Response(TcpResponse.CLOSE)
    assert store.load("u") is None


def test_a_protocol_that_raises_costs_its_connection_and_no_other(
    app: App, client: ConnectionDriver, store: MemorySessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    other = ConnectionDriver(app, "notes")
    other.connect()
    assert client.send(b"raise\n") == b"sorry\n"
    assert client.closed
    assert "on purpose" in caplog.text
    assert client.uuid in caplog.text
    assert store.load(client.uuid) == StoredSession(b"", closed=True)
    assert other.send(b"x\n") == b"1 of 2\n"


@pytest.mark.parametrize("damaged", [b"\xc1not msgpack", b"", b"\x81\xa5lines\xa1\xff"])
def test_a_damaged_session_is_refused_loudly(
    client: ConnectionDriver, store: MemorySessionStore, caplog: pytest.LogCaptureFixture, damaged: bytes
) -> None:
    store.save(client.uuid, damaged, ttl=10)
    assert client.send(b"x\n") == b"sorry\n"
    assert "no Notes" in caplog.text


def test_a_session_of_a_newer_version_is_refused_loudly(client: ConnectionDriver, store: MemorySessionStore) -> None:
    store.save(client.uuid, msgspec.msgpack.encode({"lines": 1, "new": 2}), ttl=10)
    assert client.send(b"x\n") == b"sorry\n"
    assert client.closed


class BrokenStore(MemorySessionStore):
    def load(self, key: str) -> StoredSession | None:
        raise SessionStoreError(f"no answer for {key}")

    def end(self, key: str, *, ttl: float, state: bytes = b"") -> None:
        raise SessionStoreError(f"no answer for {key} {ttl} {state!r}")


def test_a_store_that_fails_is_told_to_the_client_and_the_log(caplog: pytest.LogCaptureFixture) -> None:
    app = App(store=BrokenStore())
    app.add("notes", NotesProtocol())
    assert app.handle(request(TcpEvent.DATA, b"x\n")) == Response(TcpResponse.WRITECLOSE, b"sorry\n")
    assert "could not be ended" in caplog.text
    assert app.handle(request(TcpEvent.CLOSE)) == Response(TcpResponse.CLOSE)


def test_a_state_over_the_limit_ends_the_connection(store: MemorySessionStore) -> None:
    app = App(store=store, max_state=3)
    app.add("notes", NotesProtocol())
    driver = ConnectionDriver(app, "notes")
    assert driver.connect() == b"sorry\n"
    assert driver.closed


def test_replies_over_the_limit_end_the_connection(store: MemorySessionStore) -> None:
    app = App(store=store, max_response=5)
    app.add("notes", NotesProtocol())
    assert ConnectionDriver(app, "notes").connect() == b"sorry\n"


def test_replies_over_the_limit_are_refused_when_written_and_not_when_they_fill_the_memory(
    store: MemorySessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    class Endless(NotesProtocol):
        def connected(self, connection: Connection[Notes]) -> None:
            while True:
                connection.write(bytes(1000))

    app = App(store=store, max_response=10_000)
    app.add("notes", Endless())
    assert ConnectionDriver(app, "notes").connect() == b"sorry\n"
    assert "more than 10000 bytes" in caplog.text


def test_an_answer_of_a_function_over_the_limit_ends_the_connection() -> None:
    app = App(max_response=5)
    app.on("clock")(lambda _: b"too long")
    assert app.handle(request(TcpEvent.DATA, b"x", server="clock")).body == b"Something went wrong\r\n"


@pytest.mark.parametrize("failing", ["closed", "end"])
def test_the_last_reply_of_a_connection_leaves_whatever_fails_after_it(
    failing: str, store: MemorySessionStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It may say that a mail is stored: with an error in its place the client would send the mail again."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("too late to fail")

    protocol = NotesProtocol()
    app = App(store=store)
    app.add("notes", protocol)
    client = ConnectionDriver(app, "notes")
    client.connect()
    monkeypatch.setattr(protocol if failing == "closed" else store, failing, fail)
    assert client.send(b"bye\n") == b"1 of 4\n"
    assert client.closed
    assert "too late to fail" in caplog.text
    app.close()


def test_a_handler_that_is_cancelled_costs_its_connection_and_not_the_worker(
    store: MemorySessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    class Cancelled(NotesProtocol):
        async def data_received(self, connection: Connection[Notes], data: bytes) -> None:
            raise asyncio.CancelledError(connection.uuid, data)

    app = App(store=store)
    app.add("notes", Cancelled())
    client = ConnectionDriver(app, "notes")
    client.connect()
    assert client.send(b"x\n") == b"sorry\n"
    assert "cancelled" in caplog.text
    app.close()


@pytest.mark.parametrize("ttl", [0.0, 1.9, 1e12, float("nan")])
def test_a_time_to_live_that_no_store_can_keep_is_refused_at_once(store: MemorySessionStore, ttl: float) -> None:
    with pytest.raises(ConfigurationError, match="time to live"):
        App(store=store, session_ttl=ttl)


def test_an_event_of_a_server_that_nobody_handles_is_loud_and_closed(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    assert app.handle(request(TcpEvent.CONNECTED, server="nots")) == Response(TcpResponse.CLOSE)
    assert "'nots'" in caplog.text
    assert "notes" in caplog.text


@pytest.mark.parametrize(
    ("returned", "response"),
    [
        (b"bytes", Response(TcpResponse.WRITE, b"bytes")),
        (None, Response(TcpResponse.CONTINUE)),
        (Response(TcpResponse.WRITECLOSE, b"x"), Response(TcpResponse.WRITECLOSE, b"x")),
        ("text", Response(TcpResponse.WRITECLOSE, b"Something went wrong\r\n")),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_handler_function_returns_a_response_bytes_or_none(
    returned: Response | bytes | None, response: Response, is_async: bool
) -> None:
    app = App()

    async def answer_async(_: Request) -> Response | bytes | None:
        return returned

    def answer(_: Request) -> Response | bytes | None:
        return returned

    app.on("clock")(answer_async if is_async else answer)
    assert app.handle(request(TcpEvent.DATA, b"x", server="clock")) == response
    app.close()


def test_two_services_for_one_server_are_a_configuration_error(app: App) -> None:
    with pytest.raises(ConfigurationError, match="'notes'"):
        app.add("notes", NotesProtocol())


def test_a_stateful_protocol_needs_a_store_and_a_state_type() -> None:
    with pytest.raises(ConfigurationError, match="session store"):
        App().add("notes", NotesProtocol())

    class Untyped(StatefulProtocol[Notes]):
        pass

    with pytest.raises(ConfigurationError, match="state_type"):
        App(store=MemorySessionStore()).add("notes", Untyped())


def test_run_answers_every_event_once_and_closes_what_the_app_holds() -> None:
    closed = []
    app = App(store=MemorySessionStore())
    app.add("notes", NotesProtocol())
    app.on_shutdown(lambda: closed.append("first added"))
    app.on_shutdown(lambda: closed.append("last added"))
    events = [TcpEvent.CONNECTED, TcpEvent.DATA, TcpEvent.CLOSE, TcpEvent.CLOSE, TcpEvent.DATA]
    relay = FakeRelay([event_frame(event, b"x\n", server="notes") for event in events])
    app.run(Worker(relay))
    assert len(relay.sent) == len(events)
    assert closed == ["last added", "first added"]


@pytest.mark.parametrize("mode", ["", "http"])
def test_a_worker_that_roadrunner_did_not_start_says_so(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RR_MODE", mode)
    with pytest.raises(ConfigurationError, match="started by RoadRunner"):
        create_worker()


def test_errors_are_logged_with_their_connection(client: ConnectionDriver, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        client.send(b"raise\n")
    [record] = caplog.records
    assert record.exc_info is not None
    assert "'notes'" in record.getMessage()


def test_a_store_that_fails_is_a_line_in_the_log_and_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Its message says what to do; a traceback for every event of every client would fill the disk."""
    app = App(store=BrokenStore())
    app.add("notes", NotesProtocol())
    with caplog.at_level(logging.ERROR):
        app.handle(request(TcpEvent.DATA, b"x\n"))
    [record] = caplog.records
    assert record.exc_info is None
    assert "DATA of connection" in record.getMessage()
    assert "it is closed: no answer for" in record.getMessage()


@pytest.mark.parametrize("error", [SessionStoreError("no room"), SessionDataError("damaged")])
def test_what_was_done_in_an_event_that_cannot_be_saved_is_told_and_the_connection_ends(error: SessionError) -> None:
    """Were the reply to something that was done for good replaced by an error, the client would have it done again."""

    class Unsaving(MemorySessionStore):
        failing = False

        def save(self, key: str, state: bytes, **options: Any) -> None:
            if self.failing:
                raise error
            super().save(key, state, **options)

    store = Unsaving()
    app = App(store=store)
    app.add("notes", NotesProtocol())
    client, late = ConnectionDriver(app, "notes"), ConnectionDriver(app, "notes")
    client.connect()
    store.failing = True
    assert client.send(b"x\n") == b"1 of 2\nsorry\n"
    assert client.closed
    assert late.connect() == b"sorry\n", "nothing was done yet"
    app.close()


@pytest.mark.parametrize(
    ("lines", "max_state", "said"),
    [
        (2**40, len(msgspec.msgpack.encode(Notes())), "raise App(max_state=...)"),
        ("\udcff", MAX_STATE, "a Notes cannot be stored"),
        (2**70, MAX_STATE, "a Notes cannot be stored"),
        (object(), MAX_STATE, "a Notes cannot be stored"),
    ],
    ids=["over the limit", "no UTF-8", "no 64 bits", "no plain data"],
)
def test_what_was_done_in_an_event_whose_state_cannot_be_stored_is_told_too(
    lines: Any, max_state: int, said: str, store: MemorySessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(NotesProtocol):
        def data_received(self, connection: Connection[Notes], data: bytes) -> None:  # type: ignore[override]  # def
            connection.write(b"%d bytes done\n" % len(data))
            connection.state.lines = lines

    app = App(store=store, max_state=max_state)
    app.add("notes", Odd())
    client = ConnectionDriver(app, "notes")
    client.connect()
    assert client.send(b"x\n") == b"2 bytes done\nsorry\n"
    assert client.closed
    assert said in caplog.text
    app.close()
