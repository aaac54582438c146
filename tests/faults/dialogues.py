"""Random SMTP dialogues of clients that keep to the protocol, and random ways to cut what they send."""

from __future__ import annotations

import enum
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.e2e.clients import dot_stuffed
from tests.faults.ledger import ACKNOWLEDGED, Attempt

MAILS: Final = 4
"""Mails of one connection at most."""

RECIPIENTS: Final = 5
"""Recipients of one mail at most."""

SIZES: Final[Mapping[tuple[int, int], float]] = {
    (0, 0): 0.1,
    (1, 2_000): 0.5,
    (2_000, 30_000): 0.26,
    (30_000, 300_000): 0.12,
    (300_000, 1_000_000): 0.02,
}
"""Ranges of a text's size in bytes, and how likely they are: mostly small, some over many events."""

ABANDONED: Final = 0.1
"""Part of the dialogues whose client goes away in the middle of its last text."""

CUTS: Final = 30
"""Places at most where one step is cut."""

BYTEWISE: Final = 200
"""Bytes up to which a step may be cut between any two of them."""

_LINE: Final = 998
"""Bytes of a line of text without its CRLF (RFC 5321 4.5.3.1.6)."""

_TEXT: Final = bytes(ord("x") if byte in b"\0\r\n" else byte for byte in range(256))
"""What random bytes become in a text: these three have no place within a line."""


class Shape(enum.Enum):
    """When a client waits for replies."""

    PLAIN = enum.auto()
    """After every command."""
    PIPELINED = enum.auto()
    """Where RFC 2920 section 3.1 says: after EHLO, DATA and QUIT."""
    AT_ONCE = enum.auto()
    """Now and then, or never: a program that writes a file to a socket."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A reply that the client waits for.

    Attributes:
        what: it answers.
        code: of the reply when all goes well.
        attempt: the mail whose end it answers, if it does.
    """

    what: str
    code: bytes
    attempt: Attempt | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What a client sends before it waits.

    Attributes:
        data: the bytes.
        ends: the mails that end in them, each with the number of bytes up to its last one.
        expected: the replies that it waits for.
    """

    data: bytes
    ends: Sequence[tuple[int, Attempt]]
    expected: Sequence[Expected]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """All that one connection does.

    Attributes:
        name: unlike that of any other.
        steps: in order.
        attempts: the mails in it.
        quits: whether it ends with QUIT; else the client goes away in the middle of a mail.
    """

    name: str
    steps: Sequence[Step]
    attempts: Sequence[Attempt]
    quits: bool


@dataclass(frozen=True, slots=True)
class _Unit:
    """What has one reply: a command, a text, or the greeting, for which nothing is sent."""

    data: bytes
    expected: Expected | None


def make_dialogue(random: Random, name: str) -> Dialogue:
    """A dialogue; `name` makes its senders unlike those of any other."""
    units = [_Unit(b"", Expected("greeting", b"220")), _command("EHLO", f"EHLO {name}.example.test")]
    attempts = []
    for number in range(random.randint(1, MAILS)):
        text = make_text(random)
        attempt = make_attempt(random, f"{name}-{number}@example.test", text)
        attempts.append(attempt)
        units += _mail(random, attempt, text)
    quits = random.random() >= ABANDONED
    if quits:
        units.append(_command("QUIT", "QUIT", b"221"))
    else:
        whole = units.pop().data
        units.append(_Unit(whole[: random.randrange(len(whole))], None))
    shape = random.choice(list(Shape))
    return Dialogue(name, list(_steps(random, shape, units)), attempts, quits)


def make_mail(random: Random, name: str, text: bytes) -> Dialogue:
    """A dialogue of one mail, whose client waits after every command and stays until the end."""
    attempt = make_attempt(random, f"{name}@example.test", text)
    units = [_Unit(b"", Expected("greeting", b"220")), _command("EHLO", f"EHLO {name}.example.test")]
    units += [*_mail(random, attempt, text), _command("QUIT", "QUIT", b"221")]
    return Dialogue(name, list(_steps(random, Shape.PLAIN, units)), [attempt], quits=True)


def make_text(random: Random) -> bytes:
    """The text of a mail, with everything that may stand in one: any byte but CR, LF and NUL in a line, dots first."""
    (sizes,) = random.choices(list(SIZES), list(SIZES.values()))
    size, lines = random.randint(*sizes), []
    while size > 0:
        line = random.randbytes(min(size, random.randint(0, _LINE))).translate(_TEXT)
        lines.append(b"." + line[1:] if random.random() < 0.1 else line)
        size -= len(line) + 2
    return b"".join(line + b"\r\n" for line in lines)


def pieces(random: Random, data: bytes) -> list[bytes]:
    """The bytes in pieces: whole, one by one, or cut anywhere, with a liking for CR|LF and the end."""
    how = random.random()
    if how < 0.3 or not data:
        return [data] if data else []
    if how < 0.4 and len(data) <= BYTEWISE:
        return [data[index : index + 1] for index in range(len(data))]
    near_the_end = range(max(0, len(data) - 5), len(data))
    places = [random.randrange(len(data)) for _ in range(random.randint(1, CUTS))]
    between_cr_and_lf = [place for place in (data.find(b"\r", start) + 1 for start in places) if place]
    places = random.sample([*places, *between_cr_and_lf, *near_the_end], random.randint(1, len(places)))
    cuts = [0, *sorted(set(places) - {0}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(cuts)]


def make_attempt(random: Random, mail_from: str, text: bytes) -> Attempt:
    """An attempt to send a text to some recipients."""
    rcpt_tos = tuple(f"r{number}.{mail_from}" for number in range(random.randint(1, RECIPIENTS)))
    return Attempt(mail_from, rcpt_tos, hashlib.sha256(text).hexdigest(), len(text))


def _mail(random: Random, attempt: Attempt, text: bytes) -> Iterator[_Unit]:
    if random.random() < 0.1:  # a mail that is thought better of
        yield _command("MAIL", "MAIL FROM:<never@example.test>")
        yield _command("RSET", "RSET")
    size = f" SIZE={attempt.size}" if random.random() < 0.5 else ""
    yield _command("MAIL", f"MAIL FROM:<{attempt.mail_from}> BODY=8BITMIME{size}")
    for rcpt_to in attempt.rcpt_tos:
        yield _command("RCPT", f"RCPT TO:<{rcpt_to}>")
    yield _command("DATA", "DATA", b"354")
    yield _Unit(dot_stuffed(text), Expected("text", ACKNOWLEDGED, attempt))


def _command(verb: str, line: str, code: bytes = b"250") -> _Unit:
    return _Unit(line.encode() + b"\r\n", Expected(verb, code))


def _steps(random: Random, shape: Shape, units: Iterable[_Unit]) -> Iterator[Step]:
    group: list[_Unit] = []
    for unit in units:
        if unit.expected is None and group:
            # What is abandoned ends in the middle of a line, and RoadRunner keeps back what stands before it as well.
            yield _step(group)
            group = []
        group.append(unit)
        if _waits(random, shape, unit):
            yield _step(group)
            group = []
    if group:
        yield _step(group)


def _waits(random: Random, shape: Shape, unit: _Unit) -> bool:
    match shape:
        case Shape.PLAIN:
            return True
        case Shape.PIPELINED:
            return unit.expected is not None and unit.expected.what in {"greeting", "EHLO", "DATA", "QUIT"}
        case Shape.AT_ONCE:
            return random.random() < 0.1


def _step(units: Iterable[_Unit]) -> Step:
    data, ends, expected = b"", [], []
    for unit in units:
        data += unit.data
        if unit.expected is None:
            continue
        expected.append(unit.expected)
        if unit.expected.attempt is not None:
            ends.append((len(data), unit.expected.attempt))
    return Step(data, ends, expected)
