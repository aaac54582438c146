"""A session store whose calls are counted and timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from rr_tcp.observability.reporter import Reporter
from rr_tcp.observability.tallies import Distribution
from rr_tcp.plugins.collectors import Counter
from rr_tcp.sessions import SessionStore, StoredSession
from rr_tcp.wrapped_store import WrappedStore

STORE_SECONDS: Final = Distribution(
    "rr_tcp_store_duration_seconds", "Time of a call of the session store, failed ones included.", ("operation",)
)
STORE_ERRORS: Final = Counter("rr_tcp_store_errors_total", "Calls of the session store that failed.", ("operation",))


class _Call:
    """What is counted of one operation; a `with` block is one call of it. No call is made within itself."""

    __slots__ = ("_clock", "_errors", "_seconds", "_start")

    def __init__(self, reporter: Reporter, operation: str, clock: Callable[[], float]) -> None:
        self._errors = reporter.tally(STORE_ERRORS, operation)
        self._seconds = reporter.spread(STORE_SECONDS, operation)
        self._clock = clock
        self._start = 0.0

    def __enter__(self) -> None:
        self._start = self._clock()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._seconds.observe(self._clock() - self._start)
        if kind is not None and issubclass(kind, Exception):
            self._errors.value += 1


class MeasuredStore(WrappedStore):
    """A `SessionStore` around another one. What workers call is counted, `delete` and `scan` are not.

    Args:
        store: does the work.
        reporter: brings the numbers to RoadRunner.
        clock: seconds that never go back.
    """

    def __init__(self, store: SessionStore, reporter: Reporter, *, clock: Callable[[], float]) -> None:
        super().__init__(store)
        self._load, self._save, self._end, self._read = (
            _Call(reporter, operation, clock) for operation in ("load", "save", "end", "read_bulk")
        )

    def load(self, key: str) -> StoredSession | None:
        """See `SessionStore.load`."""
        with self._load:
            return self._store.load(key)

    def save(
        self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False, server: str = ""
    ) -> None:
        """See `SessionStore.save`."""
        with self._save:
            self._store.save(key, state, ttl=ttl, append=append, truncate=truncate, server=server)

    def end(self, key: str, *, ttl: float, state: bytes = b"") -> None:
        """See `SessionStore.end`."""
        with self._end:
            self._store.end(key, ttl=ttl, state=state)

    def read_bulk(self, key: str) -> bytes:
        """See `SessionStore.read_bulk`."""
        return b"".join(self.iter_bulk(key))

    def iter_bulk(self, key: str) -> Iterator[bytes]:
        """See `SessionStore.iter_bulk`; each piece is timed as one call."""
        pieces = self._store.iter_bulk(key)
        while True:
            with self._read:
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece
