"""Brings what a worker counted to RoadRunner's metrics page, in a thread of its own: no event ever waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from rr_tcp.errors import MetricsLostError, RPCError, RPCServiceError, RRTcpError
from rr_tcp.observability.tallies import Distribution, Spread, Tally
from rr_tcp.plugins.collectors import Counter
from rr_tcp.plugins.metrics import DEFAULT_INTERVAL, Metrics, MetricsBatch, line_key
from rr_tcp.rpc import RPC

log = logging.getLogger(__name__)

STOP_TIMEOUT: Final = 3.0
"""Seconds that the last report may take: less than a worker has for its end (`rr_tcp.process.END_TIMEOUT`)."""


PATIENCE: Final = 5
"""Reports in a row that may fail unsaid while nothing is lost: workers start before RoadRunner answers calls."""


@dataclass(slots=True)
class _Line:
    """One line of the page.

    Attributes:
        collector: the metric.
        labels: their values.
        read: the value in this process, which only grows.
        reported: how much of it the page has; None until it has the line.
    """

    collector: Counter
    labels: tuple[str, ...]
    read: Callable[[], float]
    reported: float | None = None


class Reporter:
    """The metrics of one worker.

    Counting is adding to a `Tally` or `Spread`: no call, no lock. A thread sends what is new, once in an interval, in
    one batch whose size depends on the number of lines and not on that of events. A line is on the page, as 0, before
    its first event: Prometheus sees the first increase too.

    What is not reported when a process is killed is lost, at most one interval's; so is a batch that RoadRunner did
    not take. Nothing is ever counted twice. A failure that lasts is logged, once until the page can be reached again.

    Args:
        rpc: a connection to RoadRunner that nothing else uses.
        interval: seconds between two reports.
    """

    def __init__(self, rpc: RPC, *, interval: float = DEFAULT_INTERVAL) -> None:
        self._rpc = rpc
        self._metrics = Metrics(rpc)
        self._interval = interval
        self._lines: list[_Line] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failures = 0

    def tally(self, collector: Counter, *labels: str) -> Tally:
        """A line of a counter, to be added to by the thread that handles the events. Ask once, and keep it.

        Raises:
            ConfigurationError: there are more or fewer values than labels.
            CodecError: a value has no UTF-8 form.
        """
        line_key(collector, labels)  # here, where the mistake is: in the reporter's thread it would end all metrics
        tally = Tally()
        self._lines.append(_Line(collector, labels, lambda: tally.value))
        return tally

    def spread(self, distribution: Distribution, *labels: str) -> Spread:
        """The lines of a distribution; as `tally`."""
        line_key(distribution.count, labels)
        spread = Spread(distribution.bounds)
        last = len(distribution.bounds)
        for index, bound in enumerate(distribution.bounds):
            line = (*labels, f"{bound:.12g}")
            self._lines.append(_Line(distribution.buckets, line, partial(spread.up_to, index)))
        self._lines.append(_Line(distribution.buckets, (*labels, "+Inf"), partial(spread.up_to, last)))
        self._lines.append(_Line(distribution.count, labels, partial(spread.up_to, last)))
        self._lines.append(_Line(distribution.sum, labels, lambda: spread.total))
        return spread

    def start(self) -> None:
        """Starts to report. Call it before the first event (`App.on_startup`)."""
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Reports what is left and ends; within `STOP_TIMEOUT`."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT)

    def report(self) -> None:
        """Sends what is new.

        Raises:
            RPCError: RoadRunner cannot be reached, or has no metrics plugin. Nothing was sent, nothing is lost.
            MetricsLostError: a part of it, or all, is lost.
        """
        lines = list(self._lines)  # the events' thread may add some meanwhile
        self._metrics.declare(
            *{line.collector.name: line.collector for line in lines if line.reported is None}.values()
        )
        batch = MetricsBatch(self._rpc, limit=len(lines) + 1)
        for line in lines:
            value = line.read()
            if line.reported is None or value > line.reported:
                batch.add(line.collector, value - (line.reported or 0.0), *line.labels)
                line.reported = value
        batch.flush()

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._interval):
                self._try_to_report()
            self._try_to_report()
        except RRTcpError as error:
            log.warning("this worker reports no metrics: %s", error)
        finally:
            self._rpc.close()

    def _try_to_report(self) -> None:
        try:
            self.report()
        except RPCServiceError:  # no metrics plugin, or another metric of that name: it will be so the next time too
            raise
        except RPCError as error:
            self._failures += 1
            if self._stop.is_set():  # with the server, whose page goes as well
                log.debug("the last metrics were not reported: %s", error)
            elif isinstance(error, MetricsLostError) and self._failures < PATIENCE:
                self._failures = PATIENCE
                log.warning("%s", error)
            elif self._failures == PATIENCE:
                log.warning("metrics are not reported, but kept: %s", error)
        else:
            if self._failures >= PATIENCE:
                log.info("metrics are reported again")
            self._failures = 0
