"""A session store in memory: for tests and for pools of one worker, never for two processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from rr_tcp.admission import ClientCount, Verdict
from rr_tcp.errors import SessionDataError, SessionStoreError
from rr_tcp.sessions import BULK_PIECE, SCAN_COUNT, OpenSession, ScanPage, StoredSession, check_ttl

SWEEP_EVERY: Final = 256
"""Writing calls between two sweeps, which drop the sessions and tombstones whose time is over."""


@dataclass(slots=True)
class _Entry:
    state: bytes
    bulk: bytes
    closed: bool
    expires: float
    server: str = ""
    opened: float = 0.0
    saved: float = 0.0


class MemorySessionStore:
    """Keeps sessions in a dictionary.

    Args:
        clock: seconds; tests replace it to let time pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._clients: dict[str, ClientCount] = {}
        self._writes = 0
        self._loaded = "", 0  # the last key that was loaded, and how much bulk data it has

    def load(self, key: str) -> StoredSession | None:
        """See `SessionStore.load`."""
        entry = self._live(key)
        self._loaded = key, len(entry.bulk) if entry else 0
        return StoredSession(entry.state, len(entry.bulk), entry.closed) if entry else None

    def save(
        self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False, server: str = ""
    ) -> None:
        """See `SessionStore.save`."""
        check_ttl(ttl)
        entry = self._live(key)
        bulk = b"" if truncate or entry is None or entry.closed else entry.bulk
        if not truncate and self._loaded[0] == key and len(bulk) < self._loaded[1]:
            raise SessionStoreError(f"the time of session {key} was over while its event was handled")
        bulk += append
        self._loaded = (key, len(bulk)) if self._loaded[0] == key else ("", 0)
        now = self._clock()
        known = None if entry is None or entry.closed else entry
        self._put(
            key,
            _Entry(
                state,
                bulk,
                closed=False,
                expires=now + ttl,
                server=server or (known.server if known else ""),
                opened=known.opened if known else now,
                saved=now,
            ),
        )

    def read_bulk(self, key: str) -> bytes:
        """See `SessionStore.read_bulk`."""
        return b"".join(self.iter_bulk(key))

    def iter_bulk(self, key: str) -> Iterator[bytes]:
        """See `SessionStore.iter_bulk`."""
        entry = self._live(key)
        if entry is None:
            raise SessionDataError(f"there is no session {key} to read bulk data of")
        for start in range(0, len(entry.bulk), BULK_PIECE):
            yield entry.bulk[start : start + BULK_PIECE]

    def end(self, key: str, *, ttl: float, state: bytes = b"") -> None:
        """See `SessionStore.end`."""
        check_ttl(ttl)
        self._loaded = "", 0
        self._put(key, _Entry(state, b"", closed=True, expires=self._clock() + ttl))

    def delete(self, key: str) -> None:
        """See `SessionStore.delete`."""
        self._loaded = "", 0
        self._entries.pop(key, None)

    def scan(self, cursor: str = "", *, count: int = SCAN_COUNT) -> ScanPage:
        """See `SessionStore.scan`. Times are those of the store's clock."""
        keys = sorted(key for key in self._entries if key >= cursor)
        live = [(key, entry) for key in keys[:count] if (entry := self._live(key)) and not entry.closed]
        sessions = [OpenSession(key, entry.server, entry.opened, entry.saved) for key, entry in live]
        return ScanPage(sessions, keys[count] if len(keys) > count else "")

    def admit(self, client: str, key: str, *, connections: int | None, per_minute: int | None) -> Verdict:
        """See `ClientStore.admit`."""
        count = self._clients.setdefault(client, ClientCount())
        return count.admit(key, self._clock(), connections=connections, per_minute=per_minute, is_open=self._is_open)

    def leave(self, client: str, key: str) -> None:
        """See `ClientStore.leave`."""
        if (count := self._clients.get(client)) is not None:
            count.open.pop(key, None)
            if count.expires(now := self._clock()) <= now:
                del self._clients[client]

    def _is_open(self, key: str) -> bool:
        entry = self._live(key)
        return entry is not None and not entry.closed

    def check(self) -> None:
        """It always works."""

    def close(self) -> None:
        """Does nothing: the sessions are the object's."""

    def _put(self, key: str, entry: _Entry) -> None:
        self._entries[key] = entry
        self._writes += 1
        if self._writes % SWEEP_EVERY == 0:
            now = self._clock()
            self._entries = {key: entry for key, entry in self._entries.items() if entry.expires > now}

    def _live(self, key: str) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is not None and entry.expires <= self._clock():
            del self._entries[key]
            return None
        return entry
