"""A worker of RoadRunner's TCP plugin: events in, TCP responses out (plugin v5.1.9)."""

from __future__ import annotations

import logging

import msgspec

from rr_tcp.errors import UnexpectedPayloadError
from rr_tcp.events import Request, TcpEvent
from rr_tcp.responses import Response, TcpResponse
from rr_tcp.worker import Payload, Worker

log = logging.getLogger(__name__)


class _Context(msgspec.Struct, gc=False):
    """The plugin's context: always these four strings."""

    remote_addr: str
    server: str
    uuid: str
    event: TcpEvent


class TcpWorker:
    """The event loop's two ends: `wait_request`, then one of `respond`, `read`, `close`, `worker.error`.

    As with RoadRunner itself, a connection whose event is not answered in so many words is closed: asking for the next
    request answers a forgotten one with CLOSE.

    Args:
        worker: the line to RoadRunner.
    """

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._decoder = msgspec.json.Decoder(_Context)
        self._last: Request | None = None

    def wait_request(self) -> Request | None:
        """The next event, or None when the worker is to end.

        Raises:
            TransportError: the relay broke or carries no frames.
            UnexpectedPayloadError: RoadRunner's message is of no TCP event.
        """
        if self.worker.answer_due:
            self._close_forgotten()
        payload = self.worker.wait_payload()
        if payload is None:
            return None
        try:
            context = self._decoder.decode(payload.context)
        except (ValueError, RecursionError) as error:  # ValueError: no JSON, no UTF-8, or of another form
            self.worker.error("not an event of the TCP plugin")
            raise UnexpectedPayloadError(
                f"RoadRunner's message is no event of its TCP plugin: {error}. Is this worker's command used by "
                "another plugin's pool?"
            ) from error
        self._last = Request(context.remote_addr, context.event, payload.body, context.uuid, context.server)
        return self._last

    def respond(self, body: bytes = b"", response: TcpResponse = TcpResponse.WRITE) -> None:
        """Answers the last request; `NoEventError` when that was done already.

        Args:
            body: bytes for the client; only WRITE and WRITECLOSE send them.
            response: what becomes of the connection.
        """
        self._last = None
        self.worker.respond(Payload(body, response.encode()))

    def send(self, response: Response) -> None:
        """Answers the last request with a `Response`."""
        self._last = None
        self.worker.respond(Payload(response.body, response.action.encode()))

    def read(self) -> None:
        """Answers: write nothing, read on."""
        self.respond(response=TcpResponse.CONTINUE)

    def close(self) -> None:
        """Answers: write nothing, close the connection."""
        self.respond(response=TcpResponse.CLOSE)

    def _close_forgotten(self) -> None:
        if self._last is not None and self._last.event is not TcpEvent.CLOSE:  # nothing can be said on CLOSE anyway
            log.warning(
                "%s of connection %s on server %r was not answered: it is closed",
                self._last.event,
                self._last.connection_uuid,
                self._last.server,
            )
        self.close()
