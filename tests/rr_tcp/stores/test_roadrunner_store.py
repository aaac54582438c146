"""What is RoadRunner KV's own: the number and order of its calls, the chunks' life, the server's restart."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rr_tcp.errors import RPCTransportError, ScanUnsupportedError, SessionDataError, SessionStoreError
from rr_tcp.plugins.kv import KV
from rr_tcp.rpc import RPC
from rr_tcp.sessions import StoredSession
from rr_tcp.stores import open_store
from rr_tcp.stores.roadrunner_store import BATCH, RoadRunnerStore
from rr_tcp.testing import free_ports
from tests.rr_tcp.stores.backends import Clock
from tests.support.servers import running_roadrunner
from tests.support.waiting import wait_until

TTL = 600.0


class RecordingRPC(RPC):
    """Keeps the names of the calls; ends the line after as many as the test allows, as a kill of the worker does."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.methods: list[str] = []
        self.allowed: int | None = None

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if len(self.methods) == self.allowed:
            raise RPCTransportError("the worker was killed here")
        self.methods.append(method)
        return super().call(method, *args, **kwargs)

    def during(self) -> list[str]:
        """The calls since the last time."""
        methods, self.methods = self.methods, []
        return methods


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rpc(rpc_address: str) -> Iterator[RecordingRPC]:
    with contextlib.closing(RecordingRPC(rpc_address)) as client:
        yield client


@pytest.fixture
def kv(rpc_address: str) -> Iterator[KV]:
    with contextlib.closing(RPC(rpc_address)) as client:
        yield KV(client, "sessions")


@pytest.fixture
def store(rpc_address: str, rpc: RecordingRPC, clock: Clock) -> RoadRunnerStore:
    opened = RoadRunnerStore("sessions", rpc_address, clock=clock)
    opened._rpc, opened._kv = rpc, KV(rpc, "sessions", clock=clock)
    return opened


def names(key: str, chunks: int = 10) -> list[str]:
    """All keys that the session may have, its record's first."""
    return [f"rr-tcp:{key}", *(f"rr-tcp.bulk.{index}:{key}" for index in range(chunks))]


def test_an_event_is_one_call_each_way(store: RoadRunnerStore, rpc: RecordingRPC, key: str) -> None:
    store.save(key, b"state", ttl=TTL)
    assert rpc.during() == ["kv.MGet", "kv.Set"], "what was not loaded is read before it is appended to"
    for _ in range(3):
        store.load(key)
        store.save(key, b"state", ttl=TTL, append=b"bulk")
        assert rpc.during() == ["kv.MGet", "kv.Set"]
    store.load(key)
    store.save(key, b"state", ttl=TTL, truncate=True)
    assert rpc.during() == ["kv.MGet", "kv.Set", "kv.Delete"]
    store.load(key)
    store.end(key, ttl=TTL)
    assert rpc.during() == ["kv.MGet", "kv.Set"]


def test_what_was_loaded_is_trusted_for_one_save_only(store: RoadRunnerStore, rpc_address: str, key: str) -> None:
    """Another worker may have handled the events since then."""
    store.save(key, b"1", ttl=TTL, append=b"1")
    store.load(key)
    store.save(key, b"2", ttl=TTL, append=b"2")
    with contextlib.closing(open_store("rrkv://sessions", rpc_address=rpc_address)) as other:
        other.save(key, b"3", ttl=TTL, append=b"3")
    store.save(key, b"4", ttl=TTL, append=b"4")
    assert store.read_bulk(key) == b"1234"


def test_what_was_loaded_is_not_trusted_after_a_load_that_failed(
    store: RoadRunnerStore, rpc: RecordingRPC, kv: KV, rpc_address: str, key: str
) -> None:
    """Then the session is ended; what other workers appended must go as well."""
    store.save(key, b"1", ttl=TTL)
    store.load(key)  # for an event that changes nothing
    with contextlib.closing(open_store("rrkv://sessions", rpc_address=rpc_address)) as other:
        other.save(key, b"2", ttl=TTL, append=b"2")
    rpc.allowed = len(rpc.methods)
    with pytest.raises(SessionStoreError):
        store.load(key)
    rpc.allowed = None
    store.end(key, ttl=TTL)
    assert kv.has(names(key)) == {f"rr-tcp:{key}"}


def test_nothing_is_left_of_an_ended_or_deleted_session(store: RoadRunnerStore, kv: KV, key: str) -> None:
    for _ in range(5):
        store.save(key, b"state", ttl=TTL, append=b"bulk")
    store.save(key, b"state", ttl=TTL, append=b"bulk", truncate=True)
    assert kv.has(names(key)) == {f"rr-tcp:{key}", f"rr-tcp.bulk.5:{key}"}
    store.end(key, ttl=TTL)
    assert kv.has(names(key)) == {f"rr-tcp:{key}"}
    store.save(key, b"state", ttl=TTL, append=b"bulk")
    store.delete(key)
    assert kv.has(names(key)) == set()


def test_many_chunks_take_several_calls(store: RoadRunnerStore, rpc: RecordingRPC, kv: KV, key: str) -> None:
    chunks = 2 * BATCH + 1
    for number in range(chunks):
        store.load(key)
        store.save(key, b"state", ttl=TTL, append=b"%d," % number)
    rpc.during()
    assert store.read_bulk(key) == b"".join(b"%d," % number for number in range(chunks))
    assert rpc.during() == ["kv.MGet"] * 4
    store.delete(key)
    assert kv.has(names(key, chunks)) == set()


def test_chunks_outlive_their_session_by_being_set_again_now_and_then(
    store: RoadRunnerStore, rpc: RecordingRPC, clock: Clock, key: str
) -> None:
    store.save(key, b"state", ttl=TTL, append=b"first,")
    renewals = 0
    for _ in range(60):
        clock.ahead += TTL / 10
        rpc.during()
        store.load(key)
        store.save(key, b"state", ttl=TTL, append=b".")
        renewals += rpc.during().count("kv.Set") - 1
    assert 4 <= renewals <= 6, "six times the session's time to live went by"
    assert store.read_bulk(key) == b"first," + b"." * 60


def test_chunks_are_there_until_the_session_is_over_and_then_go(rpc_address: str, kv: KV, key: str) -> None:
    """By the server's clock: a session that is saved again and again keeps its first chunk beyond that one's life."""
    with contextlib.closing(open_store("rrkv://sessions", rpc_address=rpc_address)) as store:
        store.save(key, b"0", ttl=2.0, append=b"first,")
        probe = f"{key} probe"
        kv.set_many({probe: b""}, 6.0)

        def probe_is_over() -> bool:
            assert store.load(key) is not None
            store.save(key, b"1", ttl=2.0)
            assert store.read_bulk(key) == b"first,"
            return not kv.has([probe])

        wait_until(probe_is_over)
        wait_until(lambda: not kv.has(names(key)), timeout=10.0)
        assert store.load(key) is None


def test_a_longer_time_to_live_renews_chunks_of_a_shorter_one(
    store: RoadRunnerStore, rpc: RecordingRPC, key: str
) -> None:
    store.save(key, b"state", ttl=2.0, append=b"bulk")
    store.load(key)
    rpc.during()
    store.save(key, b"state", ttl=TTL)
    assert rpc.during() == ["kv.MGet", "kv.Set", "kv.Set"]


def test_lost_chunks_are_found_when_they_are_renewed(store: RoadRunnerStore, clock: Clock, kv: KV, key: str) -> None:
    store.save(key, b"state", ttl=TTL, append=b"bulk")
    clock.ahead += 0.9 * TTL
    store.save(key, b"state", ttl=TTL)
    kv.delete([f"rr-tcp.bulk.0:{key}"])
    clock.ahead += 0.9 * TTL
    with pytest.raises(SessionDataError, match="0 bytes, its state says 4"):
        store.save(key, b"state", ttl=TTL)


@pytest.mark.parametrize("allowed", range(6))
def test_a_kill_between_two_calls_leaves_the_session_before_or_after(
    store: RoadRunnerStore, rpc: RecordingRPC, clock: Clock, key: str, allowed: int
) -> None:
    """Each of the calls with more than one step, ended after every step."""
    before = StoredSession(b"before", 10)

    def prepare() -> None:
        rpc.allowed = None
        store.delete(key)
        for number in range(5):
            store.save(key, b"before", ttl=TTL, append=b"%d," % number)
        clock.ahead += 0.1 * TTL
        store.save(key, b"before", ttl=2 * TTL)  # a save that must renew
        rpc.during()
        rpc.allowed = allowed

    def found() -> tuple[StoredSession | None, bytes]:
        rpc.allowed = None
        session = store.load(key)
        return session, store.read_bulk(key) if session else b""

    prepare()
    with contextlib.suppress(SessionStoreError):
        store.save(key, b"after", ttl=20 * TTL, append=b"5,")
    assert found() in [(before, b"0,1,2,3,4,"), (StoredSession(b"after", 12), b"0,1,2,3,4,5,")]

    prepare()
    with contextlib.suppress(SessionStoreError):
        store.save(key, b"after", ttl=TTL, append=b"new", truncate=True)
    assert found() in [(before, b"0,1,2,3,4,"), (StoredSession(b"after", 3), b"new")]

    prepare()
    with contextlib.suppress(SessionStoreError):
        store.end(key, ttl=TTL, state=b"after")
    assert found() in [(before, b"0,1,2,3,4,"), (StoredSession(b"after", 0, closed=True), b"")]

    prepare()
    with contextlib.suppress(SessionStoreError):
        store.delete(key)
    assert found() in [(before, b"0,1,2,3,4,"), (None, b"")]


def test_no_server_is_an_error_that_says_what_to_look_at(key: str) -> None:
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    with contextlib.closing(open_store("rrkv://sessions", rpc_address=address)) as store:
        with pytest.raises(SessionStoreError, match=r"rpc\.listen"):
            store.check()
        with pytest.raises(SessionStoreError, match=r"rpc\.listen"):
            store.load(key)


def test_an_unknown_storage_is_an_error_that_says_what_to_configure(rpc_address: str) -> None:
    with (
        contextlib.closing(open_store("rrkv://nowhere", rpc_address=rpc_address)) as store,
        pytest.raises(SessionStoreError, match=r"no such storage: nowhere.*`nowhere: \{driver: memory"),
    ):
        store.check()


def test_the_store_works_again_when_the_server_does(tmp_path: Path, key: str) -> None:
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    with contextlib.closing(open_store("rrkv://sessions", rpc_address=address)) as store:
        with running_roadrunner(tmp_path, address):
            store.save(key, b"state", ttl=TTL)
        with pytest.raises(SessionStoreError):
            store.load(key)
        with running_roadrunner(tmp_path, address):
            assert store.load(key) is None
            store.save(key, b"new", ttl=TTL)
            assert store.load(key) == StoredSession(b"new")


def test_that_it_cannot_list_its_sessions_is_said(rpc_address: str) -> None:
    with (
        contextlib.closing(RoadRunnerStore("sessions", rpc_address)) as store,
        pytest.raises(ScanUnsupportedError, match="use SESSION_STORE=lmdb://"),
    ):
        store.scan()
