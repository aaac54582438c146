"""What may stand around every event's handler (`App.use`)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from rr_tcp.events import Request
from rr_tcp.responses import Response

log = logging.getLogger(__name__)

Handle = Callable[[Request], Response]
"""The handler, or the next middleware."""

Middleware = Callable[[Request, Handle], Response]
"""Is given the event and what handles it; returns the answer. What it raises costs the connection, as in a handler."""


def log_events(request: Request, handle: Handle) -> Response:
    """Logs every event and its answer: names and sizes, no contents."""
    response = handle(request)
    log.info(
        "%s of connection %s from %s on server %r, %d bytes: %s, %d bytes",
        request.event,
        request.connection_uuid,
        request.remote_addr,
        request.server,
        len(request.body),
        response.action,
        len(response.body),
    )
    return response


def time_events(
    observe: Callable[[Request, float], None], clock: Callable[[], float] = time.perf_counter
) -> Middleware:
    """A middleware that tells `observe` how many seconds handling an event took, also when it failed.

    Args:
        observe: called with the event and the seconds, the stores' time included.
        clock: seconds.
    """

    def timed(request: Request, handle: Handle) -> Response:
        start = clock()
        try:
            return handle(request)
        finally:
            observe(request, clock() - start)

    return timed
