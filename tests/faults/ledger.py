"""The ledger of a run: which mails were tried, what the client was told, and whether the mail store agrees."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from services.smtp import open_mail_store

ACKNOWLEDGED: Final = b"250"

_QUOTED: Final = 5
"""Mails that a finding names; the ledger has thousands."""


@dataclass(slots=True)
class Attempt:
    """One try to have a mail stored.

    Attributes:
        mail_from: its name: no other attempt has it.
        rcpt_tos: the recipients, in order.
        sha256: of its text, hexadecimal.
        size: of its text, in bytes.
        sent: whether its last byte may have left. Until then the mail must not be stored.
        reply: to its last byte; empty when none came.
    """

    mail_from: str
    rcpt_tos: tuple[str, ...]
    sha256: str
    size: int
    sent: bool = False
    reply: bytes = b""

    @property
    def acknowledged(self) -> bool:
        """Whether the client was told that the mail is stored."""
        return self.reply[:3] == ACKNOWLEDGED


@dataclass(frozen=True, slots=True)
class StoredMail:
    """A mail as it is found in the store.

    Attributes:
        mail_from: the sender in the envelope.
        rcpt_tos: the recipients in the envelope, in order.
        sha256: of the text as it was read back, hexadecimal.
        size: of that, in bytes.
        as_listed: whether the list of mails says the same of the text.
    """

    mail_from: str
    rcpt_tos: tuple[str, ...]
    sha256: str
    size: int
    as_listed: bool = True


@dataclass(frozen=True, slots=True)
class Audit:
    """What the comparison of attempts and store says.

    Attributes:
        acknowledged: attempts whose client was told so.
        unanswered: attempts that were sent as a whole and got no reply.
        unanswered_stored: those of them that are stored: the worker died between storing and answering.
        refused: attempts whose client was told to try again later.
        refused_stored: those of them that are stored: what was done afterwards failed, or nobody could know.
        findings: what must not be; none when all is right.
    """

    acknowledged: int
    unanswered: int
    unanswered_stored: int
    findings: Sequence[str]
    refused: int = 0
    refused_stored: int = 0


def read_mails(url: str) -> Iterator[StoredMail]:
    """Everything that a mail store has, each text read back."""
    store = open_mail_store(url, create=False)
    try:
        for info in store.mails():
            digest, size = hashlib.sha256(), 0
            for piece in store.read(info.id):
                digest.update(piece)
                size += len(piece)
            as_listed = (digest.hexdigest(), size) == (info.sha256, info.size)
            yield StoredMail(info.mail_from, info.rcpt_tos, digest.hexdigest(), size, as_listed)
    finally:
        store.close()


def audit(attempts: Iterable[Attempt], stored: Iterable[StoredMail]) -> Audit:
    """Compares: acknowledged is stored once and as sent, unacknowledged at most once, and nothing else is there."""
    tried = {attempt.mail_from: attempt for attempt in attempts}
    times: Counter[str] = Counter()
    problems: defaultdict[str, list[str]] = defaultdict(list)
    for mail in stored:
        times[mail.mail_from] += 1
        for problem in _problems(mail, tried.get(mail.mail_from)):
            problems[problem].append(mail.mail_from)
    if twice := [mail_from for mail_from, count in times.items() if count > 1]:
        problems["stored more than once"] = twice
    acknowledged = [attempt.mail_from for attempt in tried.values() if attempt.acknowledged]
    if lost := [mail_from for mail_from in acknowledged if not times[mail_from]]:
        problems["acknowledged, but not stored"] = lost
    refused = [attempt.mail_from for attempt in tried.values() if attempt.reply and not attempt.acknowledged]
    unanswered = [attempt.mail_from for attempt in tried.values() if attempt.sent and not attempt.reply]
    return Audit(
        acknowledged=len(acknowledged),
        unanswered=len(unanswered),
        unanswered_stored=sum(times[mail_from] > 0 for mail_from in unanswered),
        findings=[_finding(what, mails) for what, mails in problems.items()],
        refused=len(refused),
        refused_stored=sum(times[mail_from] > 0 for mail_from in refused),
    )


def _problems(mail: StoredMail, attempt: Attempt | None) -> Iterator[str]:
    """What is wrong with a stored mail that was tried so, or not at all."""
    if attempt is None:
        yield "stored, but nobody sent it"
        return
    if not attempt.sent:
        yield "stored, but its client never sent its end"
    if (mail.sha256, mail.size) != (attempt.sha256, attempt.size):
        yield "stored, but not the bytes that were sent"
    if mail.rcpt_tos != attempt.rcpt_tos:
        yield "stored, but not for the recipients that were sent"
    if not mail.as_listed:
        yield "listed with another digest or size than its text has"


def _finding(what: str, mails: Sequence[str]) -> str:
    more = ", ..." if len(mails) > _QUOTED else ""
    return f"{len(mails)} {'mail' if len(mails) == 1 else 'mails'} {what}: {', '.join(mails[:_QUOTED])}{more}"
