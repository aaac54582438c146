"""What the engine reports: decisions to take, each answered by `accept` or `reply`, and pieces of text to keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from services.smtp.auth import Exchange
from services.smtp.replies import Reply
from services.smtp.state import Transaction


@dataclass(frozen=True, slots=True)
class Hello:
    """HELO or EHLO.

    Attributes:
        name: how the client calls itself.
        extended: whether it is EHLO.
        reply: what `accept` answers; for EHLO, the extensions.
    """

    name: str
    extended: bool
    reply: Reply


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL.

    Attributes:
        transaction: the mail that begins when it is accepted.
    """

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class Rcpt:
    """RCPT.

    Attributes:
        address: the recipient without angle brackets.
        options: the parameters, e.g. `NOTIFY=NEVER`.
    """

    address: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """The text of a mail is complete and sound. Whoever accepts it is responsible for it from then on.

    Attributes:
        transaction: the mail.
        size: bytes of its text: the sum of all `BodyChunk`s.
    """

    transaction: Transaction
    size: int


@dataclass(frozen=True, slots=True)
class Authenticate:
    """AUTH, or a response to a challenge. It is answered by `challenge`, `authenticate` or `reply`, never by `accept`.

    Attributes:
        exchange: what was said so far.
    """

    exchange: Exchange


@dataclass(frozen=True, slots=True)
class Reset:
    """RSET; the mail under way is gone already."""


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP.

    Attributes:
        argument: what followed the verb.
    """

    argument: str


@dataclass(frozen=True, slots=True)
class Verify:
    """VRFY.

    Attributes:
        address: what is to be verified, without angle brackets.
    """

    address: str


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT; whatever the answer, the connection ends with it."""


@dataclass(frozen=True, slots=True)
class BodyChunk:
    """A piece of a mail's text, dots undone; needs no answer.

    Attributes:
        data: the bytes, never none.
    """

    data: bytes


@dataclass(frozen=True, slots=True)
class BodyDiscarded:
    """The text so far is worth nothing, for the mail will be refused at its end. May come again; needs no answer."""


@dataclass(frozen=True, slots=True)
class MessageRefused:
    """The text of a mail has ended, and was answered: the mail is refused for what is wrong with it. Needs no answer.

    Attributes:
        transaction: the mail.
        size: bytes of its text, as far as they were counted.
        reply: what the client is told.
    """

    transaction: Transaction
    size: int
    reply: Reply


Decision: TypeAlias = Hello | Mail | Rcpt | Message | Authenticate | Reset | Noop | Verify | Quit
Event: TypeAlias = Decision | BodyChunk | BodyDiscarded | MessageRefused
