"""Stores that fail, and workers that die, where a test says so."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from datetime import timedelta

from rr_tcp.errors import SessionStoreError
from rr_tcp.sessions import SCAN_COUNT, ScanPage, SessionStore, StoredSession
from services.smtp import MailEnvelope, MailInfo, MailStoreError
from services.smtp.mailstore import MailSink


class Crash(BaseException):
    """The worker dies here. It is no `Exception`, so that nothing of ours lives on after it."""


class Point(enum.Enum):
    """A moment in the life of one event."""

    LOAD = "the session is to be loaded"
    LOADED = "the session is loaded"
    BULK = "the text is to be read"
    SAVE = "the session is to be saved"
    SAVED = "the session is saved"
    END = "the session is to be ended"
    ENDED = "the session is ended"
    ADD = "a mail is to be stored"
    ADDED = "a mail is stored"


class Fate:
    """What happens when a point is reached next.

    Attributes:
        fired: the point where something happened since the last `plan`, None when nothing did.
    """

    def __init__(self) -> None:
        self._point: Point | None = None
        self._crash = False
        self.fired: Point | None = None

    def plan(self, point: Point | None, *, crash: bool = False) -> None:
        """From now on: the worker dies at the point, or the store fails there; None for neither."""
        self._point, self._crash, self.fired = point, crash, None

    def at(self, point: Point, error: Exception) -> None:
        """The point is reached."""
        if point is self._point:
            self._point, self.fired = None, point
            raise Crash if self._crash else error


class FaultySessions:
    """A session store that obeys a `Fate`."""

    def __init__(self, inner: SessionStore, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate

    def _at(self, point: Point) -> None:
        self._fate.at(point, SessionStoreError(f"planned: {point.value}"))

    def load(self, key: str) -> StoredSession | None:
        """See `SessionStore.load`."""
        self._at(Point.LOAD)
        stored = self._inner.load(key)
        self._at(Point.LOADED)
        return stored

    def save(
        self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False, server: str = ""
    ) -> None:
        """See `SessionStore.save`."""
        self._at(Point.SAVE)
        self._inner.save(key, state, ttl=ttl, append=append, truncate=truncate, server=server)
        self._at(Point.SAVED)

    def iter_bulk(self, key: str) -> Iterator[bytes]:
        """See `SessionStore.iter_bulk`."""
        self._at(Point.BULK)
        return self._inner.iter_bulk(key)

    def read_bulk(self, key: str) -> bytes:
        """See `SessionStore.read_bulk`."""
        self._at(Point.BULK)
        return self._inner.read_bulk(key)

    def end(self, key: str, *, ttl: float, state: bytes = b"") -> None:
        """See `SessionStore.end`."""
        self._at(Point.END)
        self._inner.end(key, ttl=ttl, state=state)
        self._at(Point.ENDED)

    def delete(self, key: str) -> None:
        """See `SessionStore.delete`."""
        self._inner.delete(key)

    def scan(self, cursor: str = "", *, count: int = SCAN_COUNT) -> ScanPage:
        """See `SessionStore.scan`."""
        return self._inner.scan(cursor, count=count)

    def close(self) -> None:
        """The inner store belongs to who made it."""


class FaultyMails:
    """A mail store that obeys a `Fate`."""

    def __init__(self, inner: MailSink, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate

    def _at(self, point: Point) -> None:
        self._fate.at(point, MailStoreError(f"planned: {point.value}"))

    def open(self) -> None:
        """See `MailSink.open`."""
        self._inner.open()

    def add(self, envelope: MailEnvelope, pieces: Iterable[bytes]) -> MailInfo:
        """See `MailSink.add`."""
        self._at(Point.ADD)
        info = self._inner.add(envelope, pieces)
        self._at(Point.ADDED)
        return info

    def prune(self, *, keep: int | None = None, older: timedelta | None = None, limit: int = 1) -> int:
        """See `MailSink.prune`."""
        return self._inner.prune(keep=keep, older=older, limit=limit)

    def close(self) -> None:
        """The inner store belongs to who made it."""
