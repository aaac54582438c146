"""Protocols of lines, on a stream whose pieces are many lines or part of one."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import Final, TypeVar

import msgspec

from rr_tcp.connection import Connection
from rr_tcp.stateful import StatefulProtocol

MAX_LINE: Final = 64 * 1024
"""Bytes of a line without its end: what a connection may make the session store hold between two events."""


class LineState(msgspec.Struct, forbid_unknown_fields=True):
    """The state of a line protocol; derive yours from it.

    Attributes:
        partial: the bytes of the line that is not over yet.
    """

    partial: bytes = b""


LineStateT = TypeVar("LineStateT", bound=LineState)


class LineProtocol(StatefulProtocol[LineStateT]):
    r"""Calls `line_received` for every line, however the bytes were cut.

    A line ends in LF; a CR before it is no part of the line. What a client leaves unfinished when it ends its side is
    its last line. After `connection.close()` the rest of the input is dropped.
    """

    max_line: int = MAX_LINE
    """Bytes of a line without its end; a longer one is `line_too_long`."""

    def line_received(self, connection: Connection[LineStateT], line: bytes) -> Awaitable[None] | None:
        """One line, without its end."""
        raise NotImplementedError(f"{type(self).__name__} must define line_received")

    def line_too_long(self, connection: Connection[LineStateT]) -> Awaitable[None] | None:
        """A line is over `max_line`. The connection is closed afterwards: where the next line begins is unknown."""

    def data_received(self, connection: Connection[LineStateT], data: bytes) -> Awaitable[None] | None:
        """Splits the bytes; see `line_received`."""
        *lines, connection.state.partial = (connection.state.partial + data).split(b"\n")
        return self._handle(connection, iter(lines))

    def eof_received(self, connection: Connection[LineStateT], data: bytes) -> Awaitable[None] | None:
        """The last line has no end; see `line_received`."""
        lines = (connection.state.partial + data).split(b"\n")
        connection.state.partial = b""
        if not lines[-1]:
            del lines[-1]
        return self._handle(connection, iter(lines))

    def _handle(self, connection: Connection[LineStateT], lines: Iterator[bytes]) -> Awaitable[None] | None:
        """Handles lines until one is handled by a coroutine, which then handles the rest too."""
        for line in lines:
            result = self._handle_line(connection, line)
            if result is not None:
                return self._handle_rest(connection, lines, result)
            if connection.closing:
                return None
        return self._check_partial(connection)

    async def _handle_rest(
        self, connection: Connection[LineStateT], lines: Iterator[bytes], first: Awaitable[None]
    ) -> None:
        await first
        for line in lines:
            if connection.closing:
                return
            if (result := self._handle_line(connection, line)) is not None:
                await result
        if not connection.closing and (result := self._check_partial(connection)) is not None:
            await result

    def _handle_line(self, connection: Connection[LineStateT], line: bytes) -> Awaitable[None] | None:
        line = line.removesuffix(b"\r")
        if len(line) > self.max_line:
            return self._refuse(connection)
        return self.line_received(connection, line)

    def _check_partial(self, connection: Connection[LineStateT]) -> Awaitable[None] | None:
        if len(connection.state.partial.removesuffix(b"\r")) > self.max_line:
            return self._refuse(connection)
        return None

    def _refuse(self, connection: Connection[LineStateT]) -> Awaitable[None] | None:
        connection.close()
        return self.line_too_long(connection)
