"""A session store whose calls are counted and timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from rr_tcp.observability.reporter import Reporter
from rr_tcp.observability.tallies import Distribution
from rr_tcp.plugins.collectors import Counter
from rr_tcp.sessions import SCAN_COUNT, ScanPage, SessionStore, StoredSession

STORE_SECONDS: Final = Distribution(
    "rr_tcp_store_duration_seconds", "Time of a call of the session store, failed ones included.", ("operation",)
)
STORE_ERRORS: Final = Counter("rr_tcp_store_errors_total", "Calls of the session store that failed.", ("operation",))


class _Call:
    """What is counted of one operation."""

    __slots__ = ("errors", "seconds")

    def __init__(self, reporter: Reporter, operation: str) -> None:
        self.errors = reporter.tally(STORE_ERRORS, operation)
        self.seconds = reporter.spread(STORE_SECONDS, operation)


class MeasuredStore:
    """A `SessionStore` around another one.

    Args:
        store: does the work.
        reporter: brings the numbers to RoadRunner.
        clock: seconds that never go back.
    """

    def __init__(self, store: SessionStore, reporter: Reporter, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._load, self._save, self._end, self._read = (
            _Call(reporter, operation) for operation in ("load", "save", "end", "read_bulk")
        )

    def load(self, key: str) -> StoredSession | None:
        """See `SessionStore.load`."""
        start = self._clock()
        try:
            return self._store.load(key)
        except Exception:
            self._load.errors.value += 1
            raise
        finally:
            self._load.seconds.observe(self._clock() - start)

    def save(
        self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False, server: str = ""
    ) -> None:
        """See `SessionStore.save`."""
        start = self._clock()
        try:
            self._store.save(key, state, ttl=ttl, append=append, truncate=truncate, server=server)
        except Exception:
            self._save.errors.value += 1
            raise
        finally:
            self._save.seconds.observe(self._clock() - start)

    def end(self, key: str, *, ttl: float, state: bytes = b"") -> None:
        """See `SessionStore.end`."""
        start = self._clock()
        try:
            self._store.end(key, ttl=ttl, state=state)
        except Exception:
            self._end.errors.value += 1
            raise
        finally:
            self._end.seconds.observe(self._clock() - start)

    def read_bulk(self, key: str) -> bytes:
        """See `SessionStore.read_bulk`."""
        return b"".join(self.iter_bulk(key))

    def iter_bulk(self, key: str) -> Iterator[bytes]:
        """See `SessionStore.iter_bulk`; each piece is timed as one call."""
        pieces = self._store.iter_bulk(key)
        while True:
            start = self._clock()
            try:
                piece = next(pieces, None)
            except Exception:
                self._read.errors.value += 1
                raise
            finally:
                self._read.seconds.observe(self._clock() - start)
            if piece is None:
                return
            yield piece

    def delete(self, key: str) -> None:
        """See `SessionStore.delete`; for tests and tools, and not counted."""
        self._store.delete(key)

    def scan(self, cursor: str = "", *, count: int = SCAN_COUNT) -> ScanPage:
        """See `SessionStore.scan`; no worker calls it, and it is not counted."""
        return self._store.scan(cursor, count=count)

    def close(self) -> None:
        """See `SessionStore.close`."""
        self._store.close()
