"""Connections of clients in LMDB: a record for each client, in the table of the sessions.

A record has the form of a session's, with a `ClientCount` as its state, so that the sweep removes what is over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import lmdb
import msgspec

from rr_tcp.admission import ClientCount, Verdict
from rr_tcp.errors import SessionDataError
from rr_tcp.stores.lmdb_keys import client_key, session_key
from rr_tcp.stores.lmdb_table import Table
from rr_tcp.stores.record import Record, decode_record, encode_record

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(ClientCount).decode


class LMDBClients:
    """Counts in a table. Every call is one transaction.

    Args:
        table: the store's.
        clock: the store's.
    """

    def __init__(self, table: Table, clock: Callable[[], float]) -> None:
        self._table = table
        self._clock = clock

    def admit(self, client: str, key: str, *, connections: int | None, per_minute: int | None) -> Verdict:
        """See `ClientStore.admit`."""
        with self._table.transaction(write=True) as txn:
            count, now = self._read(txn, client), self._clock()
            verdict = count.admit(
                key, now, connections=connections, per_minute=per_minute, is_open=lambda key: self._is_open(txn, key)
            )
            self._write(txn, client, count, now)
        return verdict

    def leave(self, client: str, key: str) -> None:
        """See `ClientStore.leave`."""
        with self._table.transaction(write=True) as txn:
            count = self._read(txn, client)
            if count.open.pop(key, None) is not None:
                self._write(txn, client, count, self._clock())

    def _is_open(self, txn: lmdb.Transaction[bytes], key: str) -> bool:
        data = txn.get(session_key(key))
        if data is None:
            return False
        try:
            record, expires = decode_record(key, data)
        except SessionDataError:
            return False
        return not record.closed and self._clock() < expires

    def _read(self, txn: lmdb.Transaction[bytes], client: str) -> ClientCount:
        data = txn.get(client_key(client))
        if data is None:
            return ClientCount()
        record, expires = decode_record(client, data)
        try:
            return _decode(record.state) if self._clock() < expires else ClientCount()
        except msgspec.DecodeError as error:
            raise SessionDataError(f"what is stored of the client {client} is no such thing: {error}") from error

    def _write(self, txn: lmdb.Transaction[bytes], client: str, count: ClientCount, now: float) -> None:
        if (expires := count.expires(now)) > now:
            txn.put(client_key(client), encode_record(Record(_encode(count)), expires))
        else:
            txn.delete(client_key(client))
