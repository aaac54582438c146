"""A session that events do not change is saved now and then only, and lives on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rr_tcp import App, Connection, LineProtocol, LineState
from rr_tcp.renewals import MAX_KNOWN, PART, Renewals, renewal_period
from rr_tcp.stateful import StatefulRoute
from rr_tcp.testing import ConnectionDriver, MemorySessionStore
from tests.support.clock import Clock

TTL = 100.0


class Counting(MemorySessionStore):
    saves = 0

    def save(
        self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False, server: str = ""
    ) -> None:
        self.saves += 1
        super().save(key, state, ttl=ttl, append=append, truncate=truncate, server=server)


class Shout(LineProtocol[LineState]):
    """Its state is a partial line; it keeps the line `keep` as bulk data, and drops that on `drop`."""

    state_type = LineState
    expired_reply = b"expired\n"

    def line_received(self, connection: Connection[LineState], line: bytes) -> None:
        match line:
            case b"keep":
                connection.append_bulk(line)
            case b"drop":
                connection.clear_bulk()
        connection.write(line.upper() + b"\n")


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def store(clock: Clock) -> Counting:
    return Counting(clock)


def worker(store: Counting, clock: Clock) -> App:
    app = App(store=store, session_ttl=TTL)
    app.add("shout", Shout())
    route = app._routes["shout"]
    assert isinstance(route, StatefulRoute)
    route._renewals = Renewals(renewal_period(TTL, None), clock)
    return app


@pytest.fixture
def app(store: Counting, clock: Clock) -> Iterator[App]:
    app = worker(store, clock)
    yield app
    app.close()


@pytest.fixture
def client(app: App, store: Counting) -> ConnectionDriver:
    """A client whose session was saved when it connected, and by its first event, after which this worker knows it."""
    driver = ConnectionDriver(app, "shout")
    driver.connect()
    assert driver.send(b"a\n") == b"A\n"
    assert store.saves == 2
    return driver


def test_events_that_change_nothing_save_nothing(client: ConnectionDriver, store: Counting) -> None:
    assert client.send(b"b\n", b"c\n", b"d\n") == b"B\nC\nD\n"
    assert store.saves == 2


@pytest.mark.parametrize("lines", [(b"par", b"tial\n"), (b"keep\n", b"drop\n")], ids=["state", "bulk data"])
def test_events_that_change_something_save_it(
    client: ConnectionDriver, store: Counting, lines: tuple[bytes, ...]
) -> None:
    client.send(*lines)
    assert store.saves == 4
    session = store.load(client.uuid)
    assert session is not None
    assert session.bulk_size == 0
    assert client.send(b"b\n") == b"B\n"


def test_a_session_lives_on_while_events_come(client: ConnectionDriver, store: Counting, clock: Clock) -> None:
    for _ in range(200):
        clock.now += TTL / 50
        assert client.send(b"b\n") == b"B\n"
    assert store.saves <= 2 + 200 / 50 / PART


def test_a_session_has_nearly_all_its_time_after_any_event(client: ConnectionDriver, clock: Clock) -> None:
    clock.now += 0.9 * PART * TTL
    client.send(b"b\n")
    clock.now += (1 - PART) * TTL
    assert client.send(b"b\n") == b"B\n"


def test_a_session_whose_time_is_over_is_none(client: ConnectionDriver, clock: Clock) -> None:
    clock.now += TTL
    assert client.send(b"b\n") == b"expired\n"


def test_a_worker_goes_by_its_own_saves_alone(client: ConnectionDriver, store: Counting, clock: Clock) -> None:
    """What another worker did is unknown to it: nothing tells how long a session has left."""
    other = worker(store, clock)
    client._app = other
    assert client.send(b"b\n", b"c\n") == b"B\nC\n"
    assert store.saves == 3
    other.close()


def test_what_is_remembered_is_bounded_and_the_oldest_is_forgotten(clock: Clock) -> None:
    renewals = Renewals(PART * TTL, clock)
    assert renewals.due("first")
    for number in range(MAX_KNOWN - 1):
        assert renewals.due(f"{number}")
    assert not renewals.due("first")
    assert renewals.due("one more")
    assert renewals.due("first")
