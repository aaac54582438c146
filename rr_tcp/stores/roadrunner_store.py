"""Sessions in RoadRunner's own KV: no other program is needed, one RPC call per load and per save.

A session is a record, `rr-tcp:{uuid}`, and with bulk data chunks, `rr-tcp.bulk.{index}:{uuid}`. They are several keys,
and the server has no transactions, so the order of the calls matters: what a record speaks of is stored before it or in
the same call, and removed after it. A worker that is killed between two calls leaves a session that reads right, at
worst beside chunks that nothing speaks of, which expire.

Setting a key that exists removes it first and inserts it again; another reader could miss it in between. Nobody can be
that reader: a session's keys belong to one connection, whose events RoadRunner never runs at the same time.

Times to live are the record's: `load` goes by them exactly. The storage's own, which RoadRunner cannot extend (no
kv.MExpire, see `rr_tcp.plugins.kv`) and counts in whole seconds, only remove what is over. Chunks get twice the
session's time to live and are all set again by a save whose session would outlive them. That is about once per time to
live, so a long transfer costs its size once more per hour (with the default), not once per packet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NoReturn

from rr_tcp.errors import CodecError, RPCError, ScanUnsupportedError, SessionDataError, SessionStoreError
from rr_tcp.plugins.kv import KV
from rr_tcp.rpc import RPC
from rr_tcp.sessions import SCAN_COUNT, StoredSession, check_ttl
from rr_tcp.stores.record import (
    Record,
    SeenBulk,
    check_key,
    check_store,
    decode_record,
    encode_record,
    no_session,
    wrong_bulk,
)

CALL_TIMEOUT: Final = 1.0
"""Seconds that a step of an RPC call may take; well under the pool's exec_ttl."""

BATCH: Final = 64
"""Chunks read, renewed or removed per call: bounds a frame to what 64 events of one connection brought."""

CHUNK_LIFE: Final = 2.0
"""How long chunks live, in times to live of their session: what is over 1 sets how rarely they are all set again."""


class RoadRunnerStore:
    """A `SessionStore` in a KV storage of the RoadRunner that started the worker. It connects at its first call.

    Use the memory driver. Sessions are lost with the server, as the connections are.

    Args:
        storage: its name in the section `kv` of .rr.yaml.
        rpc_address: where RoadRunner's RPC server listens, `tcp://host:port` or `unix://path`.
        clock: seconds since the epoch, the same for all processes.
    """

    def __init__(self, storage: str, rpc_address: str, *, clock: Callable[[], float] = time.time) -> None:
        self._storage = storage
        self._clock = clock
        self._rpc = RPC(rpc_address, timeout=CALL_TIMEOUT)
        self._kv = KV(self._rpc, storage, clock=clock)
        self._seen = SeenBulk()
        self._known: _Stored | None = None

    def check(self) -> None:
        """`SessionStoreError` unless sessions can be written and read now."""
        check_store(self)

    def load(self, key: str) -> StoredSession | None:
        """See `SessionStore.load`."""
        check_key(key)
        self._known = None  # of an event that saved nothing, should the call fail
        self._known = self._fetch(key)
        record = self._live(self._known)
        self._seen.loaded(key, record.bulk_size if record else 0)
        return StoredSession(record.state, record.bulk_size, record.closed) if record else None

    def save(
        self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False, server: str = ""
    ) -> None:
        """See `SessionStore.save`. One call right after a `load` of the same key; else the record is read first.

        The server's name is not kept: only a scan asks for it.
        """
        del server
        check_key(key)
        check_ttl(ttl)
        old = self._live(self._take(key)) or Record(b"")
        if not truncate:
            self._seen.check(key, old.bulk_size)
        kept = Record(b"", 0, old.next_chunk, old.next_chunk) if truncate else old
        until, chunks_until = self._clock() + ttl, self._clock() + CHUNK_LIFE * ttl
        chunks_expire = kept.chunks_expire or chunks_until
        if chunks_expire < until:
            self._renew(key, kept, CHUNK_LIFE * ttl)
            chunks_expire = chunks_until
        index, items = kept.next_chunk, {}
        if append:
            items[_chunk_key(key, index)] = append
            chunks_expire = min(chunks_expire, chunks_until)
            index += 1
        record = Record(
            state=state,
            bulk_size=kept.bulk_size + len(append),
            first_chunk=kept.first_chunk,
            next_chunk=index,
            chunks_expire=chunks_expire if index > kept.first_chunk else 0.0,
        )
        items[_record_key(key)] = encode_record(record, until)
        with self._calls():
            self._kv.set_many(items, CHUNK_LIFE * ttl if append else ttl)
        self._seen.saved(key, record.bulk_size)
        if truncate:
            self._delete(_chunk_keys(key, old))

    def read_bulk(self, key: str) -> bytes:
        """See `SessionStore.read_bulk`."""
        return b"".join(self.iter_bulk(key))

    def iter_bulk(self, key: str) -> Iterator[bytes]:
        """See `SessionStore.iter_bulk`. One call per `BATCH` pieces, which are as they were appended."""
        check_key(key)
        record = self._live(self._fetch(key))
        if record is None:
            raise no_session(key)
        found = 0
        for chunks in self._chunks(key, record):
            for chunk in chunks.values():
                found += len(chunk)
                yield chunk
        if found != record.bulk_size:
            raise wrong_bulk(key, found, record.bulk_size)

    def end(self, key: str, *, ttl: float, state: bytes = b"") -> None:
        """See `SessionStore.end`. A damaged session can be ended too; its chunks then go with their time to live."""
        check_key(key)
        check_ttl(ttl)
        old = self._take_any(key)
        record = Record(state, 0, old.next_chunk, old.next_chunk, closed=True)
        with self._calls():
            self._kv.set_many({_record_key(key): encode_record(record, self._clock() + ttl)}, ttl)
        self._delete(_chunk_keys(key, old))

    def delete(self, key: str) -> None:
        """See `SessionStore.delete`. Chunks of a damaged session go with their time to live."""
        check_key(key)
        self._delete([_record_key(key), *_chunk_keys(key, self._take_any(key))])

    def scan(self, cursor: str = "", *, count: int = SCAN_COUNT) -> NoReturn:
        """RoadRunner KV has no call that lists keys: raises `ScanUnsupportedError`."""
        del cursor, count
        raise ScanUnsupportedError(
            f"the session store, RoadRunner KV {self._storage!r}, cannot list its sessions: nobody can tell which "
            "connections are idle. They stay open until they close themselves; their sessions are forgotten after "
            "the time to live. For limits of idle time and age use SESSION_STORE=lmdb://... or redis://..."
        )

    def close(self) -> None:
        """See `SessionStore.close`."""
        self._rpc.close()

    def _live(self, stored: _Stored | None) -> Record | None:
        return stored.record if stored and self._clock() < stored.expires else None

    def _fetch(self, key: str) -> _Stored | None:
        with self._calls():
            data = self._kv.get_many([_record_key(key)]).get(_record_key(key))
        return None if data is None else _Stored(key, *decode_record(key, data))

    def _take(self, key: str) -> _Stored | None:
        """What is stored: as this event loaded it, or read now. Whatever comes next changes it."""
        known, self._known = self._known, None
        return known if known and known.key == key else self._fetch(key)

    def _take_any(self, key: str) -> Record:
        """What is stored, to replace or remove it: damaged or over is as good as nothing."""
        self._seen.forget()
        try:
            stored = self._take(key)
        except SessionDataError:
            stored = None
        return stored.record if stored else Record(b"")

    def _chunks(self, key: str, record: Record) -> Iterator[dict[str, bytes]]:
        """The session's chunks in their order, some per call; `SessionDataError` when one is missing."""
        for keys in _batches(_chunk_keys(key, record)):
            with self._calls():
                found = self._kv.get_many(keys)
            if len(found) != len(keys):
                raise wrong_bulk(key, sum(map(len, found.values())), record.bulk_size)
            yield {chunk_key: found[chunk_key] for chunk_key in keys}

    def _renew(self, key: str, record: Record, ttl: float) -> None:
        for chunks in self._chunks(key, record):
            with self._calls():
                self._kv.set_many(chunks, ttl)

    def _delete(self, keys: list[str]) -> None:
        for batch in _batches(keys):
            with self._calls():
                self._kv.delete(batch)

    @contextmanager
    def _calls(self) -> Iterator[None]:
        try:
            yield
        except (RPCError, CodecError) as error:
            raise SessionStoreError(
                f"the session store, RoadRunner KV {self._storage!r}, cannot be used: {error}. .rr.yaml needs "
                f"`rpc.listen`, and in `kv` a storage `{self._storage}: {{driver: memory, config: {{}}}}`"
            ) from error


@dataclass(frozen=True, slots=True)
class _Stored:
    key: str
    record: Record
    expires: float


def _record_key(key: str) -> str:
    return f"rr-tcp:{key}"


def _chunk_key(key: str, index: int) -> str:
    return f"rr-tcp.bulk.{index}:{key}"


def _chunk_keys(key: str, record: Record) -> list[str]:
    return [_chunk_key(key, index) for index in range(record.first_chunk, record.next_chunk)]


def _batches(keys: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), BATCH):
        yield keys[start : start + BATCH]
