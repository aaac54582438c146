"""Metrics of an application on RoadRunner's Prometheus page (metrics v5.2.0): section `metrics` of .rr.yaml.

A collector is described once, as a constant, and declared when the worker starts; every worker may declare it:

    REQUESTS = Counter("requests_total", "Requests by server.", labels=("server",))

    metrics = Metrics(rpc)
    metrics.declare(REQUESTS)
    metrics.add(REQUESTS, 1, "smtp")

Each of these calls is a round trip to RoadRunner, as long as an event takes. `MetricsBatch` has the same methods
without one, and `flush`.

The server ends, with all its connections, when a counter is lowered; amounts below 0 are refused before they are sent.
"""

from __future__ import annotations

import abc
import enum
import math
import time
from collections.abc import Callable
from typing import Any, Final

from rr_tcp.errors import CodecError, ConfigurationError, MetricsLostError, RPCServiceError, RPCTransportError
from rr_tcp.plugins.collectors import Collector, Counter, Gauge, Histogram, Summary
from rr_tcp.rpc import RPC

DEFAULT_INTERVAL: Final = 1.0
"""Seconds between two flushes of a batch: Prometheus reads the page less often than that."""

DEFAULT_LIMIT: Final = 1000
"""Entries of a batch, whose flush takes some 30 ms."""


class _Method(enum.StrEnum):
    ADD = "metrics.Add"
    SUB = "metrics.Sub"
    SET = "metrics.Set"
    OBSERVE = "metrics.Observe"


_Key = tuple[str, tuple[str, ...]]
"""A collector's name and its labels' values: one line of the page."""


class _Recorder(abc.ABC):
    """What can be done with the values of collectors.

    Every method takes the collector, an amount or value, and a value for each of the collector's labels, and raises
    `ConfigurationError` for a wrong number of labels, `CodecError` for a value that is out of range or a label that has
    no UTF-8 form.
    """

    def add(self, collector: Counter | Gauge, amount: float, *labels: str) -> None:
        """Raises a counter or a gauge by an amount of 0 or more."""
        self._record(_Method.ADD, line_key(collector, labels), _amount(collector.name, amount))

    def sub(self, collector: Gauge, amount: float, *labels: str) -> None:
        """Lowers a gauge by an amount of 0 or more."""
        self._record(_Method.SUB, line_key(collector, labels), _amount(collector.name, amount))

    def set(self, collector: Gauge, value: float, *labels: str) -> None:
        """Sets a gauge."""
        self._record(_Method.SET, line_key(collector, labels), _finite(collector.name, value))

    def observe(self, collector: Histogram | Summary, value: float, *labels: str) -> None:
        """Gives a histogram or a summary one value."""
        self._record(_Method.OBSERVE, line_key(collector, labels), _finite(collector.name, value))

    @abc.abstractmethod
    def _record(self, method: _Method, key: _Key, value: float) -> None: ...


class Metrics(_Recorder):
    """The collectors of the server; every call is one to RoadRunner.

    Every method raises `RPCError` when the call fails: `RPCServiceError` for a collector that is not declared, or of
    another kind in the server.

    Args:
        rpc: the connection to RoadRunner.
    """

    def __init__(self, rpc: RPC) -> None:
        self._rpc = rpc
        self._declared: dict[str, Collector] = {}

    def declare(self, *collectors: Collector) -> None:
        """Makes collectors known to the server, in the time of one call; what was declared here before is left out.

        The server keeps the first description of a name, whoever gave it, and does not tell; it lives as long as the
        server.

        Raises:
            ConfigurationError: another description of that name was declared here.
            RPCServiceError: not a name that Prometheus takes, or one of the server's own.
        """
        new: dict[str, Collector] = {}
        for collector in collectors:
            known = self._declared.get(collector.name) or new.setdefault(collector.name, collector)
            if known != collector:
                raise ConfigurationError(f"the metric {collector.name} has two descriptions: give one another name")
        results = self._rpc.call_many([("metrics.Declare", _declaration(collector)) for collector in new.values()])
        refused = [result for result in results if isinstance(result, RPCServiceError)]
        if refused:
            raise refused[0]
        self._declared.update(new)

    def unregister(self, collector: Collector) -> None:
        """Takes a collector off the page, for all workers, with its values.

        Raises:
            RPCServiceError: no such collector.
        """
        self._declared.pop(collector.name, None)
        self._rpc.call("metrics.Unregister", collector.name)

    def _record(self, method: _Method, key: _Key, value: float) -> None:
        self._rpc.call(*_update(method, key, value))


class MetricsBatch(_Recorder):
    """Collects values without a call to RoadRunner, until `flush` brings them to the page.

    What happened to one line of the page becomes one call: amounts are summed, and a gauge that was set forgets what
    was before. Observed values cannot be merged, the server takes them one by one. All calls of a flush are made at
    once. A worker that is killed takes what it did not flush with it.

    A loop that handles events flushes when it is `due`, and once more before it ends:

        batch.add(REQUESTS, 1, "smtp")
        if batch.due:
            batch.flush()

    Args:
        rpc: the connection to RoadRunner.
        interval: seconds from the first value of a batch until it is due.
        limit: entries that the batch holds at most; with so many it is due, and takes no more of them.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        rpc: RPC,
        *,
        interval: float = DEFAULT_INTERVAL,
        limit: int = DEFAULT_LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rpc = rpc
        self._interval = interval
        self._limit = limit
        self._clock = clock
        self._due_at = math.inf
        self._merged: dict[_Key, tuple[_Method, float]] = {}
        self._observed: list[tuple[_Key, float]] = []
        self._overflow = 0

    def __len__(self) -> int:
        """The calls that a flush would make."""
        return len(self._merged) + len(self._observed)

    @property
    def due(self) -> bool:
        """Whether it is time to flush."""
        return len(self) >= self._limit or self._clock() >= self._due_at

    def flush(self) -> None:
        """Brings the values to the page and empties the batch, also when it fails: no value ever counts twice.

        Raises:
            MetricsLostError: values were refused by RoadRunner, did not fit the batch, or may not have arrived.
        """
        calls = [_update(method, key, value) for key, (method, value) in self._merged.items()]
        calls += [_update(_Method.OBSERVE, key, value) for key, value in self._observed]
        problems = [f"{self._overflow} came when the batch of {self._limit} was full"] * bool(self._overflow)
        self._merged, self._observed, self._overflow, self._due_at = {}, [], 0, math.inf
        try:
            results = self._rpc.call_many(calls)
        except (RPCTransportError, CodecError) as error:
            raise MetricsLostError(
                "; ".join([f"{len(calls)} metric updates may be lost: {error}", *problems])
            ) from error
        refused = [str(result) for result in results if isinstance(result, RPCServiceError)]
        if refused:
            problems.append(f"{len(refused)} were refused: {', '.join(sorted(set(refused)))}")
        if problems:
            raise MetricsLostError("metric updates were lost: " + "; ".join(problems))

    def _record(self, method: _Method, key: _Key, value: float) -> None:
        if len(self) >= self._limit and (method is _Method.OBSERVE or key not in self._merged):
            self._overflow += 1
            return
        if not len(self):
            self._due_at = self._clock() + self._interval
        if method is _Method.OBSERVE:
            self._observed.append((key, value))
        else:
            self._merged[key] = _merge(key, self._merged.get(key), method, value)


def _merge(key: _Key, before: tuple[_Method, float] | None, method: _Method, value: float) -> tuple[_Method, float]:
    """What two updates of one line come to: SET of a value, or ADD of an amount that may be negative here."""
    if method is _Method.SET:
        return method, value
    kept, total = before or (_Method.ADD, 0.0)
    return kept, _finite(key[0], total - value if method is _Method.SUB else total + value)


def _update(method: _Method, key: _Key, value: float) -> tuple[str, dict[str, Any]]:
    if method is _Method.ADD and value < 0:
        method, value = _Method.SUB, -value
    name, labels = key
    return method, {"name": name, "value": value, "labels": labels}


def _declaration(collector: Collector) -> dict[str, Any]:
    described = {
        "namespace": collector.namespace,
        "subsystem": collector.subsystem,
        "type": collector.kind,
        "help": collector.help,
        "labels": collector.labels,
        "buckets": collector.buckets if isinstance(collector, Histogram) else (),
    }
    return {"name": collector.name, "collector": described}


def line_key(collector: Collector, labels: tuple[str, ...]) -> _Key:
    """Which line of the page a collector has for these values of its labels.

    Raises:
        ConfigurationError: there are more or fewer values than labels.
        CodecError: a value has no UTF-8 form.
    """
    if len(labels) != len(collector.labels):
        raise ConfigurationError(f"{collector.name} has the labels {collector.labels}, but its values are {labels}")
    try:
        "".join(labels).encode()
    except UnicodeEncodeError as error:
        raise CodecError(f"a label of {collector.name} has no UTF-8 form: {error.reason}") from error
    return collector.name, labels


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):  # JSON would make it null, and the server 0
        raise CodecError(f"the values of {name} are finite, not {value}")
    return value


def _amount(name: str, amount: float) -> float:
    if amount < 0:
        raise CodecError(f"{name} changes by amounts of 0 or more, not by {amount:g}; what can go down has `sub`")
    return _finite(name, amount)
