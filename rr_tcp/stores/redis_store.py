"""Sessions in Redis or Valkey: shared, inspectable with redis-cli, one round trip per call.

A session is a hash `rr-tcp:{uuid}` (format, state, checksum, closed, bulk_size, server, opened, saved) and, with bulk
data, a string `rr-tcp:{uuid}:bulk` that grows by APPEND. The braces are a hash tag: both are in one slot of a Redis
Cluster, and the sessions of different connections are spread over its masters.

Every writing call is one MULTI/EXEC: Redis runs it as a whole or, when its connection broke before EXEC, not at all.
No call is retried: one that timed out may have been applied, and an APPEND must not happen twice. Run Redis with
`maxmemory-policy noeviction`: full memory is then an error of one event, not lost state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from zlib import crc32

from rr_tcp.admission import Verdict
from rr_tcp.errors import RedisCallError, RedisFullError, RedisLineError, SessionDataError, SessionStoreError
from rr_tcp.redis_client import RedisClient
from rr_tcp.sessions import BULK_PIECE, SCAN_COUNT, OpenSession, ScanPage, StoredSession, check_ttl
from rr_tcp.stores.record import FORMAT, SeenBulk, check_key, check_store, no_session, wrong_bulk
from rr_tcp.stores.redis_clients import RedisClients

KEY_PREFIX: Final = "rr-tcp:"

SOCKET_TIMEOUT: Final = 1.0
"""Seconds that a read or a write on the socket may take; well under the pool's exec_ttl."""

_FIELDS: Final = ("format", "state", "checksum", "closed", "bulk_size")

_SCANNED: Final = ("closed", "server", "opened", "saved")


class _FullError(SessionStoreError):
    """Redis has no memory left; nothing of the call was done."""


class RedisStore:
    """A `SessionStore` in one database of a Redis server, or in a Redis Cluster. It connects at its first call.

    Args:
        client: the line to it, with `SOCKET_TIMEOUT`.
        clock: seconds since the epoch, the same for all processes.
        replicas: how many replicas must have what an event changed before it is answered. Without any, a replica that
            takes over may stand some events back, and a mail under way lack a piece that its client has sent.
    """

    def __init__(self, client: RedisClient, *, clock: Callable[[], float] = time.time, replicas: int = 0) -> None:
        self._client = client
        self._clock = clock
        self._replicas = replicas
        self._seen = SeenBulk()
        self._clients = RedisClients(client, clock, self._is_open)

    def check(self) -> None:
        """`SessionStoreError` unless sessions can be written and read now."""
        check_store(self)

    def load(self, key: str) -> StoredSession | None:
        """See `SessionStore.load`."""
        check_key(key)
        (fields,) = self._execute(key, [("HMGET", _hash_key(key), *_FIELDS)])
        if not any(field is not None for field in fields):
            self._seen.forget()
            return None
        session = _decode(key, *fields)
        self._seen.loaded(key, session.bulk_size)
        return session

    def save(
        self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False, server: str = ""
    ) -> None:
        """See `SessionStore.save`."""
        check_key(key)
        check_ttl(ttl)
        hash_key, bulk_key = _hash_key(key), _bulk_key(key)
        commands: list[tuple[Any, ...]] = [("HINCRBY", hash_key, "bulk_size", len(append))]
        if truncate:
            commands = [("HSET", hash_key, "bulk_size", len(append)), ("DEL", bulk_key)]
        commands += [
            ("APPEND", bulk_key, append) if append else ("STRLEN", bulk_key),
            ("HSET", hash_key, *_encode(state, closed=False), *self._times(server)),
            *_expire(ttl, bulk_key, hash_key),
        ]
        replies = self._execute(key, commands, replicas=self._replicas)
        size, stored = (len(append), replies[2]) if truncate else replies[:2]
        if not truncate:
            self._seen.check(key, size - len(append))
        self._seen.saved(key, size)
        if stored != size:
            raise wrong_bulk(key, stored, size)

    def read_bulk(self, key: str) -> bytes:
        """See `SessionStore.read_bulk`."""
        return b"".join(self.iter_bulk(key))

    def iter_bulk(self, key: str) -> Iterator[bytes]:
        """See `SessionStore.iter_bulk`. One round trip per piece."""
        check_key(key)
        bulk_key = _bulk_key(key)
        first = [("HMGET", _hash_key(key), *_FIELDS), ("STRLEN", bulk_key), ("GETRANGE", bulk_key, 0, BULK_PIECE - 1)]
        fields, size, piece = self._execute(key, first)
        if not any(field is not None for field in fields):
            raise no_session(key)
        if size != (expected := _decode(key, *fields).bulk_size):
            raise wrong_bulk(key, size, expected)
        found = len(piece)
        if piece:
            yield piece
        while found < size:
            (piece,) = self._execute(key, [("GETRANGE", bulk_key, found, found + BULK_PIECE - 1)])
            if not piece:
                raise wrong_bulk(key, found, size)
            found += len(piece)
            yield piece

    def end(self, key: str, *, ttl: float, state: bytes = b"") -> None:
        """See `SessionStore.end`. What was stored is not read, so a damaged session can be ended too."""
        check_key(key)
        check_ttl(ttl)
        hash_key = _hash_key(key)
        remove = ("DEL", hash_key, _bulk_key(key))
        bury = [
            remove,
            ("HSET", hash_key, *_encode(state, closed=True), "bulk_size", 0),
            *_expire(ttl, hash_key),
        ]
        self._seen.forget()
        try:
            self._execute(key, bury, replicas=self._replicas)
        except _FullError:
            # With full memory a transaction is refused as a whole, and what would make room with it. Alone it is not.
            self._execute(key, [remove])
            self._execute(key, bury, replicas=self._replicas)

    def delete(self, key: str) -> None:
        """See `SessionStore.delete`. A damaged session can be deleted too."""
        check_key(key)
        self._execute(key, [("DEL", _hash_key(key), _bulk_key(key))])
        self._seen.forget()

    def scan(self, cursor: str = "", *, count: int = SCAN_COUNT) -> ScanPage:
        """See `SessionStore.scan`. Redis looks at so many of its keys, whosever they are: give sessions a database."""
        with self._errors():
            following, found = self._client.scan_hashes(cursor, match=_hash_key("*"), count=count, fields=_SCANNED)
        sessions = [_open_session(name[len(KEY_PREFIX) + 1 : -1], *fields) for name, fields in found]
        return ScanPage(list(filter(None, sessions)), following)

    def admit(self, client: str, key: str, *, connections: int | None, per_minute: int | None) -> Verdict:
        """See `ClientStore.admit`."""
        with self._errors():
            return self._clients.admit(client, key, connections=connections, per_minute=per_minute)

    def leave(self, client: str, key: str) -> None:
        """See `ClientStore.leave`."""
        with self._errors():
            self._clients.leave(client, key)

    def _is_open(self, key: str) -> bool:
        (closed,) = self._client.run(("HGET", _hash_key(key), "closed"), key=_hash_key(key))
        return bool(closed == b"0")

    def close(self) -> None:
        """See `SessionStore.close`."""
        self._client.close()

    def _times(self, server: str) -> tuple[str | float, ...]:
        """Fields that a save sets beside the session's: with the first one those that stay."""
        now = self._clock()
        return ("saved", now, "server", server, "opened", now) if server else ("saved", now)

    def _execute(self, key: str, commands: list[tuple[Any, ...]], *, replicas: int = 0) -> list[Any]:
        """Runs commands on a session's keys as one transaction in one round trip; their replies."""
        try:
            return self._client.run(*commands, key=_hash_key(key), replicas=replicas)
        except RedisCallError as error:
            raise self._failed(error) from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """As `_execute`, around calls that not every event makes: a block costs as much as two fields of a session."""
        try:
            yield
        except RedisCallError as error:
            raise self._failed(error) from error

    def _failed(self, error: RedisCallError) -> SessionDataError | SessionStoreError:
        if isinstance(error, RedisLineError):
            return SessionStoreError(
                f"the session store, {self._client.name}, cannot be used: {str(error).rstrip('.')}. Is the server "
                "running, and are host, port, user and password of SESSION_STORE right?"
            )
        return self._refused(error)

    def _refused(self, error: RedisCallError) -> SessionDataError | SessionStoreError:
        name, reply = self._client.name, str(error)
        if isinstance(error, RedisFullError):
            return _FullError(
                f"the session store, {name}, is full: {reply} Give Redis more (maxmemory), or lower the number "
                "of clients, the size of what they may send, or the sessions' time to live"
            )
        if "WRONGTYPE" in reply or "not an integer" in reply:
            return SessionDataError(
                f"a key of the session store, {name}, is of another type: {reply}. Something else writes keys "
                f"that start with {KEY_PREFIX}; give the sessions a database of their own"
            )
        return SessionStoreError(f"the session store, {name}, refused a call: {reply}")


def _hash_key(key: str) -> str:
    return f"{KEY_PREFIX}{{{key}}}"


def _open_session(
    key: str, closed: bytes | None, server: bytes | None, opened: bytes | None, saved: bytes | None
) -> OpenSession | None:
    """What a session tells; None for one that has ended, or is damaged, so that no connection can go on with it."""
    if closed != b"0":
        return None
    try:
        return OpenSession(key, (server or b"").decode(), float(opened or 0), float(saved or 0))
    except ValueError:  # no UTF-8, or no number
        return None


def _bulk_key(key: str) -> str:
    return f"{KEY_PREFIX}{{{key}}}:bulk"


def _expire(ttl: float, *keys: str) -> list[tuple[Any, ...]]:
    return [("PEXPIRE", key, round(ttl * 1000)) for key in keys]


def _encode(state: bytes, *, closed: bool) -> tuple[str | bytes | int, ...]:
    return "format", FORMAT, "state", state, "checksum", crc32(state), "closed", int(closed)


def _decode(
    key: str, form: bytes | None, state: bytes, checksum: bytes, closed: bytes, bulk_size: bytes
) -> StoredSession:
    if form != b"%d" % FORMAT:
        raise SessionDataError(
            f"the stored session {key} has format {form!r}, this version reads format {FORMAT}: let only one version "
            "use a session store, or give each its own"
        )
    if checksum != b"%d" % crc32(state or b"") or closed not in {b"0", b"1"} or not (bulk_size or b"").isdigit():
        raise SessionDataError(
            f"the stored session {key} is damaged: its fields do not fit together. Its connection is lost, "
            "no other one is"
        )
    return StoredSession(state, int(bulk_size), closed == b"1")
