"""What a worker counts gets to the page: once, as sums, and without ever failing whoever counts."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rr_tcp.errors import CodecError, ConfigurationError, MetricsLostError, RPCServiceError, RPCTransportError
from rr_tcp.observability import Distribution, Reporter
from rr_tcp.observability.reporter import PATIENCE
from rr_tcp.plugins.collectors import Counter
from rr_tcp.rpc import Codec
from tests.rr_tcp.observability.page import Page
from tests.support.waiting import wait_until

THINGS = Counter("things_total", "Things.", ("kind",))
DELAY = Distribution("delay_seconds", "Delay.", ("kind",), bounds=(0.1, 1.0))
UNREACHABLE = RPCTransportError("nobody there")


def test_a_line_is_on_the_page_as_zero_before_anything_happened() -> None:
    page = Page()
    reporter = Reporter(page)
    reporter.tally(THINGS, "a")
    reporter.report()
    assert page.lines == {("things_total", "a"): 0}


def test_the_calls_of_a_report_do_not_grow_with_what_was_counted() -> None:
    page = Page()
    reporter = Reporter(page)
    tally, spread = reporter.tally(THINGS, "a"), reporter.spread(DELAY, "a")
    reporter.report()
    before = page.calls
    for _ in range(10_000):
        tally.value += 1
        spread.observe(0.5)
    reporter.report()
    assert page.calls - before == len(["things", "le=1", "le=+Inf", "count", "sum"])
    assert page.lines["things_total", "a"] == 10_000


def test_what_did_not_change_is_not_sent() -> None:
    page = Page()
    reporter = Reporter(page)
    reporter.tally(THINGS, "a").value += 1
    reporter.report()
    before = page.calls
    reporter.report()
    assert page.calls == before


@given(values=st.lists(st.floats(0, 3), max_size=30), cuts=st.sets(st.integers(0, 30)))
def test_a_distribution_is_prometheus_histogram_whenever_it_is_reported(values: list[float], cuts: set[int]) -> None:
    page = Page()
    reporter = Reporter(page)
    spread = reporter.spread(DELAY, "a")
    for index, value in enumerate(values):
        spread.observe(value)
        if index in cuts:
            reporter.report()
    reporter.report()
    assert page.lines["delay_seconds_bucket", "a", "0.1"] == sum(value <= 0.1 for value in values)
    assert page.lines["delay_seconds_bucket", "a", "1"] == sum(value <= 1.0 for value in values)
    assert page.lines["delay_seconds_bucket", "a", "+Inf"] == page.lines["delay_seconds_count", "a"] == len(values)
    assert page.lines["delay_seconds_sum", "a"] == pytest.approx(sum(values))


def test_bounds_are_written_as_numbers_that_are_theirs() -> None:
    page = Page()
    reporter = Reporter(page)
    reporter.spread(Distribution("size_bytes", "Sizes.", bounds=(1024.0, 67108864.0)))
    reporter.report()
    assert {labels[0] for name, *labels in page.lines if name == "size_bytes_bucket"} == {"1024", "67108864", "+Inf"}


@pytest.mark.parametrize("bounds", [(), (1.0, 0.5), (1.0, float("inf"))])
def test_bounds_that_no_histogram_can_have_are_refused(bounds: tuple[float, ...]) -> None:
    with pytest.raises(ConfigurationError, match="delay_seconds"):
        Distribution("delay_seconds", "Delay.", bounds=bounds)


def test_nothing_is_lost_while_the_page_was_never_reached() -> None:
    page = Page()
    reporter = Reporter(page)
    tally = reporter.tally(THINGS, "a")
    tally.value += 1
    page.failure = UNREACHABLE
    with pytest.raises(RPCTransportError):
        reporter.report()
    tally.value += 1
    page.failure = None
    reporter.report()
    assert page.lines["things_total", "a"] == 2


def test_what_may_have_arrived_is_not_sent_again() -> None:
    """A value that counts twice is worse than one that is lost, and said to be."""
    page = Page()
    reporter = Reporter(page)
    tally = reporter.tally(THINGS, "a")
    reporter.report()
    tally.value += 1
    page.failure = UNREACHABLE
    with pytest.raises(MetricsLostError):
        reporter.report()
    page.failure = None
    tally.value += 5
    reporter.report()
    assert page.lines["things_total", "a"] == 5


def test_its_thread_reports_by_itself_and_the_rest_at_the_end() -> None:
    page = Page()
    reporter = Reporter(page, interval=0.01)
    tally = reporter.tally(THINGS, "a")
    reporter.start()
    tally.value += 1
    wait_until(lambda: page.lines["things_total", "a"] == 1)
    reporter.close()

    slow = Reporter(page, interval=3600)
    rest = slow.tally(THINGS, "b")
    slow.start()
    rest.value += 7
    slow.close()
    assert page.lines["things_total", "b"] == 7


def test_a_server_without_metrics_is_told_once_and_not_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    page = Page()
    page.refusal = RPCServiceError("rpc: can't find service metrics.Declare")
    reporter = Reporter(page, interval=0.01)
    reporter.tally(THINGS, "a").value += 1
    reporter.start()
    wait_until(lambda: "reports no metrics: rpc: can't find service" in caplog.text)
    reporter.close()
    assert page.calls == 1


def test_a_failure_is_said_when_it_lasts_and_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    page = Page()
    page.failure = UNREACHABLE
    reporter = Reporter(page, interval=0.001)
    reporter.tally(THINGS, "a")
    reporter.start()
    wait_until(lambda: page.calls > PATIENCE + 20)
    page.failure = None
    wait_until(lambda: "reported again" in caplog.text)
    reporter.close()
    assert caplog.text.count("not reported, but kept: nobody there") == 1


def test_whoever_counts_does_not_wait_for_a_report_that_hangs() -> None:
    class Hanging(Page):
        def exchange(self, calls: Sequence[tuple[str, bytes]], codec: Codec) -> list[bytes | RPCServiceError]:
            del calls, codec
            time.sleep(0.5)
            raise UNREACHABLE

    reporter = Reporter(Hanging(), interval=0.001)
    tally = reporter.tally(THINGS, "a")
    reporter.start()
    start = time.perf_counter()
    for _ in range(1000):
        tally.value += 1
    assert time.perf_counter() - start < 0.4
    reporter.close()


@pytest.mark.parametrize("labels", [(), ("a", "b"), ("\udcff",)])
def test_wrong_labels_are_refused_where_they_are_given(labels: tuple[str, ...]) -> None:
    """In the reporter's thread they would end all metrics of the worker."""
    page = Page()
    reporter = Reporter(page)
    reporter.tally(THINGS, "a").value += 1
    with pytest.raises((ConfigurationError, CodecError)):
        reporter.tally(THINGS, *labels)
    with pytest.raises((ConfigurationError, CodecError)):
        reporter.spread(DELAY, *labels)
    reporter.report()
    assert page.lines == {("things_total", "a"): 1}
