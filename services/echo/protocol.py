"""The echo protocol: newline-delimited text in, newline-delimited JSON out."""

from __future__ import annotations

import base64

import msgspec

from rr_tcp import Connection, LineProtocol, LineState, TcpEvent
from services.echo.settings import EchoSettings


class EchoState(LineState, forbid_unknown_fields=True):
    """What is kept of a connection.

    Attributes:
        seq: number of lines answered so far.
    """

    seq: int = 0


class EchoProtocol(LineProtocol[EchoState]):
    """Answers each line with one JSON line.

    Its fields: `remote_addr`, `server`, `uuid`, `event` of the event that brought the line's end; `body`, the line
    without its line end, or `body_base64` where it is no UTF-8; `seq`, counted from 1 per connection, whichever worker
    answers; `worker`, the pid of the one that did.

    Args:
        worker: the pid of this process.
        settings: the limits.
    """

    state_type = EchoState
    error_reply = b'{"error":"internal error"}\n'
    expired_reply = b'{"error":"session expired"}\n'
    refused_reply = b'{"error":"too many connections"}\n'

    def __init__(self, *, worker: int, settings: EchoSettings | None = None) -> None:
        self._worker = worker
        self.max_line = (settings or EchoSettings()).max_line

    def line_received(self, connection: Connection[EchoState], line: bytes) -> None:
        """Answers one line."""
        connection.state.seq += 1
        answer = {
            "remote_addr": connection.remote_addr,
            "server": connection.server,
            "uuid": connection.uuid,
            **_body(line),
            "event": TcpEvent.DATA,
            "seq": connection.state.seq,
            "worker": self._worker,
        }
        connection.write(msgspec.json.encode(answer) + b"\n")

    def line_too_long(self, connection: Connection[EchoState]) -> None:
        """Says why the connection is closed."""
        connection.write(msgspec.json.encode({"error": "line too long", "limit": self.max_line}) + b"\n")


def _body(line: bytes) -> dict[str, str]:
    try:
        return {"body": line.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(line).decode()}
