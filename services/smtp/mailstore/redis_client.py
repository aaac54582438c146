"""The mail store's line to Redis or Valkey: its timeout, its scripts, its errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from rr_tcp import RedisCallError, RedisFullError, RedisLineError, redis_client, redis_url
from services.smtp.errors import MailStoreError, MailStoreFullError
from services.smtp.mailstore.redis_scripts import PREFIX

SOCKET_TIMEOUT: Final = 2.0
"""Seconds that a read or a write on the socket may take: a mail is on the server's disk when it answers. A step that is
tried twice ends, with the budget of an event on top, before RoadRunner's `exec_ttl` ends the worker."""


class RedisClient:
    """Runs commands and scripts. It connects at its first call.

    Args:
        place: where the server or the cluster is. Its `replicas` must have a mail before it counts.

    Attributes:
        name: of the store, for messages.
    """

    def __init__(self, place: redis_url.RedisPlace) -> None:
        self._client = redis_client.RedisClient(place, timeout=SOCKET_TIMEOUT)
        self._replicas = place.replicas
        self.name = self._client.name

    def run(self, *commands: redis_client.Command) -> list[Any]:
        """Runs commands in one round trip, several as one transaction; their replies.

        Raises:
            MailStoreError: the server cannot be reached or refuses. Then the commands may or may not have been run.
            MailStoreFullError: it has no memory left; nothing was changed.
        """
        replies: list[Any] = self._call(lambda: self._client.run(*commands, key=PREFIX))
        return replies

    def script(self, text: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Runs a script as one step; its reply. Errors as with `run`."""
        return self._call(lambda: self._client.script(text, keys, args))

    def repeatable(self, text: str, keys: Sequence[str], args: Sequence[Any], *, replicated: bool = False) -> Any:
        """Runs a script that changes nothing the second time: once more if its answer does not come.

        Args:
            text: the script.
            keys: all that it uses.
            args: its others.
            replicated: what it wrote counts only when the place's `replicas` have it.
        """

        def call() -> Any:
            return self._client.script(text, keys, args, replicas=self._replicas if replicated else 0)

        try:
            return self._call(call)
        except MailStoreError as error:
            if not isinstance(error.__cause__, RedisLineError):
                raise
            return self._call(call)

    def settings(self, *names: str) -> dict[str, str] | None:
        """Settings of the server; None where it does not tell them."""
        try:
            reply = self.run(*(("CONFIG", "GET", name) for name in names))
        except MailStoreError as error:
            if isinstance(error.__cause__, RedisLineError):
                raise
            return None
        return {name: value.decode() for pair in reply for name, value in fields(pair).items()}

    def close(self) -> None:
        """Closes the connection; the next call opens it again."""
        self._client.close()

    def _call(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except RedisLineError as error:
            raise MailStoreError(
                f"the mail store, {self.name}, cannot be used: {str(error).rstrip('.')}. Is the server running, and "
                "are host, port, user and password of MAIL_STORE right?"
            ) from error
        except RedisFullError as error:
            raise MailStoreFullError(
                f"the mail store, {self.name}, is full: it has no memory left. Give Redis more (maxmemory), or remove "
                "mails (`python -m services.smtp prune`)"
            ) from error
        except RedisCallError as error:
            raise RefusedError(f"the mail store, {self.name}, refused a call: {error}", str(error)) from error


class RefusedError(MailStoreError):
    """The server answered a call with an error.

    Attributes:
        reply: its words.
    """

    def __init__(self, message: str, reply: str) -> None:
        super().__init__(message)
        self.reply = reply


def fields(reply: list[Any]) -> dict[str, Any]:
    """A reply of names and values in turn."""
    return {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)}


class Entry(NamedTuple):
    """A mail in the stream.

    Attributes:
        place: the id of its entry.
        info: all about it but its text, encoded.
    """

    place: str
    info: bytes


def entries(reply: Any) -> list[Entry]:
    """The entries in a reply to XRANGE; `MailStoreError` when one is no mail."""
    return [Entry(place_of(place), _info_of(place, values)) for place, values in reply]


def _info_of(place: bytes, values: list[Any]) -> bytes:
    match values:
        case [b"id", _, b"info", bytes(info)]:
            return info
    raise MailStoreError(
        f"the mail store is damaged at {place_of(place)}: that is no mail. Something else writes to its stream; remove "
        "the entry with XDEL"
    )


def place_of(value: bytes) -> str:
    """The id of an entry, also where a size stands behind it."""
    return value.decode().partition(" ")[0]
