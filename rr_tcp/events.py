"""What RoadRunner's TCP plugin tells a worker: one event of one connection (plugin v5.1.9)."""

from __future__ import annotations

import enum

import msgspec


class TcpEvent(enum.StrEnum):
    """What happened to the connection."""

    CONNECTED = "CONNECTED"
    """A client connected; its bytes are not read until this event is answered."""
    DATA = "DATA"
    """Bytes came whose end is the server's delimiter: many messages, one, or a part of one."""
    CLOSE = "CLOSE"
    """The connection is over. Best effort: may be missing, doubled, or come before the last DATA."""
    UNKNOWN = "UNKNOWN"
    """An event that this version of the SDK does not know."""

    @classmethod
    def _missing_(cls, value: object) -> TcpEvent:  # noqa: ARG003 - the signature is enum's
        return cls.UNKNOWN


class Request(msgspec.Struct, frozen=True, gc=False):
    """One event of one connection.

    Attributes:
        remote_addr: the client's `host:port`; empty for a unix socket's client.
        event: what happened.
        body: the bytes of a DATA event, the delimiter included; empty for the others.
        connection_uuid: RoadRunner's name of the connection, unique per accepted connection.
        server: the name of the server in RoadRunner's configuration, `tcp.servers.<name>`.
    """

    remote_addr: str
    event: TcpEvent
    body: bytes
    connection_uuid: str
    server: str

    @property
    def remote_host(self) -> str:
        """The client's address without the port and without the brackets of IPv6."""
        return split_remote_addr(self.remote_addr)[0]


_PORT_DIGITS = 5


def split_remote_addr(remote_addr: str) -> tuple[str, int]:
    """`host:port` or `[host]:port` as host and port; port 0 where there is none."""
    host, colon, port = remote_addr.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or len(port) > _PORT_DIGITS:
        return remote_addr, 0
    return host.removeprefix("[").removesuffix("]"), int(port)
