"""When a mail is tried again, and when no more (RFC 5321 4.5.4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_DOUBLINGS: Final = 30
"""More would only lead to numbers without meaning."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Retries at intervals that double.

    Attributes:
        first: seconds until the second attempt.
        longest: seconds that no interval is longer than.
        give_up: seconds after the first attempt until what is still to be done fails for good. RFC 5321 4.5.4.1 asks
            for four to five days.
    """

    first: float = 60.0
    longest: float = 3600.0
    give_up: float = 5 * 86400.0

    def delay(self, tries: int, *, left: float, at_least: float = 0.0, chance: float = 0.0) -> float:
        """Seconds until the next attempt.

        Args:
            tries: how many there were.
            left: seconds until `give_up`: the last attempt is then, not some time before.
            at_least: what the other side asked for.
            chance: from 0 to 1. Up to a quarter of the interval is left out, so that mails which failed together do not
                come back together.
        """
        interval = min(self.longest, self.first * 2.0 ** min(tries - 1, _DOUBLINGS))
        return max(0.0, min(left, max(at_least, interval * (1 - chance / 4))))
