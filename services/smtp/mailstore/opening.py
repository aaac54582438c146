"""Which mail store a URL names (`MAIL_STORE`)."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import unquote

from rr_tcp import ConfigurationError, redis_url
from services.smtp.mailstore.interface import MailStore

ACCEPTED: Final = (
    "sqlite:///relative/path.db or sqlite:////absolute/path.db, maildir:///relative/path or maildir:////absolute/path, "
    f"{redis_url.ACCEPTED}"
)


def open_mail_store(url: str, *, create: bool = True, room: int | None = None) -> MailStore:
    """The mail store that a URL names; nothing is opened, and no driver loaded but its own, before its first call.

    Args:
        url: `sqlite:///path` or `maildir:///path` with a path relative to the working directory, `sqlite:////path` or
            `maildir:////path` with an absolute one; `redis://...`, `rediss://...`, `redis+cluster://...` or
            `rediss+cluster://...`. Percent-escapes are decoded. A password never appears in an error.
        create: whether a store that does not exist is made, with its directory, or is an error.
        room: bytes that the texts of all mails may take together; None for no limit of the store's own.

    Raises:
        ConfigurationError: the URL is none of these.
    """
    match url.partition("://")[0]:
        case "sqlite":
            from services.smtp.mailstore.sqlite import SqliteMailStore  # noqa: PLC0415 - only the store that is used

            return SqliteMailStore(_path(url), create=create, room=room)
        case "maildir":
            from services.smtp.mailstore.maildir import MaildirStore  # noqa: PLC0415 - as above

            return MaildirStore(_path(url), create=create, room=room)
        case scheme if scheme in redis_url.SCHEMES:
            return _open_redis(redis_url.parse_redis_url(url, _unusable), create=create, room=room)
        case scheme:
            raise _unusable(scheme, "there is no such kind of store")


def _open_redis(place: redis_url.RedisPlace, *, create: bool, room: int | None) -> MailStore:
    from services.smtp.mailstore.redis import RedisMailStore  # noqa: PLC0415 - only the store that is used is loaded
    from services.smtp.mailstore.redis_client import RedisClient  # noqa: PLC0415 - as above

    return RedisMailStore(RedisClient(place), create=create, room=room)


def _path(url: str) -> Path:
    scheme, _, rest = url.partition("://")
    path = unquote(rest.removeprefix("/"))
    if not rest.startswith("/") or path in {"", "/", ":memory:"} or "\0" in path:
        raise _unusable(scheme, "it names no path (three slashes and a relative one, four and an absolute one)")
    return Path(path)


def _unusable(scheme: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"the mail store's URL ({scheme:.20}://...) cannot be used: {why}. Give {ACCEPTED}")
