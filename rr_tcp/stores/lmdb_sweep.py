"""Removes from a session store on LMDB the sessions and clients whose time is over, a bounded piece at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import lmdb

from rr_tcp.stores.lmdb_keys import CLIENT, chunk_prefix
from rr_tcp.stores.lmdb_table import Table
from rr_tcp.stores.record import expiry_of

SWEEP_RECORDS: Final = 1024
"""Sessions that a sweep looks at. More than `SWEEP_EVERY`, so that sweeping outruns writing."""

SWEEP_REMOVALS: Final = 4096
"""Chunks and records that a sweep removes at most: it delays an event by milliseconds, and the next one goes on."""

SWEEP_PIECE: Final = 256
"""Chunks and records that one transaction of a sweep removes; other processes write in between."""


class Sweeper:
    """Goes round the sessions of a table, and the clients before them.

    Args:
        table: the store's.
        clock: the store's.
    """

    def __init__(self, table: Table, clock: Callable[[], float]) -> None:
        self._table = table
        self._clock = clock
        self._next = CLIENT

    def sweep(self) -> int:
        """Removes some of the sessions that are over, from where the last call stopped; returns how many."""
        expired = self._expired()
        removed, budget = 0, SWEEP_REMOVALS
        while removed < len(expired) and budget > 0:
            removed += self._remove_some(expired[removed:], SWEEP_PIECE)
            budget -= SWEEP_PIECE
        if removed < len(expired):
            self._next = expired[removed]
        return removed

    def _expired(self) -> list[bytes]:
        """Keys of sessions that are over, among the next `SWEEP_RECORDS`."""
        now, expired = self._clock(), []
        with self._table.transaction() as txn, txn.cursor() as cursor:
            found = cursor.set_range(self._next)
            for _ in range(SWEEP_RECORDS):
                if not found:
                    break
                if expiry_of(cursor.value()) <= now:
                    expired.append(cursor.key())
                found = cursor.next()
            self._next = cursor.key() if found else CLIENT
        return expired

    def _remove_some(self, sessions: list[bytes], room: int) -> int:
        """Removes sessions that are over, each one's record last, until `room` chunks and records are gone.

        Returns:
            How many sessions were removed as a whole.
        """
        with self._table.transaction(write=True) as txn:
            for count, session in enumerate(sessions):
                data = txn.get(session)
                if data is None or expiry_of(data) > self._clock():  # somebody was faster
                    continue
                room -= drop_bulk(txn, session, room)
                if room <= 0:
                    return count
                txn.delete(session)
                room -= 1
        return len(sessions)


def drop_bulk(txn: lmdb.Transaction[bytes], session: bytes, limit: int | None = None) -> int:
    """Removes all chunks of the session at this key, at most `limit`; returns how many."""
    prefix, removed = chunk_prefix(session), 0
    with txn.cursor() as cursor:
        found = cursor.set_range(prefix)
        while found and removed != limit and cursor.key().startswith(prefix):
            found = cursor.delete()  # and goes to the next one, whose key is empty after the last
            removed += 1
    return removed
