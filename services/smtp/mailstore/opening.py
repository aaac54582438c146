"""Which mail store a URL names (`MAIL_STORE`)."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import unquote

from rr_tcp import ConfigurationError
from services.smtp.mailstore.interface import MailStore

ACCEPTED: Final = "sqlite:///relative/path.db or sqlite:////absolute/path.db"


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
    from services.smtp.mailstore.sqlite import SqliteMailStore  # noqa: PLC0415 - only the store that is used is loaded

    return SqliteMailStore(Path(path), create=create)
