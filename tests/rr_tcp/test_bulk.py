"""Bulk data within one event: read in pieces, and sent to the store on the way when there is much."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec
import pytest

from rr_tcp import App, Connection, StatefulProtocol
from rr_tcp.connection import SPILL
from rr_tcp.testing import ConnectionDriver, MemorySessionStore


class State(msgspec.Struct):
    events: int = 0


class Hoarder(StatefulProtocol[State]):
    """Appends what comes. `clear`, `fail` and `read` do what they say, after the first line of an event."""

    state_type = State
    error_reply = b"failed\n"

    def data_received(self, connection: Connection[State], data: bytes) -> None:
        connection.state.events += 1
        command, _, text = data.partition(b"\n")
        for start in range(0, len(text), 100_000):
            connection.append_bulk(text[start : start + 100_000])
        match command:
            case b"clear":
                connection.clear_bulk()
                connection.append_bulk(b"after")
            case b"fail":
                raise RuntimeError("on purpose")
            case b"read":
                assert b"".join(connection.iter_bulk()) == connection.read_bulk()
                connection.write(b"%d %d\n" % (len(connection.read_bulk()), connection.bulk_size))

    def eof_received(self, connection: Connection[State], data: bytes) -> None:
        self.data_received(connection, data)


class WatchedStore(MemorySessionStore):
    """Notes the sizes that it was given to append."""

    def __init__(self) -> None:
        super().__init__()
        self.appended: list[int] = []

    def save(
        self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False, server: str = ""
    ) -> None:
        self.appended.append(len(append))
        super().save(key, state, ttl=ttl, append=append, truncate=truncate, server=server)


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


@pytest.fixture
def client(store: WatchedStore) -> Iterator[ConnectionDriver]:
    with contextlib.closing(App(store=store)) as app:
        app.add("hoarder", Hoarder())
        driver = ConnectionDriver(app, "hoarder")
        driver.connect()
        store.appended.clear()
        yield driver


def test_a_little_travels_with_the_state(client: ConnectionDriver, store: WatchedStore) -> None:
    client.send(b"\n" + bytes(SPILL - 1))
    assert store.appended == [SPILL - 1]


def test_much_goes_to_the_store_on_the_way_and_is_all_there(client: ConnectionDriver, store: WatchedStore) -> None:
    text = bytes(range(256)) * (5 * SPILL // 256)
    assert client.send(b"read\n" + text) == b"%d %d\n" % (len(text), len(text))
    assert sum(store.appended) == len(text)
    assert max(store.appended) < SPILL + 100_000
    assert client.send(b"read\n") == b"%d %d\n" % (len(text), len(text))
    assert store.read_bulk(client.uuid) == text
    assert client.send(b"read\nmore") == b"%d %d\n" % (len(text) + 4, len(text) + 4)


def test_what_was_sent_on_the_way_can_be_dropped_in_the_same_event(
    client: ConnectionDriver, store: WatchedStore
) -> None:
    client.send(b"\nold")
    client.send(b"clear\n" + bytes(3 * SPILL))
    assert store.read_bulk(client.uuid) == b"after"
    assert client.send(b"read\n" + bytes(3 * SPILL)) == b"%d %d\n" % (3 * SPILL + 5, 3 * SPILL + 5)


def test_what_was_dropped_before_does_not_come_back(client: ConnectionDriver, store: WatchedStore) -> None:
    """The first bytes that go to the store on the way have to drop the older ones."""
    client.send(b"\n" + b"o" * 100)

    class Replacer(Hoarder):
        def data_received(self, connection: Connection[State], data: bytes) -> None:
            connection.clear_bulk()
            super().data_received(connection, data)

    with contextlib.closing(App(store=store)) as app:
        app.add("hoarder", Replacer())
        other = ConnectionDriver(app, "hoarder", connection_uuid=client.uuid)
        assert other.send(b"read\n" + b"n" * 3 * SPILL) == b"%d %d\n" % (3 * SPILL, 3 * SPILL)
    assert store.read_bulk(client.uuid) == b"n" * 3 * SPILL


def test_an_event_that_fails_after_it_ends_the_session(client: ConnectionDriver, store: WatchedStore) -> None:
    """No later event finds bulk data that its state knows nothing of."""
    assert client.send(b"fail\n" + bytes(3 * SPILL)) == b"failed\n"
    session = store.load(client.uuid)
    assert session is not None
    assert session.closed
    assert session.bulk_size == 0


def test_a_late_event_keeps_what_it_appends_to_itself(client: ConnectionDriver, store: WatchedStore) -> None:
    client.send(b"\nfirst")
    assert client.end(b"read\n" + bytes(3 * SPILL)) == b"%d %d\n" % (3 * SPILL, 3 * SPILL)
    session = store.load(client.uuid)
    assert session is not None
    assert session.closed
