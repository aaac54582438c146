"""What hands mails on, and what it is given: the one thing that a relay and a webhook do differently."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from services.smtp.forward.progress import Result
from services.smtp.mailstore import MailEnvelope, MailInfo

Record: TypeAlias = Callable[[Mapping[int, Result]], Awaitable[None]]
"""Notes results, durably; to be awaited as soon as they are known."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to be handed on.

    Attributes:
        info: all about it but its text.
        read: reads the text anew, in pieces as the store has them. Raises `MailStoreError`, and its `MailGoneError`.
    """

    info: MailInfo
    read: Callable[[], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Report:
    """A notification to the sender of a mail, which is a mail itself.

    Attributes:
        envelope: its own, with an id that is the same whenever the same is reported.
        text: what is in it.
    """

    envelope: MailEnvelope
    text: bytes


class Forwarder(Protocol):
    """Hands mails on to somewhere. One object serves all mails, several at a time."""

    def targets(self, info: MailInfo) -> Sequence[str]:
        """What a mail is to be handed to, as the log names it; the same list every time."""

    async def forward(self, mail: Mail, targets: Sequence[int], record: Record) -> float:
        """Tries once to hand a mail to each of the targets that are numbered.

        Every one of them has a result when this returns; whatever it raises leaves those that have none for later.

        Returns:
            Seconds until which the other side wants no further attempt, 0 when it does not say.
        """

    async def report(self, mail: Mail, results: Mapping[int, Result]) -> Report | None:
        """The notification to the sender that final results call for, if they do."""

    async def rest(self) -> None:
        """There is nothing to do for now: gives back what is not worth keeping open."""

    async def close(self) -> None:
        """Gives back everything."""
