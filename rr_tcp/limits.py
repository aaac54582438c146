"""How long connections may stay open, and how many of them a client may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rr_tcp.errors import ConfigurationError
from rr_tcp.sessions import MAX_TTL

MIN_LIMIT: Final = 1.0
"""Seconds. Times are compared by the clocks of several processes, and the reaper comes every few seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """When the reaper closes a server's connections. RoadRunner's TCP plugin has no limit of its own (v5.1.9).

    Attributes:
        idle: seconds without an event until a connection is closed; None for no limit. Bytes without the delimiter
            are no event. A connection is closed up to a tenth of the limit later, as not every event is recorded.
        age: seconds from its beginning until a connection is closed, whatever it does; None for no limit.

    Raises:
        ConfigurationError: a limit is out of range.
    """

    idle: float | None = None
    age: float | None = None

    def __post_init__(self) -> None:
        for name in ("idle", "age"):
            limit: float | None = getattr(self, name)
            if limit is not None and not MIN_LIMIT <= limit <= MAX_TTL:
                raise ConfigurationError(
                    f"a connection's {name} limit is {MIN_LIMIT:g} to {MAX_TTL:.0f} seconds, or none, not {limit:g}"
                )


NO_LIMITS: Final = ConnectionLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """What a client, an IPv4 address or an IPv6 /64, may have of all servers of an App together.

    Attributes:
        connections: the most open ones at a time; None for any number.
        per_minute: the most new ones in a minute, which begins with the first one; None for any number.
        exempt: networks in CIDR form, or addresses, that have no limits.

    Raises:
        ConfigurationError: a number is below 1.
    """

    connections: int | None = None
    per_minute: int | None = None
    exempt: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("connections", "per_minute"):
            limit: int | None = getattr(self, name)
            if limit is not None and limit < 1:
                raise ConfigurationError(f"a client's {name} limit is 1 or more, or none, not {limit}")
