"""What a worker may answer to an event (RoadRunner's TCP plugin v5.1.9)."""

from __future__ import annotations

import enum
from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True)
class Response:
    """The one answer to one event."""

    action: TcpResponse
    body: bytes = b""

    @classmethod
    def of(cls, body: bytes, *, close: bool) -> Response:
        """The answer that writes `body`, if there is any, and then closes or reads on."""
        if close:
            return cls(TcpResponse.WRITECLOSE, body) if body else cls(TcpResponse.CLOSE)
        return cls(TcpResponse.WRITE, body) if body else cls(TcpResponse.CONTINUE)
