"""The real stack sends its spans to a collector, over OTLP/HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tests.integration.observed import TEXT, observed_stack, send_mails
from tests.support.collector import running_collector


def attributes(pairs: Any) -> dict[str, str | int]:
    values: dict[str, str | int] = {}
    for pair in pairs:
        assert isinstance(pair, KeyValue)
        values[pair.key] = pair.value.string_value or pair.value.int_value
    return values


def test_a_mails_events_are_spans_at_the_collector_at_the_latest_when_the_stack_ends(tmp_path: Path) -> None:
    with running_collector() as collector:
        env = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
        with observed_stack(tmp_path, OTEL_SERVICE_NAME="mx", **env) as stack:
            send_mails(stack, 2)
        assert {attributes(resource.resource.attributes)["service.name"] for resource in collector.received} == {"mx"}
        spans = {span.span_id: span for span in collector.spans()}
        events = [attributes(span.attributes) for span in spans.values() if span.name == "DATA smtp"]
        # `make run` has probed the service; the mails came over one connection.
        by_connection = {event["rr_tcp.connection"]: 0 for event in events}
        for event in events:
            by_connection[event["rr_tcp.connection"]] += 1
        assert max(by_connection.values()) > 10
        children = [span for span in spans.values() if span.name.startswith("session ")]
        assert children
        parents = [spans[span.parent_span_id] for span in children]
        assert {parent.name for parent in parents if parent.name.endswith(" smtp")} >= {"CONNECTED smtp", "DATA smtp"}
        assert "hello" in TEXT
        assert "hello" not in str(collector.received)
        assert "a.test" not in str(collector.received)
