"""What `SessionStore` promises, held against every backend for real."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable

import pytest

from rr_tcp.errors import ConfigurationError, SessionDataError, SessionStoreError
from rr_tcp.sessions import BULK_PIECE, StoredSession
from tests.rr_tcp.stores.backends import Backend
from tests.rr_tcp.stores.remote import Remote, bulk_of, obey, write
from tests.support.waiting import wait_until

TTL = 600.0
EVERY_BYTE = bytes(range(256))


def test_a_working_store_passes_its_check(backend: Backend) -> None:
    backend.store.check()


def test_a_session_that_never_was_is_none(backend: Backend, key: str) -> None:
    assert backend.store.load(key) is None


def test_save_replaces_the_state(backend: Backend, key: str) -> None:
    backend.store.save(key, b"one", ttl=TTL)
    backend.store.save(key, b"two", ttl=TTL)
    assert backend.store.load(key) == StoredSession(b"two")


@pytest.mark.parametrize("state", [b"", EVERY_BYTE, b"\0", b"\r\n", os.urandom(200_000)], ids=len)
def test_a_state_is_any_bytes(backend: Backend, key: str, state: bytes) -> None:
    backend.store.save(key, state, ttl=TTL)
    assert backend.store.load(key) == StoredSession(state)


def test_one_call_replaces_the_state_and_appends_to_the_bulk_data(backend: Backend, key: str) -> None:
    store = backend.store
    store.save(key, b"one", ttl=TTL, append=EVERY_BYTE)
    store.save(key, b"two", ttl=TTL)
    store.save(key, b"three", ttl=TTL, append=b"\0\r\n.\r\n")
    assert store.load(key) == StoredSession(b"three", 256 + 6)
    assert store.read_bulk(key) == EVERY_BYTE + b"\0\r\n.\r\n"


def test_a_session_without_bulk_data_has_none_to_read(backend: Backend, key: str) -> None:
    backend.store.save(key, b"state", ttl=TTL)
    assert backend.store.read_bulk(key) == b""


def test_truncate_drops_the_older_bulk_data_before_appending(backend: Backend, key: str) -> None:
    store = backend.store
    for number in range(5):
        store.save(key, b"mail 1", ttl=TTL, append=b"old %d" % number)
    store.save(key, b"mail 2", ttl=TTL, append=b"new", truncate=True)
    assert store.load(key) == StoredSession(b"mail 2", 3)
    assert store.read_bulk(key) == b"new"
    store.save(key, b"mail 2", ttl=TTL, append=b"er")
    assert store.read_bulk(key) == b"newer"
    store.save(key, b"no mail", ttl=TTL, truncate=True)
    assert store.load(key) == StoredSession(b"no mail", 0)
    assert store.read_bulk(key) == b""


def test_truncate_of_a_session_that_never_was_is_a_plain_save(backend: Backend, key: str) -> None:
    backend.store.save(key, b"state", ttl=TTL, append=b"bulk", truncate=True)
    assert backend.store.load(key) == StoredSession(b"state", 4)


def test_end_leaves_a_tombstone_with_its_state_and_no_bulk_data(backend: Backend, key: str) -> None:
    """A late event after CLOSE finds the end of the session, never nothing and never a fresh one."""
    store = backend.store
    store.save(key, b"open", ttl=TTL, append=b"bulk")
    store.end(key, ttl=TTL, state=b"last")
    assert store.load(key) == StoredSession(b"last", 0, closed=True)
    assert store.read_bulk(key) == b""
    store.end(key, ttl=TTL)
    assert store.load(key) == StoredSession(b"", 0, closed=True)


def test_end_of_a_session_that_never_was_makes_a_tombstone(backend: Backend, key: str) -> None:
    backend.store.end(key, ttl=TTL)
    assert backend.store.load(key) == StoredSession(b"", 0, closed=True)


def test_save_over_a_tombstone_starts_without_bulk_data(backend: Backend, key: str) -> None:
    store = backend.store
    store.save(key, b"one", ttl=TTL, append=b"old")
    store.load(key)
    store.end(key, ttl=TTL)
    store.save(key, b"two", ttl=TTL, append=b"new")
    assert store.load(key) == StoredSession(b"two", 3)
    assert store.read_bulk(key) == b"new"


def test_delete_removes_session_and_tombstone_and_bears_neither(backend: Backend, key: str) -> None:
    store = backend.store
    store.delete(key)
    store.save(key, b"one", ttl=TTL, append=b"old")
    store.load(key)
    store.delete(key)
    assert store.load(key) is None
    store.save(key, b"two", ttl=TTL, append=b"new")
    assert store.read_bulk(key) == b"new"
    store.end(key, ttl=TTL)
    store.delete(key)
    assert store.load(key) is None


def test_sessions_do_not_mix(backend: Backend, key: str) -> None:
    """Not even where one key begins with the other."""
    store = backend.store
    longer = [f"{key}:0", f"{key}:1", f"{key}:bulk", f"{key}0"]
    for name in (key, *longer):
        for part in (b"1", b"2"):
            store.save(name, name.encode(), ttl=TTL, append=name.encode() + part)
    store.delete(key)
    for name in longer:
        assert store.load(name) == StoredSession(name.encode(), 2 * len(name) + 2)
        assert store.read_bulk(name) == f"{name}1{name}2".encode()


def test_saving_starts_the_time_to_live_anew_and_its_end_is_the_end(
    backend: Backend, new_key: Callable[[], str]
) -> None:
    store, ttl = backend.store, 2.0
    left, kept, ended = new_key(), new_key(), new_key()
    store.save(left, b"left", ttl=ttl, append=b"bulk")
    store.end(ended, ttl=ttl)
    start = time.monotonic()

    def left_is_over() -> bool:
        store.save(kept, b"kept", ttl=ttl, append=b".")
        return store.load(left) is None

    wait_until(left_is_over, timeout=2 * ttl)
    assert time.monotonic() - start > ttl - 0.1, "it was over before its time"
    with pytest.raises(SessionDataError):
        store.read_bulk(left)
    session = store.load(kept)
    assert session is not None
    assert store.read_bulk(kept) == b"." * session.bulk_size
    wait_until(lambda: store.load(ended) is None and store.load(kept) is None, timeout=2 * ttl)


def test_time_is_the_same_for_all_processes(backend: Backend, key: str) -> None:
    with Remote(backend, obey) as other:
        other.send(("save", (key, b"state"), {"ttl": 2.0}))
        assert other.receive() is None
        assert backend.store.load(key) == StoredSession(b"state")
        wait_until(lambda: backend.store.load(key) is None, timeout=4.0)
        other.send(("load", (key,), {}))
        assert other.receive() is None


def test_a_session_that_expires_while_its_event_is_handled_is_not_saved_without_its_beginning(
    backend: Backend, key: str
) -> None:
    """Saving a state that speaks of bulk data which is gone would deliver half a mail."""
    store = backend.store
    store.save(key, b"in DATA", ttl=TTL, append=b"first half, ")
    assert store.load(key) is not None
    backend.lapse(key)
    with pytest.raises(SessionStoreError, match="time of session"):
        store.save(key, b"in DATA", ttl=TTL, append=b"second half")


def test_a_session_that_expires_between_two_saves_of_its_event_is_not_saved_without_its_beginning(
    backend: Backend, key: str
) -> None:
    """An event with much bulk data sends it to the store on the way."""
    store = backend.store
    store.save(key, b"in DATA", ttl=TTL)
    assert store.load(key) is not None
    store.save(key, b"in DATA", ttl=TTL, append=b"first half, ")
    backend.lapse(key)
    with pytest.raises(SessionStoreError, match="time of session"):
        store.save(key, b"in DATA", ttl=TTL, append=b"second half")


def test_an_expired_session_that_nobody_loaded_starts_afresh(backend: Backend, key: str) -> None:
    store = backend.store
    store.save(key, b"one", ttl=TTL, append=b"old")
    backend.lapse(key)
    store.save(key, b"two", ttl=TTL, append=b"new")
    assert store.load(key) == StoredSession(b"two", 3)
    assert store.read_bulk(key) == b"new"


def test_a_session_goes_on_in_any_process(backend: Backend, key: str) -> None:
    """The next event of a connection usually lands on another worker."""
    with Remote(backend, obey) as one, Remote(backend, obey) as two:
        for number in range(20):
            worker = (one, two)[number % 2]
            worker.send(("load", (key,), {}))
            session = worker.receive()
            assert session == (StoredSession(b"%d" % (number - 1), number) if number else None)
            worker.send(("save", (key, b"%d" % number), {"ttl": TTL, "append": b"%d" % (number % 10)}))
            assert worker.receive() is None
    assert backend.store.read_bulk(key) == b"01234567890123456789"


def test_processes_work_on_different_keys_at_the_same_time(backend: Backend, new_key: Callable[[], str]) -> None:
    keys = [new_key() for _ in range(4)]
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(Remote(backend, write, name, 150)) for name in keys]
        for writer in writers:
            assert [writer.receive(), writer.receive()] == ["begun", "ended"]
    for name in keys:
        session = backend.store.load(name)
        assert session is not None
        assert session.state == b"[143, 150]"
        assert backend.store.read_bulk(name) == bulk_of(session.state)


def test_a_killed_writer_leaves_whole_events_only(backend: Backend, key: str) -> None:
    """The call in which it was killed has happened as a whole or not at all, and the next worker goes on from there."""
    store, delays = backend.store, random.Random(7)  # noqa: S311 - the same delays in every run

    def whole() -> bool:
        session = store.load(key)
        return (
            session is not None
            and len(bulk := store.read_bulk(key)) == session.bulk_size
            and bulk == bulk_of(session.state)
        )

    for _ in range(40):
        with Remote(backend, write, key) as writer:
            assert writer.receive() == "begun"
            writer.kill_after(delays.uniform(0, 0.02))
        # A server may still be busy with the last call of the dead; what is torn stays torn.
        wait_until(whole, timeout=2.0)
    session = store.load(key)
    assert session is not None
    events = bulk_of(session.state)
    assert int.from_bytes(events[-4:], "big") > 40 * 2, "the writers were killed before they wrote"


@pytest.mark.parametrize("damage", ["alter_state", "alter_format"])
def test_damaged_or_unknown_data_is_refused_and_can_be_ended(backend: Backend, key: str, damage: str) -> None:
    store = backend.store
    store.save(key, b"state", ttl=TTL, append=b"bulk")
    getattr(backend, damage)(key)
    with pytest.raises(SessionDataError, match=key):
        store.load(key)
    with pytest.raises(SessionDataError, match=key):
        store.read_bulk(key)
    store.end(key, ttl=TTL)
    assert store.load(key) == StoredSession(b"", 0, closed=True)


@pytest.mark.parametrize("data", [b"", b"\1", b"something else", b"\x81\xa1a\1" * 10], ids=len)
def test_what_something_else_wrote_is_refused_and_can_be_deleted(backend: Backend, key: str, data: bytes) -> None:
    store = backend.store
    backend.scribble(key, data)
    with pytest.raises(SessionDataError):
        store.load(key)
    with pytest.raises(SessionDataError):
        store.save(key, b"state", ttl=TTL, append=b"bulk")
    store.delete(key)
    assert store.load(key) is None


def test_lost_bulk_data_is_refused(backend: Backend, key: str) -> None:
    backend.store.save(key, b"state", ttl=TTL, append=b"bulk")
    backend.lose_bulk(key)
    with pytest.raises(SessionDataError, match="0 bytes, its state says 4"):
        backend.store.read_bulk(key)


@pytest.mark.parametrize("size", [10, 2 * BULK_PIECE])
def test_bulk_data_without_its_middle_is_refused_before_it_ends(backend: Backend, key: str, size: int) -> None:
    for _ in range(3):
        backend.store.save(key, b"state", ttl=TTL, append=bytes(size))
    backend.lose_middle(key)
    with pytest.raises(SessionDataError, match=f"its state says {3 * size}"):
        list(backend.store.iter_bulk(key))


def test_bulk_data_of_no_session_is_an_error(backend: Backend, key: str) -> None:
    """An empty answer would be delivered as an empty mail."""
    with pytest.raises(SessionDataError, match="no session"):
        backend.store.read_bulk(key)


@pytest.mark.parametrize("appended", [[1] * 1000, [BULK_PIECE, 1, BULK_PIECE - 1, 5], [0, 3, 0], []])
def test_bulk_data_is_read_in_bounded_pieces_none_of_them_empty(
    backend: Backend, key: str, appended: list[int]
) -> None:
    parts = [os.urandom(size) for size in appended]
    backend.store.save(key, b"state", ttl=TTL)
    for part in parts:
        backend.store.save(key, b"state", ttl=TTL, append=part)
    pieces = list(backend.store.iter_bulk(key))
    assert b"".join(pieces) == b"".join(parts)
    assert all(0 < len(piece) <= BULK_PIECE for piece in pieces)


def test_large_bulk_data_is_kept_whole(backend: Backend, key: str) -> None:
    piece, events = os.urandom(64 * 1024), 320
    for number in range(events):
        backend.store.load(key)
        backend.store.save(key, b"%d" % number, ttl=TTL, append=piece)
    assert backend.store.read_bulk(key) == piece * events
    backend.store.delete(key)


def test_the_cost_of_an_event_does_not_grow_with_the_bulk_data(backend: Backend, key: str) -> None:
    """What a store writes for one event is the event's, however much came before: else a body costs its square."""
    written = []
    for number in range(40):
        before = backend.bytes_written()
        backend.store.load(key)
        backend.store.save(key, b"%d" % (number + 100), ttl=TTL, append=bytes(64 * 1024))
        written.append(backend.bytes_written() - before)
    assert max(written[1:]) < 2 * 64 * 1024, written


@pytest.mark.parametrize("ttl", [-1.0, 0.0, 1.9, float("nan"), float("inf"), 1e10])
def test_a_time_to_live_that_some_backend_cannot_keep_is_refused(backend: Backend, key: str, ttl: float) -> None:
    with pytest.raises(ConfigurationError, match="time to live"):
        backend.store.save(key, b"state", ttl=ttl)
    with pytest.raises(ConfigurationError, match="time to live"):
        backend.store.end(key, ttl=ttl)
    assert backend.store.load(key) is None


@pytest.mark.parametrize("bad", ["", "  ", "a\0b", "x" * 201])
def test_a_key_that_some_backend_cannot_keep_is_refused(backend: Backend, bad: str) -> None:
    store = backend.store
    for call in (store.load, store.read_bulk, store.delete):
        with pytest.raises(SessionStoreError, match="cannot be a session's key"):
            call(bad)
    with pytest.raises(SessionStoreError, match="cannot be a session's key"):
        store.save(bad, b"state", ttl=TTL)
    with pytest.raises(SessionStoreError, match="cannot be a session's key"):
        store.end(bad, ttl=TTL)
