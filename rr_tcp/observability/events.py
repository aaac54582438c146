"""Metrics of events and of the session store, of any service: a middleware and a store around the store."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from rr_tcp.app import App
from rr_tcp.events import Request, TcpEvent
from rr_tcp.middleware import Handle
from rr_tcp.observability.measured_store import MeasuredStore
from rr_tcp.observability.reporter import Reporter
from rr_tcp.observability.tallies import Distribution, Spread, Tally
from rr_tcp.plugins.collectors import Counter
from rr_tcp.responses import Response
from rr_tcp.sessions import SessionStore

EVENTS: Final = Counter("rr_tcp_events_total", "Events that were handled, failed ones included.", ("server", "event"))
EVENT_ERRORS: Final = Counter(
    "rr_tcp_event_errors_total", "Events whose handling failed, and cost their connection.", ("server",)
)
EVENT_SECONDS: Final = Distribution(
    "rr_tcp_event_duration_seconds", "Time to handle an event, the stores' time included.", ("server",)
)
RECEIVED_BYTES: Final = Counter("rr_tcp_received_bytes_total", "Bytes that came with events.", ("server",))
SENT_BYTES: Final = Counter("rr_tcp_sent_bytes_total", "Bytes of the services' replies.", ("server",))
WORKER_STARTS: Final = Counter(
    "rr_tcp_worker_starts_total", "Worker processes that started; those after the first ones are restarts."
)


class _Server:
    """What is counted of one server."""

    __slots__ = ("errors", "events", "received", "seconds", "sent")

    def __init__(self, reporter: Reporter, name: str) -> None:
        self.events: dict[TcpEvent, Tally] = {
            event: reporter.tally(EVENTS, name, event.value) for event in TcpEvent if event is not TcpEvent.UNKNOWN
        }
        self.errors = reporter.tally(EVENT_ERRORS, name)
        self.received = reporter.tally(RECEIVED_BYTES, name)
        self.sent = reporter.tally(SENT_BYTES, name)
        self.seconds: Spread = reporter.spread(EVENT_SECONDS, name)


class EventMetrics:
    """Counts and times every event of an App.

        metrics = EventMetrics(Reporter(RPC(rpc_address)))
        app = App(store=metrics.around(open_store(url)))
        metrics.install(app)

    Args:
        reporter: brings the numbers to RoadRunner; started and closed with the App.
        clock: seconds that never go back.
    """

    def __init__(self, reporter: Reporter, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.reporter = reporter
        self._clock = clock
        self._servers: dict[str, _Server] = {}
        self._starts = reporter.tally(WORKER_STARTS)

    def around(self, store: SessionStore) -> SessionStore:
        """The store, its calls counted and timed."""
        return MeasuredStore(store, self.reporter, clock=self._clock)

    def install(self, app: App) -> None:
        """Stands around the handlers of an App from now on; a middleware that is added later is timed too."""
        app.use(self._measure)
        app.on_startup(lambda: self._start(app))
        app.on_shutdown(self.reporter.close)

    def _start(self, app: App) -> None:
        for name in app.servers:  # their lines are on the page before their first event
            self._server(name)
        self._starts.value += 1
        self.reporter.start()

    def _measure(self, request: Request, handle: Handle) -> Response:
        server = self._servers.get(request.server) or self._server(request.server)
        start = self._clock()
        try:
            response = handle(request)
        except Exception:
            server.errors.value += 1
            raise
        finally:
            server.seconds.observe(self._clock() - start)
            server.received.value += len(request.body)
            if (tally := server.events.get(request.event)) is not None:
                tally.value += 1
        server.sent.value += len(response.body)
        return response

    def _server(self, name: str) -> _Server:
        if name not in self._servers:
            self._servers[name] = _Server(self.reporter, name)
        return self._servers[name]
