"""A connection to the Redis or Valkey server of a mail store: its timeouts, its scripts, its errors.

All commands are shared by Redis 7.0 to 8 and Valkey.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.smtp.errors import MailStoreError, MailStoreFullError

log = logging.getLogger(__name__)

CONNECT_TIMEOUT: Final = 0.5
"""Seconds. An event waits for the store, and the worker's other connections wait with it."""

SOCKET_TIMEOUT: Final = 2.0
"""Seconds that a read or a write on the socket may take: a mail is on the server's disk when it answers. A step that is
tried twice ends, with the budget of an event on top, before RoadRunner's `exec_ttl` ends the worker."""

Command: TypeAlias = tuple[str | bytes | float, ...]


class RedisClient:
    """Runs commands and scripts. It connects at its first call.

    Args:
        host: name or address.
        port: TCP port.
        db: number of the database.
        username: of an ACL user; None for the default one.
        password: None without authentication.
        tls: speak TLS and verify the server against the system's certificates (OpenSSL's SSL_CERT_FILE adds to them).

    Attributes:
        name: of the store, for messages.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        db: int = 0,
        username: str | None = None,
        password: str | None = None,
        tls: bool = False,
    ) -> None:
        self.name = f"Redis at {host}:{port}/{db}"
        self._redis = redis.Redis(
            host=host,
            port=port,
            db=db,
            username=username,
            password=password,
            ssl=tls,
            protocol=2,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=SOCKET_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis.response_callbacks.clear()  # replies as the server gives them, whatever the driver's version
        self._scripts: dict[str, Callable[..., Any]] = {}

    def run(self, *commands: Command) -> list[Any]:
        """Runs commands in one round trip, several as one transaction; their replies.

        Raises:
            MailStoreError: the server cannot be reached or refuses. Then the commands may or may not have been run.
            MailStoreFullError: it has no memory left; nothing was changed.
        """
        replies: list[Any] = self._call(lambda: self._run(commands))
        return replies

    def script(self, text: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Runs a script as one step; its reply. Errors as with `run`."""
        if text not in self._scripts:
            self._scripts[text] = self._redis.register_script(text)
        script = self._scripts[text]
        return self._call(lambda: script(keys=keys, args=args))

    def repeatable(self, text: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Runs a script that changes nothing the second time: once more if its answer does not come."""
        try:
            return self.script(text, keys, args)
        except MailStoreError as error:
            if not isinstance(error.__cause__, redis.ConnectionError | redis.TimeoutError):
                raise
            return self.script(text, keys, args)

    def settings(self, *names: str) -> dict[str, str] | None:
        """Settings of the server; None where it does not tell them."""
        try:
            reply = self.run(*(("CONFIG", "GET", name) for name in names))
        except MailStoreError as error:
            if isinstance(error.__cause__, redis.ConnectionError | redis.TimeoutError):
                raise
            return None
        return {name: value.decode() for pair in reply for name, value in fields(pair).items()}

    def close(self) -> None:
        """Closes the connection; the next call opens it again."""
        self._redis.close()

    def _run(self, commands: Sequence[Command]) -> list[Any]:
        with self._redis.pipeline(transaction=len(commands) > 1) as pipeline:
            queue: Callable[..., object] = pipeline.execute_command
            for command in commands:
                queue(*command)
            return list(pipeline.execute())

    def _call(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except redis.ResponseError as error:
            refused = self._refused(error)
        except redis.RedisError as error:
            raise MailStoreError(
                f"the mail store, {self.name}, cannot be used: {str(error).rstrip('.')}. Is the server running, and "
                "are host, port, user and password of MAIL_STORE right?"
            ) from error
        # Raised here, without a cause: redis-py quotes the command with its data, which belongs in no log.
        raise refused

    def _refused(self, error: redis.ResponseError) -> MailStoreError:
        reply = str(error).rpartition("caused error: ")[2]
        if isinstance(error, redis.exceptions.OutOfMemoryError):
            return MailStoreFullError(
                f"the mail store, {self.name}, is full: it has no memory left. Give Redis more (maxmemory), or remove "
                "mails (`python -m services.smtp prune`)"
            )
        return RefusedError(f"the mail store, {self.name}, refused a call: {reply}", reply)


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
