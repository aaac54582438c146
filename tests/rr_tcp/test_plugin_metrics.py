"""Metrics: what is sent, what a batch merges, and that nothing is lost without an error."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rr_tcp.errors import CodecError, ConfigurationError, MetricsLostError, RPCServiceError, RPCTransportError
from rr_tcp.plugins.collectors import Counter, Gauge, Histogram, Summary
from rr_tcp.plugins.metrics import Metrics, MetricsBatch
from tests.rr_tcp.recording import RecordingRPC
from tests.support.clock import Clock

REQUESTS = Counter("requests_total", "Requests.", labels=("server", "code"))
OPEN = Gauge("open", "Open connections.")
DELAY = Histogram("delay_seconds", "Delay.", buckets=(0.1, 1.0))
SIZE = Summary("size_bytes", "Sizes.")

OK = b"true"


def sent(rpc: RecordingRPC) -> list[tuple[str, Any]]:
    return [(method, msgspec.json.decode(body)) for method, body, _ in rpc.calls]


def values(rpc: RecordingRPC) -> set[tuple[str, str, float, tuple[str, ...]]]:
    return {(method, body["name"], body["value"], tuple(body["labels"])) for method, body in sent(rpc)}


def test_a_description_is_nested_and_all_of_one_declaration_go_at_once() -> None:
    rpc = RecordingRPC(OK, OK)
    Metrics(rpc).declare(Counter("c", "C.", ("l",), namespace="n", subsystem="s"), DELAY)
    empty = {"namespace": "", "subsystem": "", "labels": [], "buckets": []}
    assert sent(rpc) == [
        (
            "metrics.Declare",
            {
                "name": "c",
                "collector": {
                    **empty, "namespace": "n", "subsystem": "s", "type": "counter", "help": "C.", "labels": ["l"]
                },
            },
        ),
        (
            "metrics.Declare",
            {
                "name": "delay_seconds",
                "collector": {**empty, "type": "histogram", "help": "Delay.", "buckets": [0.1, 1]},
            },
        ),
    ]  # fmt: skip
    assert rpc.exchanges == [2]


def test_a_collector_is_declared_once() -> None:
    rpc = RecordingRPC(OK, OK)
    metrics = Metrics(rpc)
    metrics.declare(OPEN, OPEN)
    metrics.declare(SIZE, OPEN)
    assert [body["name"] for _, body in sent(rpc)] == ["open", "size_bytes"]


def test_two_descriptions_of_one_name_are_refused() -> None:
    """The server would keep the first one and say nothing."""
    metrics = Metrics(RecordingRPC(OK))
    with pytest.raises(ConfigurationError, match="open has two descriptions"):
        metrics.declare(OPEN, Counter("open", "Open connections."))
    metrics.declare(OPEN)
    with pytest.raises(ConfigurationError, match="open has two descriptions"):
        metrics.declare(Gauge("open", "Others."))


@pytest.mark.parametrize("failure", [RPCServiceError("no"), RPCTransportError("gone")])
def test_a_declaration_that_failed_is_made_again(failure: RPCServiceError | RPCTransportError) -> None:
    rpc = RecordingRPC(failure, OK)
    metrics = Metrics(rpc)
    with pytest.raises(type(failure)):
        metrics.declare(OPEN)
    metrics.declare(OPEN)
    assert len(rpc.calls) == 2


def test_an_unregistered_collector_can_be_declared_again() -> None:
    rpc = RecordingRPC(OK, OK, OK)
    metrics = Metrics(rpc)
    metrics.declare(OPEN)
    metrics.unregister(OPEN)
    metrics.declare(Gauge("open", "Others."))
    assert sent(rpc)[1] == ("metrics.Unregister", "open")


@pytest.mark.parametrize("buckets", [(1.0, 1.0), (2.0, 1.0), (1.0, float("inf")), (float("nan"),)])
def test_buckets_that_would_end_the_server_are_refused(buckets: tuple[float, ...]) -> None:
    with pytest.raises(ConfigurationError, match="must be finite and rise"):
        Histogram("h", "H.", buckets=buckets)


def test_labels_that_would_end_the_server_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="histogram h can have the name 'le'"):
        Histogram("h", "H.", labels=("a", "le"))
    with pytest.raises(ConfigurationError, match="summary s can have the name 'quantile'"):
        Summary("s", "S.", labels=("quantile",))


@pytest.mark.parametrize("recorder", [Metrics(RecordingRPC()), MetricsBatch(RecordingRPC())])
def test_values_that_would_end_the_server_or_become_others_are_refused(recorder: Metrics | MetricsBatch) -> None:
    """A counter that is lowered ends the server; JSON has no infinity."""
    for change in (recorder.add, recorder.sub):
        for amount in (-1.0, float("nan"), float("inf"), -float("inf")):
            with pytest.raises(CodecError, match="open"):
                change(OPEN, amount)
    for value in (float("nan"), float("inf")):
        with pytest.raises(CodecError, match="finite"):
            recorder.set(OPEN, value)
        with pytest.raises(CodecError, match="finite"):
            recorder.observe(SIZE, value)


def test_labels_are_counted_here() -> None:
    """The server ignores labels of a collector that has none."""
    metrics = Metrics(RecordingRPC())
    with pytest.raises(ConfigurationError, match="requests_total has the labels"):
        metrics.add(REQUESTS, 1, "smtp")
    with pytest.raises(ConfigurationError, match="open has the labels"):
        metrics.set(OPEN, 1, "smtp")


def test_a_label_without_utf8_form_is_refused_before_it_spoils_a_batch() -> None:
    batch = MetricsBatch(RecordingRPC())
    with pytest.raises(CodecError, match="no UTF-8 form"):
        batch.add(REQUESTS, 1, "smtp", "\udcff")
    assert len(batch) == 0


def test_every_kind_of_update_is_one_call() -> None:
    rpc = RecordingRPC(OK, OK, OK, OK)
    metrics = Metrics(rpc)
    metrics.add(REQUESTS, 2, "smtp", "250")
    metrics.sub(OPEN, 1)
    metrics.set(OPEN, -5)
    metrics.observe(DELAY, 0.5)
    assert sent(rpc) == [
        ("metrics.Add", {"name": "requests_total", "value": 2, "labels": ["smtp", "250"]}),
        ("metrics.Sub", {"name": "open", "value": 1, "labels": []}),
        ("metrics.Set", {"name": "open", "value": -5, "labels": []}),
        ("metrics.Observe", {"name": "delay_seconds", "value": 0.5, "labels": []}),
    ]


def test_a_batch_is_one_call_per_line_of_the_page_all_at_once() -> None:
    rpc = RecordingRPC(*[OK] * 5)
    batch = MetricsBatch(rpc)
    for _ in range(100):
        batch.add(REQUESTS, 1, "smtp", "250")
        batch.add(REQUESTS, 2, "smtp", "451")
        batch.add(OPEN, 1)
        batch.sub(OPEN, 3)
    batch.observe(DELAY, 0.5)
    batch.observe(DELAY, 0.5)
    assert rpc.calls == []
    assert len(batch) == 5
    batch.flush()
    assert values(rpc) == {
        ("metrics.Add", "requests_total", 100, ("smtp", "250")),
        ("metrics.Add", "requests_total", 200, ("smtp", "451")),
        ("metrics.Sub", "open", 200, ()),
        ("metrics.Observe", "delay_seconds", 0.5, ()),
    }
    assert rpc.exchanges == [5]
    assert len(batch) == 0


OPERATIONS = st.lists(st.tuples(st.sampled_from(["add", "sub", "set"]), st.integers(0, 1000)), max_size=20)


@given(st.integers(-1000, 1000), st.lists(OPERATIONS, max_size=4))
def test_a_gauge_has_the_same_value_with_a_batch_as_without(start: int, flushes: list[list[tuple[str, int]]]) -> None:
    """In whatever order, cut into flushes in whatever way."""

    def apply(value: float, method: str, argument: float) -> float:
        return {"add": value + argument, "sub": value - argument, "set": argument}[method]

    direct = batched = float(start)
    for operations in flushes:
        rpc = RecordingRPC(OK)
        batch = MetricsBatch(rpc)
        for method, argument in operations:
            getattr(batch, method)(OPEN, argument)
            direct = apply(direct, method, argument)
        batch.flush()
        for method, body in sent(rpc):
            batched = apply(batched, method.removeprefix("metrics.").lower(), body["value"])
    assert batched == direct


def test_a_batch_is_due_after_its_interval_or_when_it_is_full() -> None:
    clock = Clock()
    batch = MetricsBatch(RecordingRPC(*[OK] * 3), interval=2.0, limit=2, clock=clock)
    clock.now = 100.0
    due = [batch.due]
    batch.set(OPEN, 1)
    clock.now = 101.9
    batch.set(OPEN, 2)
    due.append(batch.due)
    clock.now = 102.0
    due.append(batch.due)
    batch.flush()
    due.append(batch.due)
    batch.observe(SIZE, 1)
    due.append(batch.due)
    batch.observe(SIZE, 1)
    due.append(batch.due)
    assert due == [False, False, True, False, False, True]


def test_a_full_batch_merges_on_and_tells_what_did_not_fit() -> None:
    rpc = RecordingRPC(OK, OK)
    batch = MetricsBatch(rpc, limit=2)
    batch.add(OPEN, 1)
    for size in range(4):
        batch.observe(SIZE, size)
    batch.add(OPEN, 1)
    batch.add(REQUESTS, 1, "smtp", "250")
    with pytest.raises(MetricsLostError, match="4 came when the batch of 2 was full"):
        batch.flush()
    assert values(rpc) == {("metrics.Add", "open", 2, ()), ("metrics.Observe", "size_bytes", 0, ())}
    batch.flush()


def test_refused_updates_are_named_once_each_and_the_others_arrive() -> None:
    unknown = RPCServiceError("metrics.Observe: undefined collector size_bytes")
    rpc = RecordingRPC(OK, unknown, unknown, RPCServiceError("metrics.Observe: no"))
    batch = MetricsBatch(rpc)
    batch.set(OPEN, 1)
    batch.observe(SIZE, 1)
    batch.observe(SIZE, 2)
    batch.observe(DELAY, 2)
    with pytest.raises(
        MetricsLostError,
        match=r"3 were refused: metrics\.Observe: no, metrics\.Observe: undefined collector size_bytes$",
    ):
        batch.flush()
    assert len(rpc.calls) == 4
    batch.flush()


def test_an_answer_that_cannot_be_read_is_a_loss_too() -> None:
    batch = MetricsBatch(RecordingRPC(b"{"))
    batch.set(OPEN, 1)
    with pytest.raises(MetricsLostError, match=r"1 metric updates may be lost: .* no JSON"):
        batch.flush()


def test_updates_that_may_have_arrived_are_not_sent_again() -> None:
    """A counter would count them twice."""
    rpc = RecordingRPC(RPCTransportError("gone"))
    batch = MetricsBatch(rpc)
    batch.set(OPEN, 1)
    with pytest.raises(MetricsLostError, match=r"1 metric updates may be lost: gone$") as caught:
        batch.flush()
    assert isinstance(caught.value.__cause__, RPCTransportError)
    assert len(batch) == 0
    batch.flush()
    assert rpc.exchanges == [1, 0]


def test_a_sum_beyond_the_numbers_is_refused_and_the_rest_of_it_kept() -> None:
    rpc = RecordingRPC(OK)
    batch = MetricsBatch(rpc)
    batch.add(OPEN, 1.5e308)
    with pytest.raises(CodecError, match="finite"):
        batch.add(OPEN, 1.5e308)
    batch.flush()
    assert values(rpc) == {("metrics.Add", "open", 1.5e308, ())}
