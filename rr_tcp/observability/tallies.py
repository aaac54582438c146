"""Numbers that a worker counts in its own memory, for a `Reporter` to bring to RoadRunner's metrics page.

Each has one writer, the thread that handles the events, and one reader, the reporter's. A number only grows, and the
reader remembers how far it was: so neither needs a lock, and an event never waits for the other.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rr_tcp.errors import ConfigurationError
from rr_tcp.plugins.collectors import Counter, Histogram

SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0)
"""Bounds for the time of an event or a store call: from a tenth of a millisecond to `exec_ttl`."""


class Tally:
    """A sum that grows.

    Attributes:
        value: the sum so far; the one writer adds to it.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class Spread:
    """How many values were observed up to each bound, and their sum.

    Args:
        bounds: rising; values above the last one are counted as well.
    """

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts one value of 0 or more."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def up_to(self, index: int) -> int:
        """How many values are within the bound of that index; past the last one, all."""
        return sum(self.counts[: index + 1])


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram whose buckets are counted here and reported as sums.

    RoadRunner takes the values of a `Histogram` one call each, some 30 us that it would add to every event. Prometheus
    sees no difference: a classic histogram is nothing but these three counters (its text format, version 0.0.4).

    Attributes:
        name: of the metric, in base units, e.g. `rr_tcp_event_duration_seconds`.
        help: what it tells.
        labels: their names.
        bounds: upper bounds of the buckets, rising; one for infinity is added.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = SECONDS

    def __post_init__(self) -> None:
        """Refuses, with `ConfigurationError`, what no histogram can have."""
        Histogram(self.name, self.help, self.labels, buckets=self.bounds)
        if not self.bounds:
            raise ConfigurationError(f"the distribution {self.name} has no bounds: give it at least one")

    @property
    def buckets(self) -> Counter:
        """Values up to each bound, which the label `le` names."""
        return Counter(f"{self.name}_bucket", self.help, (*self.labels, "le"))

    @property
    def sum(self) -> Counter:
        """The sum of all values."""
        return Counter(f"{self.name}_sum", self.help, self.labels)

    @property
    def count(self) -> Counter:
        """How many values there were."""
        return Counter(f"{self.name}_count", self.help, self.labels)
