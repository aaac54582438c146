"""What a worker may answer to an event (RoadRunner's TCP plugin v5.1.9)."""

from __future__ import annotations

import enum
from typing import Final

import msgspec


class TcpResponse(enum.StrEnum):
    """What RoadRunner does with the connection; anything else on the wire closes it."""

    CONTINUE = "CONTINUE"
    """Read on, write nothing."""
    WRITE = "WRITE"
    """Write the body, then read on."""
    WRITECLOSE = "WRITECLOSE"
    """Write the body, then close."""
    CLOSE = "CLOSE"
    """Close, write nothing."""


# To look a member up in its class takes longer than to make a Response (Python 3.11).
_CONTINUE: Final = TcpResponse.CONTINUE
_WRITE: Final = TcpResponse.WRITE
_WRITECLOSE: Final = TcpResponse.WRITECLOSE
_CLOSE: Final = TcpResponse.CLOSE


class Response(msgspec.Struct, frozen=True, gc=False):
    """The one answer to one event."""

    action: TcpResponse
    body: bytes = b""

    @classmethod
    def of(cls, body: bytes, *, close: bool) -> Response:
        """The answer that writes `body`, if there is any, and then closes or reads on."""
        if close:
            return cls(_WRITECLOSE, body) if body else cls(_CLOSE)
        return cls(_WRITE, body) if body else cls(_CONTINUE)
