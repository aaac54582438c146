r"""The text of a mail: finds its end and undoes the dots, whatever the cuts (RFC 5321 4.5.2, 2.3.8, 4.1.1.4).

The rules:

* The text ends at CR LF `.` CR LF and nowhere else; `.` CR LF right after DATA is the empty mail.
* A dot at the beginning of a line is removed. A line begins after CR LF only, or right after DATA.
* A CR or LF that is not part of CR LF is a bare one. Other servers and clients take it for a line end; were it passed
  on, one mail could become two ("SMTP smuggling"). The policy `BareNewlines` says what becomes of the mail: refused at
  its end, or kept with a CR LF in the place of each. Either way a bare one never ends the text, and never begins a
  line of which a dot is removed: a dot behind it stays, and whoever sends the mail on doubles it.
* A text with a NUL is refused under either policy. It is no line end that could be mended, no mail may have one (RFC
  5321 2.3.8, RFC 5322 4), and programs in C see the end of a string there.
* So is a text over the size limit or with an over-long line; both are measured in the text as it is kept. What is
  refused is read to its real end all the same: no byte of it is ever taken for a command.
* What is wrong is collected as a set and looked at once, at the end: so the answer does not depend on the cuts.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

import msgspec

from services.smtp import replies
from services.smtp.limits import Limits
from services.smtp.replies import Reply


class BareNewlines(enum.StrEnum):
    """What becomes of a mail with a CR or LF that is not part of CR LF."""

    REJECT = "reject"
    """It is refused."""
    NORMALIZE = "normalize"
    """Each becomes CR LF."""


class Position(enum.StrEnum):
    """Where the last byte left the decoder."""

    LINE_START = "line start"
    DOT = "dot"
    """A dot at the beginning of a line; not part of the text."""
    DOT_CR = "dot CR"
    """CR after such a dot; held back until the next byte says whose it is."""
    MIDDLE = "middle"
    CR = "CR"
    """CR anywhere else; in the text already, under NORMALIZE as CR LF."""
    END = "end"


class Defect(enum.IntFlag):
    """What a text is refused for."""

    NONE = 0
    TOO_BIG = 1
    NUL = 2
    BARE_NEWLINE = 4
    LONG_LINE = 8


_REFUSALS: Final = (
    (Defect.TOO_BIG, replies.MESSAGE_TOO_BIG),
    (Defect.NUL, replies.NUL_IN_TEXT),
    (Defect.BARE_NEWLINE, replies.BARE_NEWLINE_IN_TEXT),
    (Defect.LONG_LINE, replies.TEXT_LINE_TOO_LONG),
)
"""The reply to a text with several defects is that of the first one here. A long line is last: it is looked for only
in a text that has no other defect yet."""

_DOT: Final = ord(".")
_CR: Final = ord("\r")
_LF: Final = ord("\n")


class BodyState(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What has to be known of a text to go on with it; the text itself is the caller's.

    Attributes:
        bare_newlines: the policy; it is that of the mail's beginning, whatever the settings of a later process.
        position: where the last byte left the decoder.
        column: bytes of the unfinished line as it is kept; not kept up once there is a defect.
        size: bytes of the text so far as it is kept.
        defects: what it is refused for, `Defect`.
    """

    bare_newlines: BareNewlines = BareNewlines.REJECT
    position: Position = Position.LINE_START
    column: int = 0
    size: int = 0
    defects: int = 0

    @property
    def refusal(self) -> Reply | None:
        """What the client is told at the end of a text with defects."""
        if not self.defects:
            return None
        return next((reply for defect, reply in _REFUSALS if self.defects & defect), None)


class Decoded(NamedTuple):
    """What became of a piece of input.

    Attributes:
        text: bytes of the mail, empty once it has a defect.
        stop: index of the first byte of the input that is not of the mail.
    """

    text: bytes
    stop: int


def decode(state: BodyState, data: bytes, start: int, limits: Limits) -> Decoded:
    """Takes `data[start:]` up to the end of the mail; `state.position` is END when that was reached."""
    pieces: list[bytes] = []
    index = start
    while index < len(data) and state.position is not Position.END:
        match state.position, data[index]:
            case Position.LINE_START, byte if byte == _DOT:
                state.position = Position.DOT
                index += 1
            case Position.DOT, byte if byte == _CR:
                state.position = Position.DOT_CR
                index += 1
            case Position.DOT_CR, byte if byte == _LF:
                state.position = Position.END
                index += 1
            case Position.DOT_CR, _:
                pieces.append(_take(state, b"\r", limits))
            case position, byte:
                run, index = (b"\n", index + 1) if position is Position.CR and byte == _LF else _next_run(data, index)
                pieces.append(_take(state, run, limits))
    return Decoded(b"" if state.defects else b"".join(pieces), index)


def _next_run(data: bytes, index: int) -> tuple[bytes, int]:
    """What is text for certain from `index` on, without the dots that are none of it, and where it ends.

    Most texts have no line with a dot at its beginning. They are looked through for one once, and not for each reason.
    """
    found = data.find(b"\r\n.", index)
    if found < 0:
        return data[index:], len(data)
    stop = found + 2 if data.startswith(b"\r\n.\r\n", found) else _end_of_run(data, index)
    run = data[index:stop]
    return (run if stop == found + 2 else run.replace(b"\r\n.", b"\r\n")), stop


def _end_of_run(data: bytes, index: int) -> int:
    """How far all is text for certain: to the end of the mail, or to a dot that may begin it, or to the last byte.

    Lines are not looked at one by one: with short ones, a mail of the allowed size would take a worker for seconds.
    """
    found = data.find(b"\r\n.\r\n", index)
    if found >= 0:
        return found + 2
    for beginning in (b"\r\n.", b"\r\n.\r"):
        if data.endswith(beginning, index):
            return len(data) - len(beginning) + 2
    return len(data)


def _take(state: BodyState, piece: bytes, limits: Limits) -> bytes:
    """Takes bytes that are text for certain, and notes what is wrong with them; what is to be kept of them."""
    if state.bare_newlines is BareNewlines.NORMALIZE:
        text = _normalized(piece, after_cr=state.position is Position.CR)
    else:
        text = piece
        if _has_bare_newline(piece, after_cr=state.position is Position.CR):
            state.defects |= Defect.BARE_NEWLINE
    state.position = _position_after(piece, state.position)
    state.size += len(text)
    if state.size > limits.message:
        state.defects |= Defect.TOO_BIG
    if b"\0" in piece:
        state.defects |= Defect.NUL
    if not state.defects:  # every other defect is worse than a long line
        _check_line_lengths(state, text, limits.text_line)
    return text


def _normalized(piece: bytes, *, after_cr: bool) -> bytes:
    """The piece with CR LF for each line end. A CR at its end became CR LF already: an LF that follows adds nothing."""
    rest = piece[1:] if after_cr and piece.startswith(b"\n") else piece
    return rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def _has_bare_newline(piece: bytes, *, after_cr: bool) -> bool:
    """Whether there is a CR or LF that is not part of CR LF; of a CR at the end, the next piece will tell."""
    complete = (b"\r" + piece if after_cr else piece).removesuffix(b"\r")
    # To replace single bytes is several times as fast as to count them, or pairs.
    return complete.replace(b"\r", b"").replace(b"\n", b"\r\n") != complete


def _position_after(piece: bytes, before: Position) -> Position:
    """Where a piece, as it came, leaves the decoder."""
    if piece.endswith(b"\r"):
        return Position.CR
    at_line_start = piece.endswith(b"\r\n") or (piece == b"\n" and before is Position.CR)
    return Position.LINE_START if at_line_start else Position.MIDDLE


def _check_line_lengths(state: BodyState, piece: bytes, limit: int) -> None:
    """Looks for a line over the limit; `limit` bytes without the LF are one too many.

    Of each `limit` bytes only the last LF is looked at: no objects are made of lines, of which a mail has millions.
    """
    start = -state.column  # where the line began that the piece goes on with
    while len(piece) - start >= limit:
        end = piece.rfind(b"\n", max(start, 0), start + limit)
        if end < 0:
            state.defects |= Defect.LONG_LINE
            return
        start = end + 1
    last = piece.rfind(b"\n", max(start, 0))
    state.column = len(piece) - (last + 1 if last >= 0 else start)
