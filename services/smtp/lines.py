"""The client's bytes that wait to be handled, and the command lines in them."""

from __future__ import annotations

from services.smtp import replies
from services.smtp.errors import LocalProtocolError, RemoteProtocolError
from services.smtp.limits import AUTH_LINE, COMMAND_LINE, command_line_limit
from services.smtp.state import SmtpState


class Input:
    """What the client sent and nobody has taken yet; between two pieces of it, only `state` is left.

    Attributes:
        data: the piece of input, behind the beginning of a line that came before it.
        index: where in it the next byte to be handled is.

    Args:
        state: the session; the beginning of a command line rests there.
    """

    def __init__(self, state: SmtpState) -> None:
        self.data = b""
        self.index = 0
        self._state = state

    def __bool__(self) -> bool:
        return self.index < len(self.data)

    def feed(self, data: bytes) -> None:
        """Takes the next piece; `LocalProtocolError` unless all before it is handled."""
        if self:
            raise LocalProtocolError("take all events with next_event() before handing over more data")
        self.data, self.index = data, 0
        if self._state.partial:
            self.data = self._state.partial + data
            self._state.partial = b""

    def drop(self) -> None:
        """Forgets the rest."""
        self.data, self.index = b"", 0

    def next_line(self) -> bytes | None:
        """The next command line without its CRLF, None when its end has not come yet.

        Raises:
            RemoteProtocolError: the line is over and is none: too long, or ended by a bare LF.
        """
        if self._state.skip:
            self._skip()
        end = self.data.find(b"\n", self.index) + 1
        line = self.data[self.index : end or len(self.data)]
        self.index += len(line)
        too_long = len(line) > COMMAND_LINE and self._is_too_long(line)
        if not end:
            if too_long:
                self._state.overlong = True
                line = line[-1:]  # a CR whose LF may come next
            self._state.partial = line
            return None
        overlong, self._state.overlong = self._state.overlong, False
        if not line.endswith(b"\r\n"):
            raise RemoteProtocolError(replies.BARE_LINE_FEED, closing=True)
        if overlong or too_long:
            raise RemoteProtocolError(replies.LINE_TOO_LONG if self._state.auth is None else replies.AUTH_LINE_TOO_LONG)
        return line[:-2]

    def _is_too_long(self, line: bytes) -> bool:
        """Whether a line, whole or not, is over its limit; raises if it is one behind which other bytes come."""
        if self._state.auth is not None:
            return len(line) > AUTH_LINE
        if len(line) <= command_line_limit(line):
            return False
        if line[:4].upper() == b"BDAT" and not self._state.overlong:
            raise RemoteProtocolError(replies.NO_CHUNK_SIZE, closing=True)  # and who knows how many
        return True

    def _skip(self) -> None:
        """Passes over what belongs to no command."""
        skipped = min(self._state.skip, len(self.data) - self.index)
        self.index += skipped
        self._state.skip -= skipped
