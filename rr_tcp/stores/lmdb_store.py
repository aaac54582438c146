"""Sessions in LMDB: embedded, shared by all processes of a host, microseconds per call.

Two tables in one memory-mapped file: `sessions` (key -> record) and `bulk` (key, NUL, big-endian index -> chunk). Every
call is one transaction, so a process that is killed in the middle of it has done all of it or nothing.

Nothing is synced to the disk: sessions end with their connections, which do not outlive the machine. Put the file on a
memory file system (/dev/shm). The map is written through the file descriptor (`writemap` off): a full file system is
then an error of one call, not a SIGBUS that kills the process.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

import lmdb

from rr_tcp.errors import SessionStoreError
from rr_tcp.sessions import StoredSession, check_ttl
from rr_tcp.stores.record import (
    Record,
    SeenBulk,
    check_key,
    check_store,
    decode_record,
    encode_record,
    expiry_of,
    no_session,
    wrong_bulk,
)

MAP_SIZE: Final = 4 * 1024**3
"""Bytes that all sessions may take together. Address space, not memory: the file grows with its data."""

MAX_READERS: Final = 1024
"""Processes and threads that may read at the same time; RoadRunner's pools have at most 500 workers."""

SWEEP_EVERY: Final = 256
"""Writing calls of a process between two sweeps."""

SWEEP_RECORDS: Final = 1024
"""Sessions that a sweep looks at. More than `SWEEP_EVERY`, so that sweeping outruns writing."""

SWEEP_REMOVALS: Final = 4096
"""Chunks and records that a sweep removes at most: it delays an event by milliseconds, and the next one goes on."""

SWEEP_PIECE: Final = 256
"""Chunks and records that one transaction of a sweep removes; other processes write in between."""

USABLE: Final = 0.9
"""Part of the space that sessions may take. LMDB copies the pages that it changes: without the rest, a full store could
not even be emptied."""

_BLOCK: Final = 512
"""Bytes in the unit of `st_blocks`."""

_CHUNK_INDEX: Final = struct.Struct(">I")


class _FullError(SessionStoreError):
    """No room for what the call writes; nothing of it is written."""


class _Transaction:
    """One transaction; what LMDB and the file system raise in it becomes the store's errors.

    Two of them stand around every event: a class, because a generator would cost several times as much.
    """

    __slots__ = ("_failed", "_txn")

    def __init__(self, txn: lmdb.Transaction[bytes], failed: Callable[[BaseException], SessionStoreError]) -> None:
        self._txn = txn
        self._failed = failed

    def __enter__(self) -> lmdb.Transaction[bytes]:
        return self._txn.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._txn.__exit__(kind, error, traceback)  # commits, or aborts when the block raised
        except (lmdb.Error, OSError) as failure:
            raise self._failed(failure) from failure
        if isinstance(error, lmdb.Error | OSError):
            raise self._failed(error) from error


class LMDBStore:
    """A `SessionStore` in a directory.

    An object belongs to the process that opened it: LMDB's locks do not survive a fork, so a child is refused.

    Args:
        directory: made with mode 0700, missing parents too. All processes that share it share the sessions.
        map_size: bytes that the data may take.
        clock: seconds since the epoch, the same for all processes.
    """

    def __init__(self, directory: Path, *, map_size: int = MAP_SIZE, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._map_size = map_size
        self._clock = clock
        self._pid = os.getpid()
        self._seen = SeenBulk()
        self._writes = 0
        # The last record that was read: an event's `save` finds what its `load` decoded.
        self._decoded_data: bytes | None = None
        self._decoded = Record(b""), 0.0
        self._sweep_from = b""
        try:
            for path in (*reversed(directory.parents), directory):
                path.mkdir(mode=0o700, exist_ok=True)
            _check_private(directory)
            self._env = lmdb.open(
                str(directory),
                map_size=map_size,
                max_dbs=2,
                max_readers=MAX_READERS,
                max_spare_txns=1,
                mode=0o600,
                sync=False,
                metasync=False,
                readahead=False,
            )
            self._sessions = self._env.open_db(b"sessions")
            self._bulk = self._env.open_db(b"bulk")
            self._env.reader_check()
            self._page_size = self._env.stat()["psize"]
            self._limit = self._room()
        except (lmdb.Error, OSError) as error:
            raise SessionStoreError(
                f"the session store {directory} cannot be opened: {error}. Check that the directory can be written; "
                "after a crash of the machine remove it, sessions do not outlive their connections"
            ) from error

    def check(self) -> None:
        """`SessionStoreError` unless sessions can be written and read now."""
        check_store(self)

    def load(self, key: str) -> StoredSession | None:
        """See `SessionStore.load`."""
        check_key(key)
        with self._transaction() as txn:
            record = self._live(txn, key)
        self._seen.loaded(key, record.bulk_size if record else 0)
        return StoredSession(record.state, record.bulk_size, record.closed) if record else None

    def save(self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False) -> None:
        """See `SessionStore.save`."""
        check_key(key)
        check_ttl(ttl)

        def replace(txn: lmdb.Transaction[bytes]) -> None:
            record = self._live(txn, key)
            if record is None or truncate:
                if not truncate:
                    self._seen.check(key, 0)
                self._drop_bulk(txn, key.encode())
                record = Record(b"")
            growth = len(append) + len(state) - len(record.state)
            if growth > 0:
                self._check_room(txn, growth)
            size, index = record.bulk_size + len(append), record.next_chunk
            if append:
                txn.put(_chunk_key(key.encode(), index), append, db=self._bulk)
                index += 1
            self._put(txn, key, Record(state, size, 0, index), ttl)

        self._write(replace)
        self._seen.forget()

    def read_bulk(self, key: str) -> bytes:
        """See `SessionStore.read_bulk`."""
        check_key(key)
        with self._transaction() as txn:
            record = self._live(txn, key)
            if record is None:
                raise no_session(key)
            keys = (_chunk_key(key.encode(), index) for index in range(record.next_chunk))
            chunks = [txn.get(chunk_key, b"", db=self._bulk) for chunk_key in keys]
        data = b"".join(chunks)
        if len(data) != record.bulk_size:
            raise wrong_bulk(key, len(data), record.bulk_size)
        return data

    def end(self, key: str, *, ttl: float, state: bytes = b"") -> None:
        """See `SessionStore.end`. What was stored is not read, so a damaged session can be ended too."""
        check_key(key)
        check_ttl(ttl)

        def bury(txn: lmdb.Transaction[bytes]) -> None:
            self._drop_bulk(txn, key.encode())
            self._put(txn, key, Record(state, closed=True), ttl)

        self._write(bury)
        self._seen.forget()

    def delete(self, key: str) -> None:
        """See `SessionStore.delete`. A damaged session can be deleted too."""
        check_key(key)
        with self._transaction(write=True) as txn:
            self._drop_bulk(txn, key.encode())
            txn.delete(key.encode(), db=self._sessions)
        self._seen.forget()

    def sweep(self) -> int:
        """Removes some of the sessions whose time is over, and readers whose process is gone.

        Saving does this now and then by itself; call it where nothing saves any more.

        Returns:
            How many sessions were removed; 0 does not mean that none is left, a sweep looks at some only.
        """
        with self._errors():
            self._env.reader_check()
            self._limit = self._room()
        expired = self._expired()
        removed, budget = 0, SWEEP_REMOVALS
        while removed < len(expired) and budget > 0:
            removed += self._remove_some(expired[removed:], SWEEP_PIECE)
            budget -= SWEEP_PIECE
        if removed < len(expired):
            self._sweep_from = expired[removed]
        return removed

    def close(self) -> None:
        """See `SessionStore.close`."""
        if os.getpid() == self._pid:
            self._env.close()

    def _write(self, change: Callable[[lmdb.Transaction[bytes]], None]) -> None:
        """Makes a change in one transaction; in a full store once more, if a sweep found something to remove."""
        self._writes += 1
        if self._writes % SWEEP_EVERY == 0:
            self.sweep()
        try:
            with self._transaction(write=True) as txn:
                change(txn)
        except _FullError:
            if not self.sweep():
                raise
            with self._transaction(write=True) as txn:
                change(txn)

    def _transaction(self, *, write: bool = False) -> _Transaction:
        if os.getpid() != self._pid:
            raise SessionStoreError(
                f"the session store {self._directory} was opened before a fork: open it in the process that uses it"
            )
        try:
            return _Transaction(self._env.begin(write=write), self._failed)
        except lmdb.Error as error:
            raise self._failed(error) from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Makes what LMDB and the file system raise into the store's errors."""
        try:
            yield
        except (lmdb.Error, OSError) as error:
            raise self._failed(error) from error

    def _failed(self, error: BaseException) -> SessionStoreError:
        if isinstance(error, lmdb.MapFullError | lmdb.DiskError):
            return self._full(str(error))
        return SessionStoreError(
            f"the session store {self._directory} failed: {error}. Check the space on its file system"
        )

    def _full(self, why: str) -> _FullError:
        return _FullError(
            f"the session store {self._directory} is full: {why}. Give it more space (/dev/shm has 64 MB in a "
            "container unless shm_size says more), or lower the number of clients, the size of what they may send, or "
            "the sessions' time to live"
        )

    def _room(self) -> int:
        """Bytes that sessions may take: of the map, or of the file system if that has less."""
        file_system, file = os.statvfs(self._directory), (self._directory / "data.mdb").stat()
        available = file_system.f_bavail * file_system.f_frsize + file.st_blocks * _BLOCK
        return int(min(self._map_size, available) * USABLE)

    def _check_room(self, txn: lmdb.Transaction[bytes], more: int) -> None:
        pages = 0
        for table in (self._sessions, self._bulk):
            stat = txn.stat(table)
            pages += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        if pages * self._page_size + more > self._limit:
            raise self._full(f"sessions may take {self._limit} bytes")

    def _live(self, txn: lmdb.Transaction[bytes], key: str) -> Record | None:
        data = txn.get(key.encode(), db=self._sessions)
        if data is None:
            return None
        if data != self._decoded_data:
            self._decoded = decode_record(key, data)
            self._decoded_data = data
        record, expires = self._decoded
        return record if self._clock() < expires else None

    def _put(self, txn: lmdb.Transaction[bytes], key: str, record: Record, ttl: float) -> None:
        txn.put(key.encode(), encode_record(record, self._clock() + ttl), db=self._sessions)

    def _drop_bulk(self, txn: lmdb.Transaction[bytes], key: bytes, limit: int | None = None) -> int:
        """Removes all chunks of a session, at most `limit`; returns how many."""
        prefix, removed = key + b"\0", 0
        with txn.cursor(self._bulk) as cursor:
            found = cursor.set_range(prefix)
            while found and removed != limit and cursor.key().startswith(prefix):
                found = cursor.delete()  # and goes to the next one, whose key is empty after the last
                removed += 1
        return removed

    def _expired(self) -> list[bytes]:
        """Keys of sessions that are over, among the next `SWEEP_RECORDS` from where the last sweep stopped."""
        now, expired = self._clock(), []
        with self._transaction() as txn, txn.cursor(self._sessions) as cursor:
            found = cursor.set_range(self._sweep_from) if self._sweep_from else cursor.first()
            for _ in range(SWEEP_RECORDS):
                if not found:
                    break
                if expiry_of(cursor.value()) <= now:
                    expired.append(cursor.key())
                found = cursor.next()
            self._sweep_from = cursor.key() if found else b""
        return expired

    def _remove_some(self, keys: list[bytes], room: int) -> int:
        """Removes sessions that are over, each one's record last, until `room` chunks and records are gone.

        Returns:
            How many sessions were removed as a whole.
        """
        with self._transaction(write=True) as txn:
            for count, key in enumerate(keys):
                data = txn.get(key, db=self._sessions)
                if data is None or expiry_of(data) > self._clock():  # somebody was faster
                    continue
                room -= self._drop_bulk(txn, key, room)
                if room <= 0:
                    return count
                txn.delete(key, db=self._sessions)
                room -= 1
        return len(keys)


def _check_private(directory: Path) -> None:
    """Refuses a directory that others could have made, or can change: whoever can may read and forge every session."""
    status = directory.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(
            f"it belongs to user {status.st_uid} with mode {status.st_mode & 0o777:o}; it must be yours, and nobody "
            "else's to write. Name another directory"
        )


def _chunk_key(key: bytes, index: int) -> bytes:
    return key + b"\0" + _CHUNK_INDEX.pack(index)
