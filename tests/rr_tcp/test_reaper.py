"""What the reaper closes, what it removes, and what it leaves alone."""

from __future__ import annotations

import pytest

from rr_tcp import ConfigurationError, ConnectionLimits
from rr_tcp.errors import RPCTransportError, SessionDataError
from rr_tcp.reaper import Reaper, Round
from rr_tcp.sessions import SCAN_COUNT, StoredSession
from rr_tcp.stateful import TOMBSTONE_TTL
from rr_tcp.testing import MemorySessionStore
from tests.support.clock import Clock

TTL, IDLE, AGE, GRACE = 3600.0, 300.0, 86400.0, 30.0
LATE = 0.1 * IDLE
"""Seconds by which a connection may be active without a save."""


class Connections:
    """Those that are open, and what RoadRunner makes of an order to close one."""

    def __init__(self, store: MemorySessionStore) -> None:
        self.store = store
        self.open: set[str] = set()
        self.told: list[str] = []
        self.reachable = True

    def close(self, uuid: str) -> None:
        if not self.reachable:
            raise RPCTransportError("nobody there")
        self.told.append(uuid)
        if uuid in self.open:
            self.open.remove(uuid)
            self.store.end(uuid, ttl=TOMBSTONE_TTL)


class World:
    """A store, its connections, and a reaper."""

    def __init__(self) -> None:
        self.clock = Clock(10_000.0)
        self.store = MemorySessionStore(self.clock)
        self.connections = Connections(self.store)
        self.reaper = self.new_reaper()

    def new_reaper(self, limits: ConnectionLimits | None = None) -> Reaper:
        limits = limits or ConnectionLimits(idle=IDLE, age=AGE)
        return Reaper(self.store, {"smtp": limits}, self.connections, ttl=TTL, grace=GRACE, clock=self.clock)

    def connect(self, *uuids: str, server: str = "smtp") -> None:
        for uuid in uuids:
            self.connections.open.add(uuid)
            self.store.save(uuid, b"state", ttl=TTL, server=server)

    def use(self, uuid: str) -> None:
        self.store.save(uuid, b"state", ttl=TTL)


@pytest.fixture
def world() -> World:
    return World()


def test_a_connection_within_its_limits_is_left_alone(world: World) -> None:
    world.connect("a")
    world.clock.now += IDLE
    assert world.reaper.look() == Round(open=1)
    assert world.connections.open == {"a"}


def test_an_idle_connection_is_closed_and_its_session_gone(world: World) -> None:
    world.connect("a", "b")
    world.clock.now += IDLE
    world.use("b")
    world.clock.now += LATE + 1
    assert world.reaper.look() == Round(open=1, closed=1, removed=1)
    assert world.connections.open == {"b"}
    assert world.store.load("a") is None, "not even a tombstone"


def test_a_save_may_be_a_tenth_of_the_limit_old_while_events_come(world: World) -> None:
    """Not every event is saved (`rr_tcp.renewals`); nobody is closed for that."""
    world.connect("a")
    world.clock.now += IDLE + LATE
    assert world.reaper.look() == Round(open=1)


def test_an_old_connection_is_closed_however_busy(world: World) -> None:
    world.connect("a")
    for _ in range(int(AGE / 60)):
        world.clock.now += 60
        world.use("a")
        assert world.reaper.look() == Round(open=1)
    world.clock.now += 1
    world.use("a")
    assert world.reaper.look() == Round(closed=1, removed=1)


def test_without_a_limit_nothing_is_too_much(world: World) -> None:
    world.connect("a")
    reaper = world.new_reaper(ConnectionLimits())
    world.clock.now += TTL - 1
    assert reaper.look() == Round(open=1)


def test_a_session_whose_connection_is_gone_is_removed_after_the_grace(world: World) -> None:
    """Its worker died: no CLOSE ever came, and none will."""
    world.connect("a")
    world.connections.open.clear()
    world.clock.now += IDLE + LATE + 1
    assert world.reaper.look() == Round(closed=1)
    world.clock.now += GRACE
    assert world.reaper.look() == Round(closed=1)
    assert world.store.load("a") is not None
    world.clock.now += 1
    assert world.reaper.look() == Round(closed=1, removed=1)
    assert world.store.load("a") is None
    assert world.reaper.look() == Round()


def test_a_connection_whose_session_vanished_is_closed(world: World) -> None:
    world.connect("a", "b")
    assert world.reaper.look() == Round(open=2)
    world.store.delete("a")
    assert world.reaper.look() == Round(open=1, lost=1)
    assert world.connections.open == {"b"}


def test_a_connection_whose_session_expired_is_closed(world: World) -> None:
    world.connect("a")
    reaper = world.new_reaper(ConnectionLimits())
    assert reaper.look() == Round(open=1)
    world.clock.now += TTL
    assert reaper.look() == Round(lost=1)
    assert not world.connections.open


def test_a_connection_that_ended_by_itself_is_not_closed_again(world: World) -> None:
    """The rest of a line may still be under way from a client that closed its side only."""
    world.connect("a")
    assert world.reaper.look() == Round(open=1)
    world.store.end("a", ttl=TOMBSTONE_TTL, state=b"late")
    assert world.reaper.look() == Round()
    assert world.connections.told == []
    assert world.store.load("a") == StoredSession(b"late", closed=True)


def test_sessions_of_other_servers_are_none_of_its_business(world: World) -> None:
    world.connect("a", server="echo")
    world.clock.now += IDLE + LATE + 1
    assert world.reaper.look() == Round()
    assert world.connections.open == {"a"}


def test_a_session_of_another_host_that_speaks_again_is_not_removed(world: World) -> None:
    """Two servers share the store: this one's order to close the other's connection does nothing."""
    world.connect("a")
    world.connections.open.clear()
    world.clock.now += IDLE + LATE + 1
    assert world.reaper.look() == Round(closed=1)
    world.use("a")
    world.clock.now += GRACE + 1
    assert world.reaper.look() == Round(open=1)
    assert world.store.load("a") is not None


def test_what_fails_is_done_by_the_next_round(world: World) -> None:
    world.connect("a")
    world.clock.now += IDLE + LATE + 1
    world.connections.reachable = False
    with pytest.raises(RPCTransportError):
        world.reaper.look()
    world.connections.reachable = True
    assert world.reaper.look() == Round(closed=1, removed=1)


def test_a_reaper_that_was_started_again_goes_on(world: World) -> None:
    world.connect("a", "b")
    world.connections.open.remove("b")
    world.clock.now += IDLE + LATE + 1
    world.new_reaper().look()
    reaper = world.new_reaper()
    reaper.look()
    world.clock.now += GRACE + 1
    reaper.look()
    assert world.store.scan().sessions == []


def test_a_damaged_session_goes_with_its_connection(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(_key: str) -> StoredSession | None:
        raise SessionDataError("damaged")

    world.connect("a")
    assert world.reaper.look() == Round(open=1)
    monkeypatch.setattr(world.store, "load", damaged)
    monkeypatch.setattr(world.store, "scan", lambda cursor: MemorySessionStore().scan(cursor))
    assert world.reaper.look() == Round(lost=1)
    assert world.store._entries.keys() <= {"a"}, "the tombstone of its CLOSE at most"
    assert not world.connections.open


def test_a_round_goes_over_all_pages_and_may_be_ended_between_two(world: World) -> None:
    world.connect(*(f"{number:06}" for number in range(2 * SCAN_COUNT + 1)))
    pages = list[None]()
    assert world.reaper.look(lambda: pages.append(None)) == Round(open=2 * SCAN_COUNT + 1)
    assert len(pages) == 3


@pytest.mark.parametrize("limits", [{"idle": 0.5}, {"age": 0.0}, {"idle": 1e9}, {"idle": float("nan")}])
def test_limits_that_make_no_sense_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=f"a connection's {next(iter(limits))} limit"):
        ConnectionLimits(**limits)
