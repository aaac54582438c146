"""The echo protocol: newline-delimited text in, newline-delimited JSON out."""

from __future__ import annotations

import base64

import msgspec

from rr_tcp import Connection, LineBuffer, StatefulProtocol, TcpEvent
from services.echo.settings import EchoSettings


class EchoState(msgspec.Struct, forbid_unknown_fields=True):
    """What is kept of a connection.

    Attributes:
        seq: number of lines answered so far.
        lines: the line that is not over yet.
    """

    seq: int = 0
    lines: LineBuffer = msgspec.field(default_factory=LineBuffer)


class EchoProtocol(StatefulProtocol[EchoState]):
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

    def __init__(self, *, worker: int, settings: EchoSettings | None = None) -> None:
        self._worker = worker
        self._max_line = (settings or EchoSettings()).max_line

    def data_received(self, connection: Connection[EchoState], data: bytes) -> None:
        """Answers the lines that `data` ends."""
        buffer = connection.state.lines
        for line in buffer.feed(data):
            if not self._answer(connection, line):
                return
        if len(buffer.partial.removesuffix(b"\r")) > self._max_line:
            self._refuse(connection)

    def eof_received(self, connection: Connection[EchoState], data: bytes) -> None:
        """Answers the last line, which has no line end."""
        self.data_received(connection, data)
        rest = connection.state.lines.flush()
        if rest and not connection.closing:
            self._answer(connection, rest)

    def _answer(self, connection: Connection[EchoState], line: bytes) -> bool:
        """Writes the answer to one line; False when the line is refused and the connection closed."""
        if len(line) > self._max_line:
            self._refuse(connection)
            return False
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
        return True

    def _refuse(self, connection: Connection[EchoState]) -> None:
        connection.write(msgspec.json.encode({"error": "line too long", "limit": self._max_line}) + b"\n")
        connection.close()


def _body(line: bytes) -> dict[str, str]:
    try:
        return {"body": line.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(line).decode()}
