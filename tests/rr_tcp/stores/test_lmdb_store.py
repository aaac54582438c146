"""What is LMDB's own: files, fork, space, the sweep."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from rr_tcp.errors import SessionDataError, SessionStoreError
from rr_tcp.stores import lmdb_store, lmdb_sweep
from rr_tcp.stores.lmdb_keys import SESSION, session_key
from rr_tcp.stores.lmdb_store import LMDBStore
from tests.rr_tcp.stores.backends import Clock

TTL = 600.0
MAP_SIZE = 4 * 1024**2


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(memory_directory: Path, clock: Clock) -> Iterator[LMDBStore]:
    with contextlib.closing(LMDBStore(memory_directory / "sessions", clock=clock)) as opened:
        yield opened


def entries(store: LMDBStore) -> tuple[int, int]:
    """How many sessions and chunks there are."""
    with store._table.transaction() as txn:
        keys = [key for key, _ in txn.cursor()]
    sessions = sum(key.startswith(SESSION) for key in keys)
    return sessions, len(keys) - sessions


def test_directories_and_files_are_the_users_alone(memory_directory: Path) -> None:
    """They hold what clients sent."""
    directory = memory_directory / "parent" / "sessions"
    LMDBStore(directory).close()
    for path in (directory.parent, directory):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_file_grows_with_its_data(store: LMDBStore, memory_directory: Path) -> None:
    store.save("key", b"state", ttl=TTL)
    assert sum(path.stat().st_blocks for path in (memory_directory / "sessions").iterdir()) * 512 < 1_000_000


def test_sessions_outlive_the_store_object(memory_directory: Path) -> None:
    """A worker that ends and is replaced (max_jobs, reset) leaves its connections' sessions to the others."""
    with contextlib.closing(LMDBStore(memory_directory)) as store:
        store.save("key", b"state", ttl=TTL, append=b"bulk")
    with contextlib.closing(LMDBStore(memory_directory)) as store:
        assert store.read_bulk("key") == b"bulk"


def _use_in_child(store: LMDBStore, report: Callable[[object], None]) -> None:
    try:
        store.load("key")
    except SessionStoreError as error:
        report(str(error))
    else:
        report("loaded")
    store.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_store_is_refused_in_a_child(store: LMDBStore) -> None:
    """LMDB's locks do not survive a fork: using them there damages the parent's."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_use_in_child, args=(store, theirs.send))
    child.start()
    assert ours.poll(30)
    assert "before a fork" in ours.recv()
    child.join()
    store.check()


def fill(save: Callable[[int], None]) -> int:
    """Saves until the store is full; says how often that went well."""
    for number in itertools.count():
        try:
            save(number)
        except SessionStoreError as error:
            if "is full" not in str(error):
                raise
            return number
    raise AssertionError


def test_a_full_store_is_an_error_of_one_call_and_works_again_once_a_session_is_gone(memory_directory: Path) -> None:
    with contextlib.closing(LMDBStore(memory_directory, map_size=MAP_SIZE)) as store:
        store.save("other", b"state", ttl=TTL, append=b"bulk")
        saved = fill(lambda number: store.save("key", b"%d" % number, ttl=TTL, append=os.urandom(65536)))
        assert saved * 65536 > 0.8 * MAP_SIZE
        session = store.load("key")
        assert session is not None
        assert (session.state, session.bulk_size) == (b"%d" % (saved - 1), saved * 65536)
        assert len(store.read_bulk("key")) == session.bulk_size
        store.end("key", ttl=TTL)
        store.save("next", b"state", ttl=TTL, append=b"bulk")
        assert store.read_bulk("other") == store.read_bulk("next") == b"bulk"


@pytest.mark.parametrize("sizes", [(100, 0), (100, 65536), (5000, 50)], ids=["small", "large", "mixed"])
def test_a_full_store_makes_room_by_itself_once_sessions_are_over(
    memory_directory: Path, clock: Clock, sizes: tuple[int, int]
) -> None:
    """Removing takes pages too: a store that could be filled to the last one would stay full for ever."""
    state, bulk = map(os.urandom, sizes)
    with contextlib.closing(LMDBStore(memory_directory, map_size=MAP_SIZE, clock=clock)) as store:
        saved = fill(lambda number: store.save(f"one {number}", state, ttl=TTL, append=bulk))
        clock.ahead = 2 * TTL
        assert fill(lambda number: store.save(f"two {number}", state, ttl=TTL, append=bulk)) > 0.9 * saved


def test_a_small_file_system_is_full_before_its_last_block(
    memory_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=250, f_frsize=4096))
    with contextlib.closing(LMDBStore(memory_directory)) as store:
        saved = fill(lambda number: store.save(f"key {number}", b"", ttl=TTL, append=bytes(8_000)))
        assert 0.7 < saved * 8_000 / (250 * 4096) < 0.9


def test_what_is_no_lmdb_file_is_refused(memory_directory: Path) -> None:
    (memory_directory / "data.mdb").write_bytes(os.urandom(65536))
    with pytest.raises(SessionStoreError, match="cannot be opened"):
        LMDBStore(memory_directory)


def test_expired_sessions_do_not_pile_up(store: LMDBStore, clock: Clock) -> None:
    """Clients that vanish leave sessions that nobody ends; nothing but later saves has to remove them."""
    for number in range(3000):
        clock.ahead += 10.0
        store.save(f"key {number}", b"state", ttl=TTL, append=b"bulk")
    sessions, chunks = entries(store)
    assert sessions <= TTL / 10 + 2 * lmdb_store.SWEEP_EVERY
    assert chunks == sessions


def test_ended_sessions_do_not_pile_up(store: LMDBStore, clock: Clock) -> None:
    for number in range(1000):
        clock.ahead += 10.0
        store.end(f"key {number}", ttl=60.0)
    assert entries(store)[0] <= 6 + 2 * lmdb_store.SWEEP_EVERY


def test_a_sweep_leaves_what_is_alive_and_ends_with_nothing_else(store: LMDBStore, clock: Clock) -> None:
    for number in range(2 * lmdb_sweep.SWEEP_RECORDS):
        store.save(f"key {number}", b"state", ttl=TTL if number % 100 else 2 * TTL, append=b"bulk")
    clock.ahead = 1.5 * TTL
    alive = 2 * lmdb_sweep.SWEEP_RECORDS // 100 + 1
    for _ in range(4):
        store.sweep()
    assert entries(store) == (alive, alive)
    assert store.sweep() == 0
    clock.ahead = 3 * TTL
    store.sweep()
    assert entries(store) == (0, 0)
    assert store.sweep() == 0


def test_a_sweep_removes_large_bulk_data_in_pieces(
    store: LMDBStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep is part of somebody's event, which must not wait for the removal of another one's thousand chunks."""
    monkeypatch.setattr(lmdb_sweep, "SWEEP_REMOVALS", 100)
    monkeypatch.setattr(lmdb_sweep, "SWEEP_PIECE", 50)
    for _ in range(250):
        store.save("large", b"state", ttl=TTL, append=b"bulk")
    clock.ahead = 2 * TTL
    left = []
    for _ in range(3):
        store.sweep()
        left.append(entries(store))
        assert store.load("large") is None
    assert left == [(1, 150), (1, 50), (0, 0)]


def test_a_sweep_bears_records_that_nobody_can_read(store: LMDBStore, clock: Clock) -> None:
    """Those of a newer version are its own to remove while they live; what is too short to have an expiry goes."""
    with store._table.transaction(write=True) as txn:
        txn.put(session_key("short"), b"\1")
    store.save("newer", b"state", ttl=TTL)
    with store._table.transaction(write=True) as txn:
        data = txn.get(session_key("newer"))
        assert data is not None
        txn.put(session_key("newer"), b"\2" + data[1:] + b"more")
    assert store.sweep() == 1
    with pytest.raises(SessionDataError, match="format 2"):
        store.load("newer")
    clock.ahead = 2 * TTL
    assert store.sweep() == 1
    assert entries(store) == (0, 0)


def test_a_refused_save_changes_nothing(store: LMDBStore) -> None:
    store.save("key", b"state", ttl=TTL, append=b"bulk")
    with store._table.transaction(write=True) as txn:
        txn.put(session_key("key"), b"damage")
    with pytest.raises(SessionDataError):
        store.save("key", b"new", ttl=TTL, truncate=True)
    assert entries(store) == (1, 1)


def test_a_closed_store_is_an_error(memory_directory: Path) -> None:
    store = LMDBStore(memory_directory)
    store.close()
    with pytest.raises(SessionStoreError):
        store.load("key")


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
def test_a_directory_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever can write it may read and forge every session."""
    directory = tmp_path / "sessions"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(SessionStoreError, match="nobody else's to write"):
        LMDBStore(directory)


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(SessionStoreError, match="must be yours"):
        LMDBStore(tmp_path)
