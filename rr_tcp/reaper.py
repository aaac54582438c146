"""The reaper: closes connections that are idle, too old, or without a session. RoadRunner's TCP plugin never does.

It goes round the session store and tells RoadRunner to close (`tcp.Close`): that knows the open connections by their
uuids, but lists them to nobody. RoadRunner reports the CLOSE to a worker, which ends the session as always. A session
that is still there some time later has no connection here (its worker died, so no CLOSE came), and is removed.

Several servers may share one session store, each with a reaper. Each closes what is over its limits; a uuid that is
another's is unknown to a server, which does no harm. None deletes a session before every other had its turn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from rr_tcp.errors import SessionDataError
from rr_tcp.limits import ConnectionLimits
from rr_tcp.renewals import renewal_period
from rr_tcp.sessions import OpenSession, SessionStore, StoredSession

log = logging.getLogger(__name__)

INTERVAL: Final = 5.0
"""Seconds between two rounds."""

GRACE: Final = 30.0
"""Seconds between the first attempt to close a connection and the removal of its session, if that is there still:
longer than an event can take (`supervisor.exec_ttl`), and than the other servers' reapers rest."""


class Closer(Protocol):
    """What the reaper needs of `rr_tcp.plugins.tcp.TcpConnections`."""

    def close(self, uuid: str) -> None:
        """Closes a connection; one that nobody knows is no error."""


@dataclass(slots=True)
class Round:
    """What a round came to.

    Attributes:
        open: sessions of connections within their limits.
        closed: connections that were told to close because they were over a limit.
        lost: connections whose session was gone, expired or deleted, and that were told to close.
        removed: sessions that were removed.
    """

    open: int = 0
    closed: int = 0
    lost: int = 0
    removed: int = 0


class Reaper:
    """Holds the connections of some servers to their limits, a round at a time.

    It remembers which sessions were open in the last round, so that it notices those that vanished. What it knew
    before it was started again it has forgotten: a connection whose session vanished meanwhile is closed by a worker
    when it speaks.

    Args:
        store: the sessions; other servers' sessions in it are left alone.
        limits: by the server's name.
        connections: closes.
        ttl: seconds that sessions live, as the workers have it.
        grace: seconds until a session over its limits is removed, though its connection never reported its end.
        clock: seconds since the epoch, as the workers have it.
    """

    def __init__(
        self,
        store: SessionStore,
        limits: Mapping[str, ConnectionLimits],
        connections: Closer,
        *,
        ttl: float,
        grace: float = GRACE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._limits = limits
        self._connections = connections
        self._ttl = ttl
        self._grace = grace
        self._clock = clock
        self._known: set[str] = set()
        self._closing: dict[str, float] = {}

    def look(self, on_page: Callable[[], None] = lambda: None) -> Round:
        """One round over all sessions.

        Args:
            on_page: called after each page of the store; what it raises ends the round.

        Raises:
            ScanUnsupportedError: the store cannot list its sessions.
            SessionStoreError: the store failed; the next round does what this one could not.
            RPCError: RoadRunner could not be told to close; likewise.
        """
        done, known, over = Round(), set[str](), set[str]()
        cursor, more = "", True
        while more:
            page = self._store.scan(cursor)
            for session in page.sessions:
                if session.server not in self._limits:
                    continue
                known.add(session.key)
                if (why := self._over(session)) is None:
                    done.open += 1
                elif session.key not in over:  # a scan may tell of a session twice
                    over.add(session.key)
                    self._close(session, why)
                    done.closed += 1
            cursor = page.cursor
            more = cursor != ""
            on_page()
        for key in self._known - known - self._closing.keys():
            done.lost += self._close_lost(key)
        for key, since in list(self._closing.items()):
            if self._settle(key, since, over):
                done.removed += 1
                known.discard(key)
        self._known = known
        return done

    def _over(self, session: OpenSession) -> str | None:
        """Why a connection is to be closed, or None."""
        limits, now = self._limits[session.server], self._clock()
        if limits.age is not None and session.opened and now - session.opened > limits.age:
            return f"open for more than {limits.age:g} s"
        if limits.idle is None or not session.saved:
            return None
        if now - session.saved > limits.idle + renewal_period(self._ttl, limits.idle):
            return f"idle for more than {limits.idle:g} s"
        return None

    def _close(self, session: OpenSession, why: str) -> None:
        self._connections.close(session.key)
        if session.key not in self._closing:
            self._closing[session.key] = self._clock()
            log.info("connection %s on server %r is closed: %s", session.key, session.server, why)

    def _close_lost(self, key: str) -> bool:
        """A session that was open in the last round is no more: with its connection, unless it left a tombstone."""
        if self._load(key) is not None:
            return False
        self._connections.close(key)
        return True

    def _settle(self, key: str, since: float, over: set[str]) -> bool:
        """Removes a session whose connection was closed; returns whether it did."""
        stored = self._load(key)
        if stored is not None and not stored.closed:
            if key in over and self._clock() - since <= self._grace:
                return False
            if key not in over:  # its connection is another server's, and speaks
                del self._closing[key]
                return False
        if stored is not None:
            self._store.delete(key)
        del self._closing[key]
        return stored is not None

    def _load(self, key: str) -> StoredSession | None:
        """The session; one that is damaged is as good as none, and goes."""
        try:
            return self._store.load(key)
        except SessionDataError:
            self._store.delete(key)
            return None
