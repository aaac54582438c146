"""Drives an App as RoadRunner would, one connection at a time."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from rr_tcp.app import App
from rr_tcp.events import Request, TcpEvent
from rr_tcp.responses import TcpResponse


class ConnectionDriver:
    """One client's connection to a server of the App.

    Every event may be handled by another App, as by another worker: `app` is asked for one each time. The state
    travels through the Apps' session store alone.

    Args:
        app: the App, or a function that returns one for the next event.
        server: the server's name.
        remote_addr: the client's `host:port`.
        connection_uuid: RoadRunner's name of the connection; a new one by default.

    Attributes:
        uuid: RoadRunner's name of the connection.
        output: all bytes written to the client so far.
        closed: whether the App closed the connection.
    """

    def __init__(
        self,
        app: App | Callable[[], App],
        server: str,
        *,
        remote_addr: str = "127.0.0.1:50000",
        connection_uuid: str | None = None,
    ) -> None:
        self._app = app
        self._server = server
        self._remote_addr = remote_addr
        self.uuid = connection_uuid or str(uuid.uuid4())
        self.output = b""
        self.closed = False

    def connect(self) -> bytes:
        """The client connects; returns what is written."""
        return self._event(TcpEvent.CONNECTED)

    def send(self, *pieces: bytes) -> bytes:
        """Each piece arrives as one DATA event, until the App closes; returns what is written."""
        before = len(self.output)
        for piece in pieces:
            if self.closed:
                break
            self._event(TcpEvent.DATA, piece)
        return self.output[before:]

    def end(self, rest: bytes = b"") -> bytes:
        """The client ends its side, with an undelimited rest or none; returns what is written.

        The events are RoadRunner's (TCP plugin v5.1.9): CLOSE, and with a rest then DATA and CLOSE again.
        """
        written = self._event(TcpEvent.CLOSE)
        if rest:
            written += self._event(TcpEvent.DATA, rest)
            written += self._event(TcpEvent.CLOSE)
        return written

    def _event(self, event: TcpEvent, body: bytes = b"") -> bytes:
        app = self._app if isinstance(self._app, App) else self._app()
        response = app.handle(
            Request(
                remote_addr=self._remote_addr,
                event=event,
                body=body,
                connection_uuid=self.uuid,
                server=self._server,
            )
        )
        written = b""
        if event is not TcpEvent.CLOSE:  # RoadRunner ignores what is answered to CLOSE
            self.closed = response.action in {TcpResponse.CLOSE, TcpResponse.WRITECLOSE}
            if response.action in {TcpResponse.WRITE, TcpResponse.WRITECLOSE}:
                written = response.body
        self.output += written
        return written
