"""Stateful protocols: a connection's state is loaded, one event is handled, the state is saved, the answer leaves."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Generic

from rr_tcp.access import AccessRules
from rr_tcp.admission import Admission
from rr_tcp.connection import Connection
from rr_tcp.errors import ConfigurationError, EventCutShortError, SessionError, SessionStoreError, SessionTooLargeError
from rr_tcp.events import Request, TcpEvent, split_remote_addr
from rr_tcp.limits import ConnectionLimits
from rr_tcp.process import Forks, end_child
from rr_tcp.renewals import Renewals, renewal_period
from rr_tcp.responses import Response, TcpResponse
from rr_tcp.sessions import SessionStore, StateCodec, StateT, StoredSession

log = logging.getLogger(__name__)

TOMBSTONE_TTL = 120.0
"""Seconds that an ended session is remembered. RoadRunner hands over the undelimited rest of a closed connection and a
second CLOSE right after the first one; they wait for a free worker at most `pool.allocate_timeout`, 60 s by default."""


class StatefulProtocol(Generic[StateT]):
    """A protocol whose connections may go on in another process after any event.

    One object serves all connections of a server: everything about a connection lives in `connection.state`, which
    starts as `state_type()`. Every method may be `def` or `async def`. Its replies (`connection.write`) leave as one
    response when it returns; when it raises, they are dropped, `error_reply` is sent and the connection is closed. When
    the state cannot be saved afterwards, both leave, and the connection is closed: what was done stays done
    (`EventCutShortError`, which a method may raise too).
    """

    state_type: type[StateT]
    """A msgspec Struct or a dataclass, made without arguments when a client connects."""

    error_reply: ClassVar[bytes] = b"Something went wrong\r\n"
    """Sent before closing when a method raised or the session store failed."""

    expired_reply: ClassVar[bytes] = b""
    """Sent before closing when data comes for a session whose time is over: never a silent fresh session."""

    refused_reply: ClassVar[bytes] = b""
    """Sent before closing when the client has as many connections as it may (`ClientLimits`)."""

    def connected(self, connection: Connection[StateT]) -> Awaitable[None] | None:
        """A client connected. Default: nothing is written, the connection is read."""

    def data_received(self, connection: Connection[StateT], data: bytes) -> Awaitable[None] | None:
        """Bytes came: a piece of a stream, many messages or part of one."""
        raise NotImplementedError(f"{type(self).__name__} must define data_received")

    def eof_received(self, connection: Connection[StateT], data: bytes) -> Awaitable[None] | None:
        """The client ended its side with a last piece that does not end in the delimiter.

        RoadRunner reports it after CLOSE; what is written still reaches a client that only closed its sending side.
        The connection is closed afterwards. Default: the piece is dropped, as an unfinished command.
        """

    def closed(self, connection: Connection[StateT]) -> Awaitable[None] | None:
        """The connection is over, whoever ended it; nothing can be written.

        Best effort: never after a failed event, a crashed worker or a stopped server, and before `eof_received` where
        that follows.
        """


class StatefulRoute(Generic[StateT]):
    """One server's events to one `StatefulProtocol`, its sessions to a store.

    Args:
        protocol: what handles the events.
        store: where sessions rest between two events.
        access: which clients may connect; the others are closed without a word.
        limits: how long connections may stay; the reaper looks after it.
        admission: which new connections are one too many of their client; none when None.
        ttl: seconds that a session lives without an event, up to a tenth less where events do not change it.
        max_state: limit of the encoded state, bytes.
        max_response: limit of the replies to one event, bytes.
        run: waits for what an `async def` method returned.
    """

    def __init__(
        self,
        protocol: StatefulProtocol[StateT],
        store: SessionStore,
        *,
        access: AccessRules,
        limits: ConnectionLimits,
        admission: Admission | None,
        ttl: float,
        max_state: int,
        max_response: int,
        run: Callable[[Awaitable[None]], None],
    ) -> None:
        if not hasattr(protocol, "state_type"):
            raise ConfigurationError(
                f"{type(protocol).__name__}.state_type is not set: name the msgspec Struct or dataclass that holds the "
                "state of one connection, e.g. `state_type = CounterState`"
            )
        self._protocol = protocol
        self._store = store
        self._access = access
        self._admission = admission
        self._ttl = ttl
        self._max_state = max_state
        self._max_response = max_response
        self._run = run
        self._codec: StateCodec[StateT] = StateCodec(protocol.state_type)
        self._renewals = Renewals(renewal_period(ttl, limits.idle))

    @property
    def error_reply(self) -> bytes:
        """Sent when the route fails."""
        return self._protocol.error_reply

    def handle(self, request: Request) -> Response:
        """The answer to one event; raises whatever the protocol or the store raised."""
        match request.event:
            case TcpEvent.CONNECTED:
                return self._connected(request)
            case TcpEvent.DATA:
                stored = self._store.load(request.connection_uuid)
                return self._expired() if stored is None else self._received(request, stored)
            case TcpEvent.CLOSE:
                stored = self._store.load(request.connection_uuid)
                if stored is not None and not stored.closed:
                    self._close(request, stored)
        return Response(TcpResponse.CLOSE)

    def abandon(self, request: Request) -> None:
        """Ends the session of a connection that is closed because handling it failed."""
        self._leave(request)
        self._end(request)

    def _connected(self, request: Request) -> Response:
        if not self._access.allows(request.remote_host):
            return Response(TcpResponse.CLOSE)
        if not self._admits(request):
            return Response.of(self._protocol.refused_reply, close=True)
        connection = self._begin(request)
        self._call(self._protocol.connected, connection)
        return self._settle(connection, handled=False)

    def _admits(self, request: Request) -> bool:
        return self._admission is None or self._admission.admits(request.remote_host, request.connection_uuid)

    def _leave(self, request: Request | Connection[StateT]) -> None:
        if self._admission is not None:
            uuid = request.uuid if isinstance(request, Connection) else request.connection_uuid
            self._admission.leaves(split_remote_addr(request.remote_addr)[0], uuid)

    def _expired(self) -> Response:
        return Response.of(self._protocol.expired_reply, close=True)

    def _received(self, request: Request, stored: StoredSession) -> Response:
        if stored.closed:
            return self._received_late(request, stored)
        connection = self._restore(request, stored)
        self._call(self._protocol.data_received, connection, request.body)
        return self._settle(connection, stored.state)

    def _received_late(self, request: Request, stored: StoredSession) -> Response:
        """The undelimited rest of a connection whose CLOSE came before it."""
        if not stored.state:
            return Response(TcpResponse.CLOSE)
        # The state leaves the tombstone with its one late event: a replay of that event finds nothing to act on.
        self._end(request)
        connection = self._restore(request, stored)
        self._call(self._protocol.eof_received, connection, request.body)
        return Response.of(connection.output, close=True)

    def _close(self, request: Request, stored: StoredSession) -> None:
        connection = self._restore(request, stored)
        self._leave(connection)
        self._call(self._protocol.closed, connection)
        self._end(request, self._encode(connection))

    def _end(self, request: Request, state: bytes = b"") -> None:
        self._store.end(request.connection_uuid, ttl=TOMBSTONE_TTL, state=state)

    def _settle(self, connection: Connection[StateT], saved: bytes | None = None, *, handled: bool = True) -> Response:
        """Saves before answering: no connection may go on from a state that is lost.

        Args:
            connection: after its event.
            saved: the state as it is in the store; None before the first save. What did not change needs no save,
                unless it is to live on.
            handled: whether anything of the client's was handled, which is then told even if it cannot be saved.
        """
        output = connection.output
        if connection.closing:
            self._finish(connection)
            return Response.of(output, close=True)
        try:
            self._save(connection, saved)
        except SessionError as error:  # of the store, or a state over the limit
            if not handled:
                raise
            raise EventCutShortError(str(error), output) from error
        return Response.of(output, close=False)

    def _save(self, connection: Connection[StateT], saved: bytes | None) -> None:
        """Saves what an event changed; see `_settle`."""
        append, truncate = connection.pending_bulk()
        state = self._encode(connection)
        if state != saved or append or truncate or self._renewals.due(connection.uuid):
            server = connection.server if saved is None else ""
            self._store.save(connection.uuid, state, ttl=self._ttl, append=append, truncate=truncate, server=server)

    def _finish(self, connection: Connection[StateT]) -> None:
        """Ends a session that the protocol closed. Its last reply stands, and leaves, whatever fails here.

        The reply may be of something that was done for good, such as a mail that was stored: were it replaced by an
        error, the client would have it done again.
        """
        self._leave(connection)
        try:
            self._call(self._protocol.closed, connection)
            self._store.end(connection.uuid, ttl=TOMBSTONE_TTL)
        except SessionStoreError as error:
            log.error(
                "connection %s on server %r is closed, not in order: %s", connection.uuid, connection.server, error
            )
        except Exception:
            log.exception("connection %s on server %r is closed, but not in order", connection.uuid, connection.server)

    def _begin(self, request: Request) -> Connection[StateT]:
        return Connection(request, self._protocol.state_type(), max_output=self._max_response)

    def _restore(self, request: Request, stored: StoredSession) -> Connection[StateT]:
        return Connection(
            request,
            self._decode(stored.state),
            max_output=self._max_response,
            bulk_size=stored.bulk_size,
            iter_stored_bulk=self._store.iter_bulk,
            spill=None if stored.closed else self._spill,
            stored_state=stored.state,
        )

    def _spill(self, uuid: str, state: bytes, append: bytes, truncate: bool) -> None:
        """Stores bulk data of an event that is not over, beside the state from before it."""
        self._store.save(uuid, state, ttl=self._ttl, append=append, truncate=truncate)

    def _decode(self, stored: bytes) -> StateT:
        return self._codec.decode(stored)

    def _encode(self, connection: Connection[StateT]) -> bytes:
        data = self._codec.encode(connection.state)
        if len(data) > self._max_state:
            raise SessionTooLargeError(
                f"the state of a connection takes {len(data)} bytes, the limit is {self._max_state}: keep what grows "
                "in the bulk data (Connection.append_bulk), or raise App(max_state=...)"
            )
        return data

    def _call(self, method: Callable[..., Awaitable[None] | None], *args: Any) -> None:
        depth = Forks.depth
        try:
            result = method(*args)
            if result is not None:
                self._run(result)
        finally:
            if Forks.depth != depth:  # a child that the method forked must not touch the session
                end_child()
