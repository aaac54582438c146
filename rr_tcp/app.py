"""`App`: services by server name, one event at a time, one answer each, one place where errors end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

from rr_tcp.access import AccessRules
from rr_tcp.admission import Admission
from rr_tcp.environment import Environment
from rr_tcp.errors import ConfigurationError, EventCutShortError, SessionStoreError
from rr_tcp.event_loop import finish, new_event_loop
from rr_tcp.events import Request, TcpEvent
from rr_tcp.json_logs import HANDLED
from rr_tcp.limits import NO_LIMITS, ConnectionLimits
from rr_tcp.middleware import Handle, Middleware
from rr_tcp.process import Forks, end_child
from rr_tcp.proxied import ProxiedRoute
from rr_tcp.responses import Response, TcpResponse
from rr_tcp.sessions import SessionStore, check_ttl
from rr_tcp.stateful import StatefulProtocol, StatefulRoute
from rr_tcp.stateless import FunctionRoute, Handler
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

Callback = Callable[[], "Awaitable[None] | None"]


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
        session_ttl: seconds that a session lives without an event, up to a tenth less where events do not change it.
        admission: holds clients to the number of connections of stateful protocols that they may have.
        max_response: limit of the replies to one event, bytes.
        max_state: limit of a connection's encoded state, bytes.

    Attributes:
        store: as given.
        session_ttl: as given.

    Raises:
        ConfigurationError: the time to live is one that not every store can keep.
    """

    def __init__(
        self,
        *,
        store: SessionStore | None = None,
        session_ttl: float = SESSION_TTL,
        admission: Admission | None = None,
        max_response: int = MAX_RESPONSE,
        max_state: int = MAX_STATE,
    ) -> None:
        check_ttl(session_ttl)
        self.store = store
        self.session_ttl = session_ttl
        self._admission = admission
        self._max_response = max_response
        self._max_state = max_state
        self._routes: dict[str, _Route] = {}
        self._limits: dict[str, ConnectionLimits] = {}
        self._handlers: dict[str, Handle] = {}  # of each server: its route's, with the middleware around it
        self._middleware: list[Middleware] = []
        self._startup: list[Callback] = []
        self._shutdown: list[Callback] = []
        self._runner = asyncio.Runner(loop_factory=new_event_loop)

    def add(
        self,
        server: str,
        protocol: StatefulProtocol[Any],
        *,
        access: AccessRules | None = None,
        trusted_proxies: AccessRules | None = None,
        limits: ConnectionLimits = NO_LIMITS,
    ) -> None:
        """Lets a stateful protocol handle the server `tcp.servers.<server>`.

        Args:
            server: the server's name in RoadRunner's configuration.
            protocol: the one object that handles all its connections.
            access: which clients may connect; everybody when None.
            trusted_proxies: given, every connection begins with the PROXY protocol's line (version 1), which tells
                the client's address, and only these may connect.
            limits: how long connections may stay open. The reaper closes them (`rr-tcp reap`): it has to run.
        """
        if self.store is None:
            raise ConfigurationError("a stateful protocol needs a session store: App(store=open_store(url))")
        route_type: Callable[..., StatefulRoute[Any]] = StatefulRoute
        if trusted_proxies is not None:
            route_type = partial(ProxiedRoute, trusted_proxies=trusted_proxies)
        route = route_type(
            protocol,
            self.store,
            access=access or AccessRules(),
            limits=limits,
            admission=self._admission,
            ttl=self.session_ttl,
            max_state=self._max_state,
            max_response=self._max_response,
            run=self._run_coroutine,
        )
        self._route(server, route)
        self._limits[server] = limits

    def on(
        self,
        server: str,
        *,
        access: AccessRules | None = None,
        error_reply: bytes = StatefulProtocol.error_reply,
    ) -> Callable[[Handler], Handler]:
        """Lets a function handle every event of the server `tcp.servers.<server>`, without state.

        The function, `def` or `async def`, returns a `Response`, bytes to write, or None to read on.

        Args:
            server: the server's name in RoadRunner's configuration.
            access: which clients may connect; everybody when None.
            error_reply: sent before closing when the function raises.
        """

        def decorate(handler: Handler) -> Handler:
            route = FunctionRoute(
                handler,
                error_reply=error_reply,
                access=access or AccessRules(),
                max_response=self._max_response,
                run=self._run_coroutine,
            )
            self._route(server, route)
            return handler

        return decorate

    @property
    def servers(self) -> tuple[str, ...]:
        """The names of the servers that have a service, in the order in which they were given one."""
        return tuple(self._routes)

    @property
    def limits(self) -> Mapping[str, ConnectionLimits]:
        """How long connections may stay open, by the name of their server; stateless ones are not among them."""
        return self._limits

    def use(self, middleware: Middleware) -> None:
        """Puts `middleware` around the handling of every event; the first one added is the outermost."""
        self._middleware.append(middleware)
        for server in self._routes:
            self._handlers[server] = self._handler(server)

    def on_startup(self, callback: Callback) -> None:
        """Calls `callback`, `def` or `async def`, before the first event; when it raises, the worker does not start."""
        self._startup.append(callback)

    def on_shutdown(self, callback: Callback) -> None:
        """Calls `callback`, `def` or `async def`, when the worker ends; the last one added is called first.

        All of them together have 5 seconds (`rr_tcp.process.END_TIMEOUT`).
        """
        self._shutdown.append(callback)

    def handle(self, request: Request) -> Response:
        """The answer to one event. Never raises an `Exception`: this is where errors end, with their connection."""
        handle = self._handlers.get(request.server)
        if handle is None:
            log.error(
                "no service handles the server %r, this worker knows: %s. Name it in App.add or App.on as in "
                "RoadRunner's tcp.servers; connection %s is closed",
                request.server,
                ", ".join(sorted(self._routes)) or "none",
                request.connection_uuid,
            )
            return Response(TcpResponse.CLOSE)
        HANDLED.request, replies = request, b""
        try:
            return handle(request)
        # These say all: tracebacks of a store that is down would fill the disk.
        except (SessionStoreError, EventCutShortError) as error:
            log.error("%s failed; it is closed: %s", _named(request), error)
            if isinstance(error, EventCutShortError):
                replies = error.replies
        except Exception:  # whatever a service raises costs this connection and no other
            log.exception("%s failed; it is closed", _named(request))
        finally:
            HANDLED.request = None
        return self._failed(self._routes[request.server], request, replies)

    def run(self, worker: Worker | None = None) -> None:
        """Answers events until RoadRunner tells the worker to stop or is gone.

        Args:
            worker: the line to RoadRunner; by default the one that the environment describes.

        Raises:
            ConfigurationError: RoadRunner did not start this process for its TCP plugin.
            RRTcpError: the line to RoadRunner broke. The process is to end with an error; RoadRunner replaces it.
        """
        tcp_worker = TcpWorker(worker or create_worker())
        depth = Forks.depth
        try:
            for callback in self._startup:
                self._call(callback)
            while (request := tcp_worker.wait_request()) is not None:
                response = self.handle(request)
                del request  # its body may be large, and the next one may be long in coming
                tcp_worker.send(response)
        finally:
            if Forks.depth != depth:
                end_child()
            tcp_worker.worker.stopping()
            self.close()

    def close(self) -> None:
        """Runs the shutdown callbacks and closes the session store and the event loop, whichever of them fails."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._runner.close)
            if self.store is not None:
                stack.callback(self.store.close)
            for callback in self._shutdown:
                stack.callback(self._call, callback)
            self._shutdown.clear()

    def _route(self, server: str, route: _Route) -> None:
        if server in self._routes:
            raise ConfigurationError(f"server {server!r} has a service already: one service handles a server")
        self._routes[server] = route
        self._handlers[server] = self._handler(server)

    def _handler(self, server: str) -> Handle:
        handle: Handle = self._routes[server].handle
        for middleware in reversed(self._middleware):
            handle = _around(middleware, handle)
        return handle

    @staticmethod
    def _failed(route: _Route, request: Request, replies: bytes) -> Response:
        try:
            route.abandon(request)
        except Exception as error:  # noqa: BLE001 - the store may be what failed; the session then ends with its TTL
            log.warning("the session of connection %s could not be ended: %s", request.connection_uuid, error)
        if request.event is TcpEvent.CLOSE:
            return Response(TcpResponse.CLOSE)
        return Response.of(replies + route.error_reply, close=True)

    def _call(self, callback: Callback) -> None:
        result = callback()
        if result is not None:
            self._run_coroutine(result)

    def _run_coroutine(self, awaitable: Awaitable[Any]) -> Any:
        return self._runner.run(finish(awaitable))


def _named(request: Request) -> str:
    """An event as the log calls it."""
    return (
        f"{request.event} of connection {request.connection_uuid} from {request.remote_addr} on server "
        f"{request.server!r}"
    )


def _around(middleware: Middleware, handle: Handle) -> Handle:
    return lambda request: middleware(request, handle)


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
