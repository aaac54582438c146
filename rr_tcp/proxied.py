"""Stateful protocols behind a proxy that tells the client's address in the PROXY protocol's first line."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from rr_tcp.access import AccessRules
from rr_tcp.admission import Admission
from rr_tcp.connection import Connection
from rr_tcp.errors import ProxyHeaderError
from rr_tcp.events import Request
from rr_tcp.limits import ConnectionLimits
from rr_tcp.proxy_protocol import MAX_HEADER, parse_header
from rr_tcp.responses import Response, TcpResponse
from rr_tcp.sessions import SessionStore, StateT, StoredSession
from rr_tcp.stateful import StatefulProtocol, StatefulRoute

log = logging.getLogger(__name__)

# What is stored begins with one of these.
_WAITING: Final = b"W"
"""Then the part of the header that came; the protocol knows nothing of the connection yet."""
_KNOWN: Final = b"K"
"""Then the client's `host:port`, LF, and the protocol's state."""


class ProxiedRoute(StatefulRoute[StateT]):
    """A `StatefulRoute` whose connections begin with a PROXY header.

    The protocol's `connected` is called when the header came, with the client's address; so its greeting follows the
    header. A connection without a valid header, or from somebody who is no trusted proxy, is closed without a word.

    Args:
        protocol: as `StatefulRoute`.
        store: as `StatefulRoute`.
        trusted_proxies: who may tell an address.
        access: which clients may connect, by the address that the proxy told.
        limits: as `StatefulRoute`.
        admission: as `StatefulRoute`, by the address that the proxy told; one that it did not tell is its own.
        ttl: as `StatefulRoute`.
        max_state: as `StatefulRoute`.
        max_response: as `StatefulRoute`.
        run: as `StatefulRoute`.
    """

    def __init__(
        self,
        protocol: StatefulProtocol[StateT],
        store: SessionStore,
        *,
        trusted_proxies: AccessRules,
        access: AccessRules,
        limits: ConnectionLimits,
        admission: Admission | None,
        ttl: float,
        max_state: int,
        max_response: int,
        run: Callable[[Awaitable[None]], None],
    ) -> None:
        super().__init__(
            protocol,
            store,
            access=access,
            limits=limits,
            admission=admission,
            ttl=ttl,
            max_state=max_state,
            max_response=max_response,
            run=run,
        )
        self._trusted_proxies = trusted_proxies
        self._client = "", ""

    def abandon(self, request: Request) -> None:
        """As `StatefulRoute.abandon`; it is the client that has a connection less, not the proxy."""
        uuid, remote_addr = self._client
        known = uuid == request.connection_uuid
        super().abandon(msgspec.structs.replace(request, remote_addr=remote_addr) if known else request)

    def _connected(self, request: Request) -> Response:
        if not self._trusted_proxies.allows(request.remote_host):
            log.warning("connection %s is closed: %s is no trusted proxy", request.connection_uuid, request.remote_addr)
            return Response(TcpResponse.CLOSE)
        self._store.save(request.connection_uuid, _WAITING, ttl=self._ttl, server=request.server)
        return Response(TcpResponse.CONTINUE)

    def _received(self, request: Request, stored: StoredSession) -> Response:
        if not stored.state.startswith(_WAITING):
            return super()._received(request, stored)
        line, end, rest = (stored.state.removeprefix(_WAITING) + request.body).partition(b"\n")
        if not end and len(line) < MAX_HEADER:
            self._store.save(request.connection_uuid, _WAITING + line, ttl=self._ttl)
            return Response(TcpResponse.CONTINUE)
        try:
            remote_addr = parse_header(line + end)
        except ProxyHeaderError as error:
            log.warning("connection %s from %s is closed: %s", request.connection_uuid, request.remote_addr, error)
            self._end(request)
            return Response(TcpResponse.CLOSE)
        request = msgspec.structs.replace(request, remote_addr=remote_addr or request.remote_addr, body=rest)
        self._client = request.connection_uuid, request.remote_addr
        if not self._access.allows(request.remote_host):
            self._end(request)
            return Response(TcpResponse.CLOSE)
        if remote_addr is not None and not self._admits(request):
            self._end(request)
            return Response.of(self._protocol.refused_reply, close=True)
        connection = self._begin(request)
        self._call(self._protocol.connected, connection)
        if rest and not connection.closing:
            self._call(self._protocol.data_received, connection, rest)
        return self._settle(connection, handled=bool(rest))

    def _close(self, request: Request, stored: StoredSession) -> None:
        if stored.state.startswith(_WAITING):
            self._end(request)
        else:
            super()._close(request, stored)

    def _restore(self, request: Request, stored: StoredSession) -> Connection[StateT]:
        connection = super()._restore(request, stored)
        connection.remote_addr = stored.state.removeprefix(_KNOWN).partition(b"\n")[0].decode()
        self._client = connection.uuid, connection.remote_addr
        return connection

    def _decode(self, stored: bytes) -> StateT:
        return super()._decode(stored.partition(b"\n")[2])

    def _encode(self, connection: Connection[StateT]) -> bytes:
        return _KNOWN + connection.remote_addr.encode() + b"\n" + super()._encode(connection)
