"""`App`: services by server name, one event at a time, one answer each, one place where errors end."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from rr_tcp.environment import Environment
from rr_tcp.errors import ConfigurationError, ResponseTooLargeError, UnknownServerError
from rr_tcp.events import Request, TcpEvent
from rr_tcp.responses import Response, TcpResponse
from rr_tcp.sessions import SessionStore
from rr_tcp.stateful import StatefulProtocol, StatefulRoute
from rr_tcp.tcp_worker import TcpWorker
from rr_tcp.worker import Worker

log = logging.getLogger(__name__)

SESSION_TTL: Final = 3600.0
"""Seconds without an event until a session is forgotten. RoadRunner has no read timeout, so this is how long a silent
client keeps its state; RFC 5321 4.5.3.2.7 asks an SMTP server for five minutes or more."""

MAX_RESPONSE: Final = 16 * 1024 * 1024
"""Bytes of replies to one event. One event can hold thousands of lines, each with its own reply."""

MAX_STATE: Final = 1024 * 1024
"""Bytes of a connection's encoded state, which is read and written on every event."""

Handler = Callable[[Request], "Response | bytes | Awaitable[Response | bytes | None] | None"]


class _Route(Protocol):
    @property
    def error_reply(self) -> bytes: ...

    def handle(self, request: Request) -> Response: ...

    def abandon(self, request: Request) -> None: ...


class App:
    r"""Routes each event to the service of its server.

    Example:
        app = App(store=open_store("lmdb:///dev/shm/counter"))
        app.add("counter", CounterProtocol())

        @app.on("clock")
        def clock(request: Request) -> bytes:
            return time.ctime().encode() + b"\r\n"

        app.run()

    Args:
        store: where the sessions of stateful protocols rest; needed by `add`.
        session_ttl: seconds that a session lives without an event.
        max_response: limit of the replies to one event, bytes.
        max_state: limit of a connection's encoded state, bytes.
    """

    def __init__(
        self,
        *,
        store: SessionStore | None = None,
        session_ttl: float = SESSION_TTL,
        max_response: int = MAX_RESPONSE,
        max_state: int = MAX_STATE,
    ) -> None:
        self._store = store
        self._session_ttl = session_ttl
        self._max_response = max_response
        self._max_state = max_state
        self._routes: dict[str, _Route] = {}
        self._shutdown: list[Callable[[], None]] = []
        self._runner = asyncio.Runner()

    def add(self, server: str, protocol: StatefulProtocol[Any]) -> None:
        """Lets a stateful protocol handle the server `tcp.servers.<server>`."""
        if self._store is None:
            raise ConfigurationError("a stateful protocol needs a session store: App(store=open_store(url))")
        self._route(
            server,
            StatefulRoute(
                protocol, self._store, ttl=self._session_ttl, max_state=self._max_state, run=self._run_coroutine
            ),
        )

    def on(self, server: str, *, error_reply: bytes = StatefulProtocol.error_reply) -> Callable[[Handler], Handler]:
        """Lets a function handle every event of the server `tcp.servers.<server>`, without state.

        The function, `def` or `async def`, returns a `Response`, bytes to write, or None to read on.

        Args:
            server: the server's name in RoadRunner's configuration.
            error_reply: sent before closing when the function raises.
        """

        def decorate(handler: Handler) -> Handler:
            self._route(server, _FunctionRoute(handler, error_reply, self._run_coroutine))
            return handler

        return decorate

    def on_shutdown(self, callback: Callable[[], None]) -> None:
        """Calls `callback` when the worker ends; the last one added is called first."""
        self._shutdown.append(callback)

    def handle(self, request: Request) -> Response:
        """The answer to one event. Never raises an `Exception`: this is where errors end, with their connection."""
        route = self._routes.get(request.server)
        if route is None:
            log.error("%s; connection %s is closed", self._unknown(request.server), request.connection_uuid)
            return Response(TcpResponse.CLOSE)
        try:
            return self._limited(route.handle(request))
        except Exception:  # whatever a service raises costs this connection and no other
            log.exception(
                "%s of connection %s from %s on server %r failed; it is closed",
                request.event,
                request.connection_uuid,
                request.remote_addr,
                request.server,
            )
            self._abandon(route, request)
            return self._failure(route, request)

    def run(self, worker: Worker | None = None) -> None:
        """Answers events until RoadRunner tells the worker to stop or is gone.

        Args:
            worker: the line to RoadRunner; by default the one that the environment describes.

        Raises:
            ConfigurationError: RoadRunner did not start this process for its TCP plugin.
            RRTcpError: the line to RoadRunner broke. The process is to end with an error; RoadRunner replaces it.
        """
        tcp_worker = TcpWorker(worker or create_worker())
        try:
            while (request := tcp_worker.wait_request()) is not None:
                tcp_worker.send(self.handle(request))
        finally:
            self.close()

    def close(self) -> None:
        """Runs the shutdown callbacks and closes the session store and the event loop."""
        while self._shutdown:
            self._shutdown.pop()()
        if self._store is not None:
            self._store.close()
        self._runner.close()

    def _route(self, server: str, route: _Route) -> None:
        if server in self._routes:
            raise ConfigurationError(f"server {server!r} has a service already: one service handles a server")
        self._routes[server] = route

    def _limited(self, response: Response) -> Response:
        if len(response.body) > self._max_response:
            raise ResponseTooLargeError(
                f"the replies to one event take {len(response.body)} bytes, the limit is {self._max_response}: "
                "answer less per event or raise App(max_response=...)"
            )
        return response

    def _unknown(self, server: str) -> UnknownServerError:
        known = ", ".join(sorted(self._routes)) or "none"
        return UnknownServerError(
            f"no service handles the server {server!r}, this worker knows: {known}. Name it in App.add or App.on as in "
            "RoadRunner's tcp.servers"
        )

    def _abandon(self, route: _Route, request: Request) -> None:
        try:
            route.abandon(request)
        except Exception as error:  # noqa: BLE001 - the store may be what failed; the session then ends with its TTL
            log.warning("the session of connection %s could not be ended: %s", request.connection_uuid, error)

    @staticmethod
    def _failure(route: _Route, request: Request) -> Response:
        if request.event is TcpEvent.CLOSE:
            return Response(TcpResponse.CLOSE)
        return Response.of(route.error_reply, close=True)

    def _run_coroutine(self, awaitable: Awaitable[Any]) -> Any:
        return self._runner.run(_finish(awaitable))


class _FunctionRoute:
    """A handler function as a route."""

    def __init__(self, handler: Handler, error_reply: bytes, run: Callable[[Awaitable[Any]], Any]) -> None:
        self._handler = handler
        self._run = run
        self.error_reply = error_reply

    def handle(self, request: Request) -> Response:
        result = self._handler(request)
        if inspect.isawaitable(result):
            result = self._run(result)
        match result:
            case Response():
                return result
            case None | bytes():
                return Response.of(result or b"", close=False)
            case _:
                raise TypeError(f"a handler returns a Response, bytes or None, not {type(result).__name__}")

    def abandon(self, request: Request) -> None:
        """There is no session."""


async def _finish(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def create_worker() -> Worker:
    """The line to RoadRunner that the environment describes, with stdin and stdout taken over.

    Raises:
        ConfigurationError: RoadRunner did not start this process, or for another plugin than `tcp`.
    """
    mode = Environment.from_env(os.environ).mode
    if mode != "tcp":
        raise ConfigurationError(
            f"RR_MODE is {mode!r}, not 'tcp': a worker is started by RoadRunner (server.command in .rr.yaml), not by "
            "hand"
        )
    return Worker.create()
