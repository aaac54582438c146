"""How many connections a client may have and how often it may connect, counted by all workers together.

A client is an IPv4 address, or the /64 network of an IPv6 address: a host has all of such a network (RFC 6177). Who is
counted is in the session store, so that it does not matter which worker gets an event.

A connection is counted from its CONNECTED to its CLOSE. RoadRunner does not always report a CLOSE; so when a client has
as many connections as it may, those of them that were counted longest ago are looked at, and one whose session is over
counts no more. Where a worker died or the server was started anew, that is when the reaper has removed the session:
until then a client may be refused wrongly.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

import msgspec

from rr_tcp.access import AccessRules
from rr_tcp.errors import ConfigurationError, SessionError
from rr_tcp.limits import ClientLimits
from rr_tcp.sessions import SessionStore
from rr_tcp.wrapped_store import WrappedStore

log = logging.getLogger(__name__)

WINDOW: Final = 60.0
"""Seconds in which new connections are counted; they begin with a client's first one, and then anew."""

UNCHECKED: Final = 60.0
"""Seconds for which a connection counts without a look at its session, which its CONNECTED event has yet to save: more
than that can take (`supervisor.exec_ttl`)."""

CHECKS: Final = 8
"""Connections that are looked at when a client has as many as it may: a client that is refused costs no more."""

COUNTED: Final = 86400.0
"""Seconds after a client's last new connection until its open ones are forgotten, so that no key outlives its use."""

COMPLAIN_EVERY: Final = 60.0
"""Seconds between two lines of the log that the store fails."""

_IPV6_NETWORK: Final = 64


class Verdict(StrEnum):
    """What becomes of a new connection."""

    ADMITTED = "admitted"
    TOO_MANY = "too many connections at once"
    TOO_OFTEN = "too many connections in a minute"


@runtime_checkable
class ClientStore(Protocol):
    """A session store that counts the connections of clients. Each call is one step to all other processes."""

    def admit(self, client: str, key: str, *, connections: int | None, per_minute: int | None) -> Verdict:
        """Counts a new connection of a client, unless it is one too many.

        Attempts that are refused count for the minute too, and for the open connections not.

        Args:
            client: what is counted, see `client_of`.
            key: the connection's uuid.
            connections: the most open ones; None for any number.
            per_minute: the most new ones within `WINDOW`; None for any number.

        Raises:
            SessionStoreError: the store failed.
        """

    def leave(self, client: str, key: str) -> None:
        """The connection is over. One that is not counted is no error.

        Raises:
            SessionStoreError: the store failed.
        """


class ClientCount(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What a store that can change a record in one step keeps of a client.

    Attributes:
        began: when its minute did, in seconds since the epoch.
        new: connections that came in it.
        open: when each open connection was counted, or seen to be open.
    """

    began: float = 0.0
    new: int = 0
    open: dict[str, float] = {}

    def admit(
        self,
        key: str,
        now: float,
        *,
        connections: int | None,
        per_minute: int | None,
        is_open: Callable[[str], bool],
    ) -> Verdict:
        """As `ClientStore.admit`, at a time; `is_open` tells whether a connection's session is there and not ended."""
        if per_minute is not None:
            if not 0 <= now - self.began < WINDOW:
                self.began, self.new = now, 0
            self.new += 1
            if self.new > per_minute:
                return Verdict.TOO_OFTEN
        if connections is not None:
            if len(self.open) >= connections:
                self._check(now, is_open)
            if len(self.open) >= connections:
                return Verdict.TOO_MANY
            self.open[key] = now
        return Verdict.ADMITTED

    def expires(self, now: float) -> float:
        """When nothing of it counts any more; `now` or before if that is so already."""
        return max(self.began + WINDOW, now + COUNTED if self.open else 0.0)

    def _check(self, now: float, is_open: Callable[[str], bool]) -> None:
        due = [key for key, since in self.open.items() if now - since > UNCHECKED]
        for key in sorted(due, key=self.open.__getitem__)[:CHECKS]:
            if is_open(key):
                self.open[key] = now
            else:
                del self.open[key]


def client_of(host: str) -> str | None:
    """What connections of an address count for; None for what is no IP address (a unix socket's client)."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _IPV6_NETWORK), strict=False))


class Admission:
    """Holds clients to their limits.

    When the store fails, everybody is let in: a limit that cannot be counted must not be what refuses all clients.

    Args:
        store: counts; one that is around another store leaves that to it.
        limits: for each client.
        clock: seconds.

    Raises:
        ConfigurationError: the store cannot count.
    """

    def __init__(self, store: SessionStore, limits: ClientLimits, clock: Callable[[], float] = time.monotonic) -> None:
        if isinstance(store, WrappedStore):
            store = store.inner
        if not isinstance(store, ClientStore):
            raise ConfigurationError(
                "limits of connections per client need a session store on LMDB or Redis, and a "
                f"{type(store).__name__} cannot count what several workers admit: use another one, or no such limits"
            )
        self._store = store
        self._limits = limits
        self._exempt = AccessRules(allow=limits.exempt) if limits.exempt else None
        self._clock = clock
        self._complained = -COMPLAIN_EVERY

    def admits(self, host: str, key: str) -> bool:
        """Whether a new connection from this address may stay; then it counts."""
        client = self._counted(host)
        if client is None:
            return True
        try:
            verdict = self._store.admit(
                client, key, connections=self._limits.connections, per_minute=self._limits.per_minute
            )
        except SessionError as error:
            self._complain(error)
            return True
        if verdict is not Verdict.ADMITTED:
            log.info("connection %s from %s is refused: %s", key, client, verdict)
        return verdict is Verdict.ADMITTED

    def leaves(self, host: str, key: str) -> None:
        """A connection that may have been counted is over."""
        client = self._counted(host)
        if client is not None:
            try:
                self._store.leave(client, key)
            except SessionError as error:
                self._complain(error)

    def _counted(self, host: str) -> str | None:
        if self._exempt is not None and self._exempt.allows(host):
            return None
        return client_of(host)

    def _complain(self, error: SessionError) -> None:
        """Once in a while: with the store down, every connection comes here."""
        now = self._clock()
        if now - self._complained >= COMPLAIN_EVERY:
            self._complained = now
            log.warning("clients are not held to their limits while their connections cannot be counted: %s", error)
