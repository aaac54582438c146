"""A clock that stands still until a test moves it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """Seconds.

    Attributes:
        now: what it tells.
    """

    now: float = 0.0

    def __call__(self) -> float:
        return self.now
