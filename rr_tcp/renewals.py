"""When a session that did not change is saved again, only so that it lives on and counts as used."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

PART: Final = 0.1
"""Part of the time to live, or of the limit of idle time, that may be over before a session that does not change is
saved again."""

MAX_KNOWN: Final = 4096
"""Sessions that are remembered; one that is forgotten costs a save."""


def renewal_period(ttl: float, idle: float | None) -> float:
    """Seconds by which the last save that a store knows of may lie before a connection's last event.

    Args:
        ttl: seconds that a session lives after a save.
        idle: the limit of idle time, seconds; None for none.
    """
    return PART * (ttl if idle is None else min(ttl, idle))


class Renewals:
    """Saves that do nothing but start a session's time to live anew, which not every event needs.

    Each worker remembers what it saved itself, so a session is saved at least once per worker and period. No store
    needs to tell how long a session has left.

    Args:
        period: seconds between two saves, see `renewal_period`.
        clock: seconds.
    """

    __slots__ = ("_clock", "_period", "_times")

    def __init__(self, period: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._period = period
        self._clock = clock
        self._times: OrderedDict[str, float] = OrderedDict()

    def due(self, key: str) -> bool:
        """Whether the session has to be saved. That it is, from now on, is remembered."""
        now, last = self._clock(), self._times.get(key)
        if last is not None and now - last < self._period:
            return False
        self._times[key] = now
        self._times.move_to_end(key)
        if len(self._times) > MAX_KNOWN:
            self._times.popitem(last=False)
        return True
