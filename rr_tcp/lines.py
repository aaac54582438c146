"""Lines out of a stream whose pieces are many lines or part of one."""

from __future__ import annotations

import msgspec


class LineBuffer(msgspec.Struct, forbid_unknown_fields=True):
    """Splits a byte stream into lines that end in LF; plain data, made to be a field of a protocol's state.

    Attributes:
        partial: the bytes of the line that is not over yet.
    """

    partial: bytes = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Takes bytes as they came and returns the lines that they end, without their line end (LF or CRLF).

        Args:
            data: any piece of the stream.
        """
        *lines, self.partial = (self.partial + data).split(b"\n")
        return [line.removesuffix(b"\r") for line in lines]

    def flush(self) -> bytes:
        """The rest after the last line end, which the buffer forgets."""
        rest, self.partial = self.partial, b""
        return rest.removesuffix(b"\r")
