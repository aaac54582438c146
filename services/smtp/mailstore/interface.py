"""What a mail store keeps and must do, and what its queues hand to whoever delivers mail on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

from rr_tcp import ConfigurationError
from services.smtp.errors import MailStoreFullError

PIECE: Final = 256 * 1024
"""Bytes of a text that a store holds in memory at a time, and the most that `MailStore.read` gives at once."""

LEASE: Final = 60.0
"""Seconds that a claimed mail is kept for its consumer, unless it says otherwise."""

PRUNED_AT_ONCE: Final = 100
"""Mails that one call of `MailStore.prune` removes at most, so that whoever waits for the store waits milliseconds."""

Start = Literal["new", "all"]

_GROUP: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_group(group: str) -> None:
    """Refuses what cannot name a group of consumers in every store, with `ConfigurationError`."""
    if not _GROUP.fullmatch(group):
        raise ConfigurationError(f"{group!r} cannot name a queue: give 1 to 64 letters, digits, - and _")


def store_full(room: int) -> MailStoreFullError:
    """The error for a mail that does not fit in the room that the settings give."""
    return MailStoreFullError(
        f"the mail store is full: the texts of its mails may take {room} bytes (MAIL_MAX_BYTES). Raise that, or remove "
        "mails (`python -m services.smtp prune`)"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MailEnvelope:
    """All that is known of a mail before its text.

    Attributes:
        id: 32 hexadecimal digits, unique for ever. A mail that is added again under its id is the same mail.
        mail_from: the sender's address in the envelope, "" for the null sender.
        rcpt_tos: the recipients' addresses in the envelope.
        received_at: when its last byte came, with a time zone; stores give it back in UTC.
        peer: the client's `host:port`.
        helo: how the client called itself.
        protocol: how it came, in the words of RFC 3848: SMTP, ESMTP, ESMTPA and so on.
        mail_options: the parameters of MAIL, e.g. `BODY=8BITMIME`.
        rcpt_options: the parameters with which each recipient came, e.g. `NOTIFY=NEVER ORCPT=rfc822;a@b`, "" for none;
            in the order of `rcpt_tos`, and shorter where the last ones had none.
    """

    id: str
    mail_from: str
    rcpt_tos: tuple[str, ...]
    received_at: datetime
    peer: str
    helo: str = ""
    protocol: str = "ESMTP"
    mail_options: tuple[str, ...] = ()
    rcpt_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MailInfo(MailEnvelope):
    """All about a stored mail but its text.

    Attributes:
        size: bytes of the text.
        sha256: hexadecimal digest of the text, so that mails can be compared without reading them.
        position: where the mail stands in its store: `MailStore.mails(after=...)` goes on behind it, also when the
            mail itself is gone. It means nothing to any other store.
    """

    size: int
    sha256: str
    position: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a store holds.

    Attributes:
        mails: how many mails.
        size: bytes of their texts.
    """

    mails: int
    size: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A mail that a queue handed to one consumer for a time.

    Attributes:
        info: the mail.
        attempts: how often this group has claimed it, 1 for the first time.
        progress: what the last attempt left behind, b"" at first.
    """

    info: MailInfo
    attempts: int
    progress: bytes = b""


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """How far a group of consumers is.

    Attributes:
        group: its name.
        waiting: mails that it has never claimed.
        open: mails that it has claimed, or postponed, and not settled.
    """

    group: str
    waiting: int
    open: int


class MailQueue(Protocol):
    """The mails of a store as one group of consumers works through them: each mail until somebody settles it.

    Consumers of a group share the work, groups know nothing of one another. A mail is handed out *at least* once: a
    consumer that dies between doing its work and `settle` leaves the work to be done again, from the progress that it
    recorded last. Every method raises `MailStoreError` when the store cannot do it.
    """

    def open(self) -> None:
        """Makes the group known to the store, where it is not. `claim` does it too.

        Call it before the first mail that the group must not miss.
        """

    def claim(self, limit: int = 1, *, lease: float = LEASE) -> list[Claim]:
        """Mails that are due, the oldest first, each leased to the caller; an empty list when there is none.

        Args:
            limit: how many at most.
            lease: seconds until the mail is due again, unless it was settled, postponed or renewed.
        """

    def renew(self, claim: Claim, *, lease: float = LEASE, progress: bytes | None = None) -> bool:
        """Starts the lease anew, from now on; False when the mail is not the caller's any more.

        Args:
            claim: as `claim` gave it.
            lease: seconds.
            progress: recorded if given, for whoever claims the mail next.
        """

    def postpone(self, claim: Claim, delay: float, *, progress: bytes) -> bool:
        """Gives the mail back, to be due again later; False when it was not the caller's any more: nothing changed.

        Args:
            claim: as `claim` gave it.
            delay: seconds.
            progress: for whoever claims the mail next.
        """

    def settle(self, claim: Claim) -> None:
        """The group is done with the mail: it is never handed out again. Also when the lease had ended meanwhile."""


class MailSink(Protocol):
    """What a receiver needs of a mail store. Every method raises `MailStoreError` when the store cannot do it."""

    def open(self) -> None:
        """Makes the store ready, so that it exists before the first mail. Every other method does it too."""

    def add(self, envelope: MailEnvelope, pieces: Iterable[bytes]) -> MailInfo:
        """Stores a mail, the whole or, whatever happens, nothing; when this returns, it outlasts a power cut.

        What `pieces` raises is passed on, and nothing is stored. A mail whose id is there already is kept as it is,
        and `pieces` may then be left unread: a call whose outcome is unknown can be repeated.

        Args:
            envelope: all about the mail but its text.
            pieces: the text, of which no more than a few pieces are in memory at a time.

        Raises:
            MailStoreFullError: there is no room for it now.
        """

    def prune(self, *, keep: int | None = None, older: timedelta | None = None, limit: int = PRUNED_AT_ONCE) -> int:
        """Removes some of the mails that are too many or too old, the oldest first, and returns how many.

        A mail that some group of consumers has not settled stays. Call it until it returns 0 to have removed all.

        Args:
            keep: the latest so many mails stay unless they are too old; None for all.
            older: mails that were received longer ago go; None for none.
            limit: how many to remove at most.
        """

    def close(self) -> None:
        """Gives back what the store holds open; the next call opens it again."""


class MailStore(MailSink, Protocol):
    """Accepted mail, shared by all workers. Every method raises `MailStoreError` when the store cannot do it."""

    def mails(self, *, after: str = "") -> Iterator[MailInfo]:
        """All mails in the order in which they were stored.

        Args:
            after: a mail's `position`: only those that were stored later.
        """

    def last_position(self) -> str:
        """The `position` of the mail that was stored last, also when it is gone; "" in a store that never had one."""

    def get(self, mail_id: str) -> MailInfo | None:
        """One mail, None when there is none of that id."""

    def read(self, mail_id: str) -> Iterator[bytes]:
        """The text of a mail, byte for byte as it was added, in pieces.

        Raises:
            MailGoneError: there is no mail of that id, or it was deleted while it was read. Raised with the first
                piece, as everything here is.
        """

    def delete(self, mail_id: str) -> bool:
        """Removes a mail, from all queues too; False when there was none of that id."""

    def count(self) -> Counts:
        """How much there is."""

    def queue(self, group: str, *, start: Start = "new") -> MailQueue:
        """The queue of a group of consumers.

        Args:
            group: its name, 1 to 64 letters, digits, `-` and `_`.
            start: what a group that the store does not know yet begins with: `new`, the mails that are stored from now
                on, or `all`, also those that are there. A known group goes on where it is.

        Raises:
            ConfigurationError: the group cannot be named so.
        """

    def queues(self) -> list[QueueStatus]:
        """The groups that the store knows, by name."""

    def drop_queue(self, group: str) -> bool:
        """Forgets a group: its mails are not kept for it any more. False when the store did not know it."""
