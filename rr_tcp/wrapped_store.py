"""A session store around another one, for what looks at some of its calls."""

from __future__ import annotations

from collections.abc import Iterator

from rr_tcp.sessions import SCAN_COUNT, ScanPage, SessionStore, StoredSession


class WrappedStore:
    """A `SessionStore` that hands every call on. A subclass does more around those that it is about.

    Args:
        store: does the work.
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    @property
    def inner(self) -> SessionStore:
        """The store that does the work, whatever else is around it."""
        return self._store.inner if isinstance(self._store, WrappedStore) else self._store

    def load(self, key: str) -> StoredSession | None:
        """See `SessionStore.load`."""
        return self._store.load(key)

    def save(
        self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False, server: str = ""
    ) -> None:
        """See `SessionStore.save`."""
        self._store.save(key, state, ttl=ttl, append=append, truncate=truncate, server=server)

    def read_bulk(self, key: str) -> bytes:
        """See `SessionStore.read_bulk`."""
        return self._store.read_bulk(key)

    def iter_bulk(self, key: str) -> Iterator[bytes]:
        """See `SessionStore.iter_bulk`."""
        return self._store.iter_bulk(key)

    def end(self, key: str, *, ttl: float, state: bytes = b"") -> None:
        """See `SessionStore.end`."""
        self._store.end(key, ttl=ttl, state=state)

    def delete(self, key: str) -> None:
        """See `SessionStore.delete`."""
        self._store.delete(key)

    def scan(self, cursor: str = "", *, count: int = SCAN_COUNT) -> ScanPage:
        """See `SessionStore.scan`."""
        return self._store.scan(cursor, count=count)

    def close(self) -> None:
        """See `SessionStore.close`."""
        self._store.close()
