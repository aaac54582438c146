"""Traces of events, by OpenTelemetry: an optional extra, `pip install 'rr-tcp[otel]'`.

Each event is a trace of its own, with the calls of the session store below it. A connection's events are found by its
uuid, the attribute `rr_tcp.connection`. No span has contents, an address or an error's message.

    tracing = Tracing()
    app = App(store=tracing.around(open_store(url)))
    tracing.install(app)

Where spans go, and which, is for OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`,
`OTEL_TRACES_SAMPLER` and so on). They are sent in batches, by a thread; what a killed worker had not sent is lost.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import PROCESS_PID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NoOpTracer, Span, SpanKind, StatusCode, Tracer

from rr_tcp.app import App
from rr_tcp.events import Request
from rr_tcp.middleware import Handle
from rr_tcp.responses import Response
from rr_tcp.sessions import SessionStore, StoredSession
from rr_tcp.wrapped_store import WrappedStore

log = logging.getLogger(__name__)

CONNECTION: Final = "rr_tcp.connection"
SERVER: Final = "rr_tcp.server"
EVENT: Final = "rr_tcp.event"
OUTCOME: Final = "rr_tcp.outcome"
"""The answer, e.g. `WRITE`, or `failed`."""
RECEIVED: Final = "rr_tcp.received_bytes"
SENT: Final = "rr_tcp.sent_bytes"
ERROR_TYPE: Final = "error.type"
"""OpenTelemetry's name for the class of an error (semantic conventions 1.23)."""

FAILED: Final = "failed"

STOP_TIMEOUT: Final = 3.0
"""Seconds that the last spans may take: less than a worker has for its end (`rr_tcp.process.END_TIMEOUT`)."""


def provider_from_env() -> TracerProvider:
    """Sends spans over OTLP/HTTP, as OpenTelemetry's variables have it; the service is `rr-tcp` unless they name it."""
    resource = Resource.create({PROCESS_PID: os.getpid()})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):  # OpenTelemetry's word for: nobody said
        resource = resource.merge(Resource({SERVICE_NAME: "rr-tcp"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Tracing:
    """Makes spans of an App's events and store calls.

    Args:
        make_provider: makes what the spans go to, when the App starts.
    """

    def __init__(self, make_provider: Callable[[], TracerProvider] = provider_from_env) -> None:
        self._make_provider = make_provider
        self._provider: TracerProvider | None = None
        self._tracer: Tracer = NoOpTracer()

    def around(self, store: SessionStore) -> SessionStore:
        """The store, with a span for each call that belongs to an event."""
        return TracedStore(store, self)

    def install(self, app: App) -> None:
        """Stands around the handlers of an App from now on, and starts and ends with it."""
        app.use(self._trace)
        app.on_startup(self.start)
        app.on_shutdown(self.close)

    def start(self) -> None:
        """Makes spans from now on."""
        self._provider = self._make_provider()
        self._tracer = self._provider.get_tracer("rr_tcp")

    def close(self) -> None:
        """Sends what is left, within `STOP_TIMEOUT`, and makes no more."""
        provider, self._provider, self._tracer = self._provider, None, NoOpTracer()
        if provider is None:
            return
        ending = threading.Thread(target=provider.shutdown, name="tracing", daemon=True)
        ending.start()
        ending.join(STOP_TIMEOUT)
        if ending.is_alive():
            log.warning("the last spans were not sent within %g s, and are lost", STOP_TIMEOUT)

    @contextmanager
    def span(self, name: str, kind: SpanKind, attributes: dict[str, str | int]) -> Iterator[Span]:
        """A span, child of the one under way; an error marks it by its class, not its message."""
        with self._tracer.start_as_current_span(
            name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except Exception as error:
                span.set_attribute(ERROR_TYPE, type(error).__qualname__)
                span.set_status(StatusCode.ERROR)
                raise

    def _trace(self, request: Request, handle: Handle) -> Response:
        attributes: dict[str, str | int] = {
            CONNECTION: request.connection_uuid,
            SERVER: request.server,
            EVENT: request.event.value,
            RECEIVED: len(request.body),
            OUTCOME: FAILED,
        }
        with self.span(f"{request.event.value} {request.server}", SpanKind.SERVER, attributes) as span:
            response = handle(request)
            span.set_attribute(OUTCOME, response.action.value)
            span.set_attribute(SENT, len(response.body))
            return response


class TracedStore(WrappedStore):
    """A `SessionStore` around another one. `iter_bulk` has no span, for it ends whenever its reader wants.

    Args:
        store: does the work.
        tracing: makes the spans.
    """

    def __init__(self, store: SessionStore, tracing: Tracing) -> None:
        super().__init__(store)
        self._tracing = tracing

    def load(self, key: str) -> StoredSession | None:
        """See `SessionStore.load`."""
        with self._span("load", key):
            return self._store.load(key)

    def save(
        self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False, server: str = ""
    ) -> None:
        """See `SessionStore.save`."""
        with self._span("save", key):
            self._store.save(key, state, ttl=ttl, append=append, truncate=truncate, server=server)

    def end(self, key: str, *, ttl: float, state: bytes = b"") -> None:
        """See `SessionStore.end`."""
        with self._span("end", key):
            self._store.end(key, ttl=ttl, state=state)

    def read_bulk(self, key: str) -> bytes:
        """See `SessionStore.read_bulk`."""
        with self._span("read_bulk", key):
            return self._store.read_bulk(key)

    def _span(self, operation: str, key: str) -> AbstractContextManager[Span]:
        return self._tracing.span(f"session {operation}", SpanKind.CLIENT, {CONNECTION: key})
