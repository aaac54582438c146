"""The protocol sample: bytes in, bytes out. What it needs of the world outside, it is given."""

from __future__ import annotations

from rr_tcp import Connection, LineProtocol, LineState
from services.sample.settings import SampleSettings


class SampleState(LineState, forbid_unknown_fields=True):
    """What is kept of a connection; every field has a default.

    Attributes:
        lines: number of lines answered so far.
    """

    lines: int = 0


class SampleProtocol(LineProtocol[SampleState]):
    """Answers each line with its number and the line.

    Args:
        settings: the limits.
    """

    state_type = SampleState
    error_reply = b"error: internal error\n"
    expired_reply = b"error: session expired\n"
    refused_reply = b"error: too many connections\n"

    def __init__(self, settings: SampleSettings | None = None) -> None:
        self.max_line = (settings or SampleSettings()).max_line

    def line_received(self, connection: Connection[SampleState], line: bytes) -> None:
        """Answers one line."""
        connection.state.lines += 1
        connection.write(b"%d: %s\n" % (connection.state.lines, line))

    def line_too_long(self, connection: Connection[SampleState]) -> None:
        """Says why the connection is closed."""
        connection.write(b"error: line too long\n")
