"""Sessions in LMDB: embedded, shared by all processes of a host, microseconds per call.

A session is a record and, with bulk data, chunks (`lmdb_keys`), in one table in one memory-mapped file (`lmdb_table`).
Every call is one transaction, so a process that is killed in the middle of it has done all of it or nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVarTuple

from rr_tcp.admission import Verdict
from rr_tcp.errors import SessionDataError
from rr_tcp.sessions import BULK_PIECE, SCAN_COUNT, OpenSession, ScanPage, StoredSession, check_ttl
from rr_tcp.stores.lmdb_clients import LMDBClients
from rr_tcp.stores.lmdb_keys import SESSION, chunk_key, session_key
from rr_tcp.stores.lmdb_sweep import Sweeper, drop_bulk
from rr_tcp.stores.lmdb_table import FAILURES, FullError, Table
from rr_tcp.stores.record import (
    Record,
    SeenBulk,
    check_store,
    decode_record,
    encode_record,
    no_session,
    wrong_bulk,
)

MAP_SIZE: Final = 4 * 1024**3
"""Bytes that all sessions may take together. Address space, not memory: the file grows with its data."""

SWEEP_EVERY: Final = 256
"""Writing calls of a process between two sweeps."""

Ts = TypeVarTuple("Ts")

_NOTHING: Final = Record(b"")


class LMDBStore:
    """A `SessionStore` in a directory.

    An object belongs to the process that opened it: LMDB's locks do not survive a fork, so a child is refused.

    Args:
        directory: made with mode 0700, missing parents too. All processes that share it share the sessions.
        map_size: bytes that the data may take.
        clock: seconds since the epoch, the same for all processes.
    """

    def __init__(self, directory: Path, *, map_size: int = MAP_SIZE, clock: Callable[[], float] = time.time) -> None:
        self._table = Table(directory, map_size)
        self._sweeper = Sweeper(self._table, clock)
        self._clients = LMDBClients(self._table, clock)
        self._clock = clock
        self._seen = SeenBulk()
        self._writes = 0
        # The last record that was read: an event's `save` finds what its `load` decoded.
        self._decoded_data: bytes | None = None
        self._decoded = _NOTHING, 0.0

    def check(self) -> None:
        """`SessionStoreError` unless sessions can be written and read now."""
        check_store(self)

    def load(self, key: str) -> StoredSession | None:
        """See `SessionStore.load`."""
        session = session_key(key)
        try:
            with self._table.begin() as txn:
                record = self._live(key, txn.get(session))
        except FAILURES as error:
            raise self._table.failed(error) from error
        if record is None:
            self._seen.loaded(key, 0)
            return None
        self._seen.loaded(key, record.bulk_size)
        return StoredSession(record.state, record.bulk_size, record.closed)

    def save(
        self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False, server: str = ""
    ) -> None:
        """See `SessionStore.save`."""
        check_ttl(ttl)
        self._write(self._replace, key, state, ttl, append, truncate, server)

    def read_bulk(self, key: str) -> bytes:
        """See `SessionStore.read_bulk`."""
        return b"".join(self.iter_bulk(key))

    def iter_bulk(self, key: str) -> Iterator[bytes]:
        """See `SessionStore.iter_bulk`. No transaction is open between two pieces."""
        session = session_key(key)
        with self._table.transaction() as txn:
            record = self._live(key, txn.get(session))
        if record is None:
            raise no_session(key)
        index, found = 0, 0
        while index < record.next_chunk:
            piece, index = self._read_chunks(session, index, record.next_chunk)
            found += len(piece)
            yield piece
        if found != record.bulk_size:
            raise wrong_bulk(key, found, record.bulk_size)

    def _read_chunks(self, session: bytes, index: int, stop: int) -> tuple[bytes, int]:
        """Some chunks as one, a single large one as it is, and the index of the next."""
        chunks: list[bytes] = []
        size = 0
        with self._table.transaction() as txn:
            while index < stop and size < BULK_PIECE:
                chunk = txn.get(chunk_key(session, index), b"")
                if chunks and size + len(chunk) > BULK_PIECE:
                    break
                chunks.append(chunk)
                size += len(chunk)
                index += 1
        return b"".join(chunks), index

    def end(self, key: str, *, ttl: float, state: bytes = b"") -> None:
        """See `SessionStore.end`. What was stored is not read, so a damaged session can be ended too."""
        check_ttl(ttl)
        self._write(self._bury, key, state, ttl)
        self._seen.forget()

    def delete(self, key: str) -> None:
        """See `SessionStore.delete`. A damaged session can be deleted too."""
        session = session_key(key)
        with self._table.transaction(write=True) as txn:
            drop_bulk(txn, session)
            txn.delete(session)
        self._seen.forget()

    def scan(self, cursor: str = "", *, count: int = SCAN_COUNT) -> ScanPage:
        """See `SessionStore.scan`. Its first call sweeps, as no save does where all clients are silent."""
        if not cursor:
            self.sweep()
        found = []
        with self._table.transaction() as txn, txn.cursor() as entries:
            more = entries.set_range(session_key(cursor) if cursor else SESSION)
            for _ in range(count):
                if not more:
                    break
                key = entries.key().removeprefix(SESSION).decode()
                if (session := self._open_session(key, entries.value())) is not None:
                    found.append(session)
                more = entries.next()
            following = entries.key().removeprefix(SESSION).decode() if more else ""
        return ScanPage(found, following)

    def _open_session(self, key: str, data: bytes) -> OpenSession | None:
        """What a record tells of an open session; one that is damaged has no connection that could go on."""
        try:
            record, expires = decode_record(key, data)
        except SessionDataError:
            return None
        if record.closed or expires <= self._clock():
            return None
        return OpenSession(key, record.server, record.opened, record.saved)

    def admit(self, client: str, key: str, *, connections: int | None, per_minute: int | None) -> Verdict:
        """See `ClientStore.admit`."""
        return self._clients.admit(client, key, connections=connections, per_minute=per_minute)

    def leave(self, client: str, key: str) -> None:
        """See `ClientStore.leave`."""
        self._clients.leave(client, key)

    def sweep(self) -> int:
        """Removes some of the sessions whose time is over, and readers whose process is gone.

        Saving does this now and then by itself; call it where nothing saves any more.

        Returns:
            How many sessions were removed; 0 does not mean that none is left, a sweep looks at some only.
        """
        try:
            self._table.look_after()
        except FAILURES as error:
            raise self._table.failed(error) from error
        return self._sweeper.sweep()

    def close(self) -> None:
        """See `SessionStore.close`."""
        self._table.close()

    def _write(self, change: Callable[[*Ts], None], *args: *Ts) -> None:
        """Makes a change, one transaction; in a full store once more, if a sweep found something to remove."""
        self._writes += 1
        if self._writes % SWEEP_EVERY == 0:
            self.sweep()
        try:
            change(*args)
        except FullError:
            if not self.sweep():
                raise
            change(*args)

    def _replace(self, key: str, state: bytes, ttl: float, append: bytes, truncate: bool, server: str) -> None:
        session = session_key(key)
        try:
            with self._table.begin(write=True) as txn:
                record = known = self._live(key, txn.get(session))
                if record is None or truncate:
                    if not truncate:
                        self._seen.check(key, 0)
                    drop_bulk(txn, session)
                    record = _NOTHING
                growth = len(append) + len(state) - len(record.state)
                if growth > 0:
                    self._table.check_room(txn, growth)
                size, index = record.bulk_size, record.next_chunk
                if append:
                    txn.put(chunk_key(session, index), append)
                    size, index = size + len(append), index + 1
                now = self._clock()
                opened = known.opened if known and not known.closed else now
                server = server or (known.server if known else "")
                renewed = Record(state, size, 0, index, server=server, opened=opened, saved=now)
                txn.put(session, encode_record(renewed, now + ttl))
        except FAILURES as error:
            raise self._table.failed(error) from error
        self._seen.saved(key, size)

    def _bury(self, key: str, state: bytes, ttl: float) -> None:
        session = session_key(key)
        with self._table.transaction(write=True) as txn:
            drop_bulk(txn, session)
            txn.put(session, encode_record(Record(state, closed=True), self._clock() + ttl))

    def _live(self, key: str, data: bytes | None) -> Record | None:
        """The record that was read, unless its time is over."""
        if data is None:
            return None
        if data != self._decoded_data:
            self._decoded = decode_record(key, data)
            self._decoded_data = data
        record, expires = self._decoded
        return record if self._clock() < expires else None
