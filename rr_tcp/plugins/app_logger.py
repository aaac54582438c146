"""RoadRunner's log, for applications (app-logger v5.1.9): records of the logger `app`, in the format of `logs`.

What a worker writes to stderr is in the same log, as records of level INFO without attributes; a call is a round trip.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rr_tcp.protobuf import encode_field
from rr_tcp.rpc import RPC, Codec

# applogger.v1: LogEntry{1 message, 2 repeated LogAttrs}, LogAttrs{1 key, 2 value}
_MESSAGE, _ATTRIBUTES = 1, 2
_KEY, _VALUE = 1, 2

Attributes = Mapping[str, object]
"""What a record tells beside its message; values are written as `str` gives them."""

_NONE: Final[Attributes] = {}


class AppLogger:
    """One method per level; the server drops records below `logs.level`.

    Every method raises `RPCError` when the call fails and `CodecError` for text that has no UTF-8 form.

    Args:
        rpc: the connection to RoadRunner.
    """

    def __init__(self, rpc: RPC) -> None:
        self._rpc = rpc

    def error(self, message: str, attributes: Attributes = _NONE) -> None:
        """Writes a record of level ERROR."""
        self._write("app.ErrorWithContext", message, attributes)

    def warning(self, message: str, attributes: Attributes = _NONE) -> None:
        """Writes a record of level WARN."""
        self._write("app.WarningWithContext", message, attributes)

    def info(self, message: str, attributes: Attributes = _NONE) -> None:
        """Writes a record of level INFO."""
        self._write("app.InfoWithContext", message, attributes)

    def debug(self, message: str, attributes: Attributes = _NONE) -> None:
        """Writes a record of level DEBUG."""
        self._write("app.DebugWithContext", message, attributes)

    def log(self, message: str, attributes: Attributes = _NONE) -> None:
        """Writes a line to the server's stderr, whatever `logs` says: the message, then `key:value,key:value`.

        The line is put together here: the server's `app.LogWithContext` cuts off its last character.
        """
        pairs = ",".join(f"{key}:{value}" for key, value in attributes.items())
        self._rpc.call("app.Log", f"{message} {pairs}\n" if pairs else f"{message}\n")

    def _write(self, method: str, message: str, attributes: Attributes) -> None:
        parts = [encode_field(_MESSAGE, message)]
        for key, value in attributes.items():
            parts.append(encode_field(_ATTRIBUTES, encode_field(_KEY, key) + encode_field(_VALUE, str(value))))
        self._rpc.call(method, b"".join(parts), Codec.PROTO)
