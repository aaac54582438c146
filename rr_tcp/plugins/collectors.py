"""What a metric of RoadRunner is (metrics v5.2.0): descriptions of collectors, for `rr_tcp.plugins.metrics`.

The server ends, with all its connections, when a histogram's buckets do not rise, or when a label has a name that
Prometheus itself uses; neither can be described here. It refuses names that Prometheus does not take.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar, TypeAlias

import msgspec

from rr_tcp.errors import ConfigurationError


class _Description(msgspec.Struct, frozen=True):
    """What all kinds of collectors have.

    Attributes:
        name: of the metric, without namespace and subsystem; unique in the server, whatever those are.
        help: what it tells, for the page.
        labels: their names; each value of the metric comes with one value per label.
        namespace: the first part of the name on the page, `namespace_subsystem_name`.
        subsystem: the second part.

    Raises:
        ConfigurationError: a description that would end the server.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    namespace: str = ""
    subsystem: str = ""

    kind: ClassVar[str]
    reserved_label: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        if self.reserved_label in self.labels:
            raise ConfigurationError(
                f"no label of the {self.kind} {self.name} can have the name {self.reserved_label!r}: take another"
            )


class Counter(_Description, frozen=True):
    """A number that only grows."""

    kind = "counter"


class Gauge(_Description, frozen=True):
    """A number that goes up and down."""

    kind = "gauge"


class Histogram(_Description, frozen=True):
    """Counts of observed values by size.

    Attributes:
        buckets: the upper bounds, rising; one for infinity is added by the server. By default Prometheus's own, which
            are made for seconds: eleven from 0.005 to 10.
    """

    buckets: tuple[float, ...] = ()

    kind = "histogram"
    reserved_label = "le"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(map(math.isfinite, self.buckets)) or any(low >= high for low, high in pairwise(self.buckets)):
            raise ConfigurationError(f"the buckets of {self.name} must be finite and rise: {self.buckets}")


class Summary(_Description, frozen=True):
    """Count and sum of observed values. Its quantiles cannot be asked for over RPC: use a histogram for those."""

    kind = "summary"
    reserved_label = "quantile"


Collector: TypeAlias = Counter | Gauge | Histogram | Summary
