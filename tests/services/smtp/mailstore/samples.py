"""Mails to store, and how the tests look at what is stored."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from services.smtp import MailEnvelope, MailInfo, MailStore

ROOT: Final = Path(__file__).parents[4]

TEXT: Final = b"text\r\n"


def mail_id(number: int) -> str:
    """The id of the sample mail of that number."""
    return f"{number:032}"


def envelope(number: int = 0, *, received_at: datetime | None = None) -> MailEnvelope:
    """All about a sample mail but its text."""
    return MailEnvelope(
        id=mail_id(number),
        mail_from="from@a.test",
        rcpt_tos=("one@b.test", '"odd, \\" one"@b.test'),
        received_at=received_at or datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        peer="[::1]:1234",
        helo="c",
        protocol="SMTP",
        mail_options=("SIZE=6", "BODY=8BITMIME"),
        rcpt_options=(),
    )


def add(store: MailStore, number: int = 0, text: bytes = TEXT, *, received_at: datetime | None = None) -> MailInfo:
    """Stores a sample mail."""
    return store.add(envelope(number, received_at=received_at), (text,))


def text_of(store: MailStore, number: int = 0) -> bytes:
    """The text of a sample mail, as it is stored."""
    return b"".join(store.read(mail_id(number)))


def numbers(store: MailStore, *, after: str = "") -> list[int]:
    """The sample mails that are stored, in order."""
    return [int(info.id) for info in store.mails(after=after)]
