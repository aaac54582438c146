"""One dialogue on both servers, line by line; every difference is explained by a rule, or reported."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tests.differential.dialogues import Dialogue, Step
from tests.differential.recorder import USER, Recorder, authenticate
from tests.differential.service import LIMITS, Service, Workers
from tests.differential.stock import StockServer, StockSink
from tests.differential.wire import HookNote, ReceivedMail, Snapshot, WireReply, codes_of, parse_replies

STOCK_OPTIONS: Final[Mapping[str, Any]] = {"data_size_limit": LIMITS.message, "enable_SMTPUTF8": True}
"""aiosmtpd as its Controller makes it, with our limit of size."""

RESET: Final = b"RSET\r\n"
HOOKED_OPTIONS: Final[Mapping[str, Any]] = {
    **STOCK_OPTIONS,
    "authenticator": authenticate,
    "auth_require_tls": False,
}
"""The same with AUTH, which is then not for TLS alone: neither server sees that."""

LOGIN: Final = b"AUTH PLAIN %s\r\n" % b64encode(b"\0%s\0%s" % USER)
HELLO: Final = b"EHLO repaired.test\r\n"


class Side(NamedTuple):
    """What one server made of a line.

    Attributes:
        replies: to it.
        after: how far the session is then.
        mails: that were acknowledged with it.
        notes: of the handler's hooks.
    """

    replies: tuple[WireReply, ...]
    after: Snapshot
    mails: tuple[ReceivedMail, ...]
    notes: tuple[HookNote, ...]

    @property
    def codes(self) -> list[int]:
        """The replies' codes."""
        return codes_of(list(self.replies))


@dataclass(frozen=True, slots=True)
class Exchange:
    """A line and what came of it on both servers, which were at the same point before.

    Attributes:
        piece: what both got, up to a line end or not.
        before: how far both were.
        earlier: what they had got before of the same command line, or text.
        ours: what our service made of it.
        theirs: what aiosmtpd did.
    """

    piece: bytes
    before: Snapshot
    earlier: bytes
    ours: Side
    theirs: Side

    @property
    def line(self) -> bytes:
        """The whole command line, or the whole text with its dots, so far."""
        return self.earlier + self.piece

    @property
    def differs(self) -> bool:
        """Whether the servers disagree: on the code, on where the session is, on a mail or on a call of a hook."""
        return (self.ours.codes, *self.ours[1:]) != (self.theirs.codes, *self.theirs[1:])

    def __str__(self) -> str:
        """What is to be looked at."""
        lines = [f"line    {self.line!r}", f"before  {self.before}"]
        for name, side in (("ours", self.ours), ("theirs", self.theirs)):
            lines += [f"{name:7} {' | '.join(' / '.join(reply.lines) for reply in side.replies) or 'no reply'}"]
            lines += [f"        {side.after}"]
            lines += [f"        {what}" for what in (*side.mails, *side.notes)]
        return "\n".join(lines)


@dataclass(slots=True)
class Transcript:
    """What came of a dialogue.

    Attributes:
        sent: the lines that were sent, repairs and all.
        output: what our service wrote, greeting and all.
        differences: the exchanges that differ.
        unrepaired: what was left different after a difference, and could not be made the same again.
        closed: whether our service ended the connection.
    """

    sent: list[bytes] = field(default_factory=list)
    output: bytes = b""
    mails: list[ReceivedMail] = field(default_factory=list)
    notes: list[HookNote] = field(default_factory=list)
    differences: list[Exchange] = field(default_factory=list)
    unrepaired: str = ""
    closed: bool = False

    @property
    def stream(self) -> bytes:
        """All that was sent."""
        return b"".join(self.sent)


class _Keeping(Recorder):
    """A `Recorder` for a server without a mail store."""

    def __init__(self, notes: list[HookNote], sink: StockSink) -> None:
        super().__init__(notes)
        self._sink = sink

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802 - aiosmtpd's
        """See `Recorder`."""
        status = await super().handle_DATA(server, session, envelope)
        if status.startswith("2"):
            self._sink.keep(envelope)
        return status


class _Pair:
    """One connection to each server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, workers: Workers, *, hooked: bool) -> None:
        self._sink = StockSink()
        self._notes: list[HookNote] = []
        handler = _Keeping(self._notes, self._sink) if hooked else self._sink
        self.theirs = StockServer(loop, handler, **(HOOKED_OPTIONS if hooked else STOCK_OPTIONS))
        self.ours = Service(workers)
        self.output = self.ours.greeting

    def exchange(self, piece: bytes, before: Snapshot, earlier: bytes) -> Exchange:
        """Sends a line to both, or what is still missing of one."""
        counts = len(self.ours.mails()), len(self.ours.notes()), len(self._sink.mails), len(self._notes)
        ours, theirs = self.ours.feed(piece), self.theirs.feed(piece)
        self.output += ours
        return Exchange(
            piece,
            before,
            earlier,
            Side(
                tuple(parse_replies(ours)),
                self.ours.snapshot(),
                tuple(self.ours.mails()[counts[0] :]),
                tuple(self.ours.notes()[counts[1] :]),
            ),
            Side(
                tuple(parse_replies(theirs)),
                self.theirs.snapshot(),
                tuple(self._sink.mails[counts[2] :]),
                tuple(self._notes[counts[3] :]),
            ),
        )

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


def compare(dialogue: Dialogue, loop: asyncio.AbstractEventLoop, workers: Workers) -> Iterator[Exchange | Transcript]:
    """Runs a dialogue on both servers and yields the exchanges that differ, at last the transcript.

    Whoever iterates decides whether a difference is explained; when it goes on, the servers are brought to the same
    point again first, as a client would do it.
    """
    pair, transcript = _Pair(loop, workers, hooked=dialogue.hooked), Transcript()
    try:
        at, earlier = Snapshot(), b""
        for line, waits in _lines(dialogue):
            if at.closed or transcript.unrepaired:
                break
            if waits and not at.in_text:
                continue
            exchange = pair.exchange(line, at, earlier)
            transcript.sent.append(line)
            at = exchange.ours.after
            if exchange.differs:
                transcript.differences.append(exchange)
                yield exchange
                at = _repair(pair, exchange, transcript)
                if at != exchange.ours.after:
                    earlier = b""
                    continue
            goes_on = exchange.before.in_text if at.in_text else not line.endswith(b"\n")
            earlier = exchange.line if goes_on else b""
        transcript.output, transcript.closed = pair.output, pair.ours.snapshot().closed
        transcript.mails, transcript.notes = pair.ours.mails(), pair.ours.notes()
        yield transcript
    finally:
        pair.close()


def _lines(dialogue: Dialogue) -> Iterator[tuple[bytes, bool]]:
    """The steps, cut after every LF so that no piece gets more than one reply."""
    for step in dialogue.steps:
        for line in step.data.replace(b"\n", b"\n\0cut").split(b"\0cut"):
            if line:
                yield line, step.waits


def _repair(pair: _Pair, exchange: Exchange, transcript: Transcript) -> Snapshot:
    """Brings both servers to the same point; how far they are then."""
    ours, theirs = exchange.ours.after, exchange.theirs.after
    for line in _mending(ours, theirs):
        if not (ours.closed or theirs.closed):
            repaired = pair.exchange(line, ours, b"")
            transcript.sent.append(line)
            ours, theirs = repaired.ours.after, repaired.theirs.after
    if ours.closed or theirs.closed:
        return Snapshot(closed=True)
    if ours != theirs:
        transcript.unrepaired = f"ours {ours}\ntheirs {theirs}"
    return ours


def _mending(ours: Snapshot, theirs: Snapshot) -> list[bytes]:
    """What a client says to bring both to the same point."""
    lines: list[bytes] = []
    if ours.skip:
        lines += [b"x" * (ours.skip - 1) + b"\n"]
    if ours.in_auth != theirs.in_auth:
        lines += [b"*\r\n"]
    if ours.in_text != theirs.in_text:
        lines += [b"\r\n", b".\r\n"]
    if ours != theirs:
        lines += [RESET]
    if (ours.host_name, ours.extended) != (theirs.host_name, theirs.extended):
        lines += [HELLO]
    if ours.authenticated != theirs.authenticated:
        lines += [LOGIN]
    return lines


def in_pieces(pieces: Sequence[bytes], workers: Workers) -> Transcript:
    """What our service alone makes of a stream in these pieces."""
    service, transcript = Service(workers), Transcript(sent=list(pieces))
    try:
        transcript.output = service.greeting + service.feed(*pieces)
        transcript.mails, transcript.notes = service.mails(), service.notes()
        return transcript
    finally:
        service.close()


def to_the_end(transcript: Transcript, workers: Workers) -> Transcript:
    """The same dialogue with an end, so that the last thing that happens is that our service closes the connection."""
    service, ended = Service(workers), Transcript(sent=list(transcript.sent), closed=True)
    try:
        ended.output = service.greeting + service.feed(transcript.stream)
        for line in (b"\r\n", b".\r\n", b"QUIT\r\n"):
            if not service.snapshot().closed:
                ended.sent.append(line)
                ended.output += service.feed(line)
        ended.mails = service.mails()
        return ended
    finally:
        service.close()


def steps_of(lines: Sequence[bytes]) -> tuple[Step, ...]:
    """A client that sends these lines and waits for nothing."""
    return tuple(Step(line) for line in lines)
