"""Where accepted mail rests: what a mail store must do, and which one a URL names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote

from rr_tcp import ConfigurationError

ACCEPTED: Final = "sqlite:///relative/path.db or sqlite:////absolute/path.db"


@dataclass(frozen=True, slots=True)
class MailInfo:
    """All about a mail but its text.

    Attributes:
        id: 32 hexadecimal digits, unique for ever.
        mail_from: the sender's address in the envelope, "" for the null sender.
        rcpt_tos: the recipients' addresses in the envelope.
        size: bytes of the text.
        received_at: when its last byte came, in UTC.
        peer: the client's `host:port`.
        sha256: hexadecimal digest of the text, so that mails can be compared without reading them.
        helo: how the client called itself.
        mail_options: the parameters of MAIL, e.g. `BODY=8BITMIME`.
        rcpt_options: the parameters of all RCPTs.
    """

    id: str
    mail_from: str
    rcpt_tos: tuple[str, ...]
    size: int
    received_at: datetime
    peer: str
    sha256: str
    helo: str = ""
    mail_options: tuple[str, ...] = ()
    rcpt_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail.

    Attributes:
        info: its envelope and how it came.
        content: its text exactly as the client sent it, dots undone, lines ended by CR LF.
    """

    info: MailInfo
    content: bytes


class MailStore(Protocol):
    """Accepted mail, shared by all workers. Every method raises `MailStoreError` when the store cannot do it."""

    def open(self) -> None:
        """Makes the store ready, so that it exists before the first mail. Every other method does it too."""

    def add(self, mail: Mail) -> None:
        """Stores the mail: when this returns, it outlasts a power cut. A mail whose id is there already is kept."""

    def mails(self) -> Iterator[MailInfo]:
        """All mails in the order in which they were stored."""

    def get(self, mail_id: str) -> Mail | None:
        """One mail, None when there is none of that id."""

    def close(self) -> None:
        """Gives back what the store holds open; the next call opens it again."""


def open_mail_store(url: str, *, create: bool = True) -> MailStore:
    """The mail store that a URL names; nothing is opened before its first call.

    Args:
        url: `sqlite:///path` with a path relative to the working directory, or `sqlite:////path` with an absolute one.
            Percent-escapes are decoded.
        create: whether a store that does not exist is made, with its directory, or is an error.

    Raises:
        ConfigurationError: the URL is none of these.
    """
    scheme, separator, rest = url.partition("://")
    path = unquote(rest.removeprefix("/"))
    if scheme != "sqlite" or not separator or not rest.startswith("/") or path in {"", "/", ":memory:"}:
        raise ConfigurationError(f"the mail store {url!r} cannot be used: give {ACCEPTED} (MAIL_STORE)")
    from services.smtp.sqlite_store import SqliteMailStore  # noqa: PLC0415 - it needs this module's types

    return SqliteMailStore(Path(path), create=create)
