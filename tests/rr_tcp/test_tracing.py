"""Each event is a trace, with the store's calls below it, and nothing of what was said in it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from rr_tcp import App, Connection, StatefulProtocol, tracing
from rr_tcp.testing import ConnectionDriver, MemorySessionStore
from rr_tcp.tracing import CONNECTION, ERROR_TYPE, EVENT, OUTCOME, RECEIVED, SENT, SERVER, Tracing, provider_from_env


class Lines(msgspec.Struct):
    count: int = 0


class Protocol(StatefulProtocol[Lines]):
    state_type = Lines

    def data_received(self, connection: Connection[Lines], data: bytes) -> None:
        if data == b"secret raise\n":
            raise RuntimeError(f"on purpose, with {data!r}")
        connection.state.count += 1
        connection.write(b"ok\n")


class Traced:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = Tracing(lambda: provider)
        self.app = App(store=self.tracing.around(MemorySessionStore()))
        self.tracing.install(self.app)
        self.app.add("lines", Protocol())
        self.tracing.start()

    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def attributes(self, name: str) -> list[dict[str, object]]:
        return [dict(span.attributes or {}) for span in self.spans() if span.name == name]


@pytest.fixture
def traced() -> Iterator[Traced]:
    traced = Traced()
    yield traced
    traced.app.close()


def test_an_event_has_its_connection_server_kind_outcome_and_sizes(traced: Traced) -> None:
    client = ConnectionDriver(traced.app, "lines")
    client.connect()
    client.send(b"one\n")
    (event,) = traced.attributes("DATA lines")
    assert event.pop(CONNECTION)
    assert event == {SERVER: "lines", EVENT: "DATA", RECEIVED: 4, SENT: 3, OUTCOME: "WRITE"}
    assert [each[OUTCOME] for each in traced.attributes("CONNECTED lines")] == ["CONTINUE"]


def test_store_calls_are_children_of_their_event(traced: Traced) -> None:
    client = ConnectionDriver(traced.app, "lines")
    client.connect()
    traced.exporter.clear()
    client.send(b"one\n")
    load, save, event = traced.spans()
    assert [load.name, save.name] == ["session load", "session save"]
    assert event.context is not None
    for call in (load, save):
        assert call.parent is not None
        assert call.parent.span_id == event.context.span_id
        assert (call.attributes or {})[CONNECTION] == (event.attributes or {})[CONNECTION]
    assert event.parent is None


def test_a_failure_is_an_error_by_its_class_and_not_its_words(traced: Traced) -> None:
    client = ConnectionDriver(traced.app, "lines")
    client.connect()
    assert client.send(b"secret raise\n") == Protocol.error_reply
    (event,) = [span for span in traced.spans() if span.name == "DATA lines"]
    assert event.status.status_code is StatusCode.ERROR
    assert (event.attributes or {})[ERROR_TYPE] == "RuntimeError"
    assert (event.attributes or {})[OUTCOME] == "failed"
    assert "secret" not in event.to_json()


def test_the_rest_is_sent_when_the_app_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(tracing, "OTLPSpanExporter", lambda: exporter)
    traces = Tracing()
    app = App(store=traces.around(MemorySessionStore()))
    traces.install(app)
    app.add("lines", Protocol())
    traces.start()
    ConnectionDriver(app, "lines").connect()
    app.close()
    assert [span.name for span in exporter.get_finished_spans()] == ["session save", "CONNECTED lines"]


def test_a_collector_that_does_not_answer_does_not_hold_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    released = threading.Event()

    class Hanging(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            del spans
            released.wait(30)
            return SpanExportResult.FAILURE

    monkeypatch.setattr(tracing, "OTLPSpanExporter", Hanging)
    monkeypatch.setattr(tracing, "STOP_TIMEOUT", 0.2)
    traces = Tracing()
    traces.start()
    with traces.span("one", SpanKind.SERVER, {}):
        pass
    start = time.monotonic()
    traces.close()
    assert time.monotonic() - start < 10
    assert "are lost" in caplog.text
    released.set()


@pytest.mark.parametrize(
    ("env", "name"),
    [({}, "rr-tcp"), ({"OTEL_SERVICE_NAME": "mx"}, "mx"), ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=mail"}, "mail")],
)
def test_the_service_is_called_as_the_variables_say(
    env: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    provider = provider_from_env()
    assert provider.resource.attributes["service.name"] == name
    provider.shutdown()


def test_nothing_else_imports_opentelemetry() -> None:
    program = "import sys, rr_tcp.exports, workers.all; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "rr_tcp.app" in done.stdout
    assert "opentelemetry" not in done.stdout
