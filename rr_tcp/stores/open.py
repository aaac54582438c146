"""One URL names the session store (`SESSION_STORE`)."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from rr_tcp.environment import Environment
from rr_tcp.errors import ConfigurationError
from rr_tcp.sessions import SessionStore

ACCEPTED: Final = (
    "lmdb:///absolute/path, redis://[[user]:password@]host[:port][/db], the same with rediss:// for TLS, or "
    "rrkv://storage (a storage of RoadRunner's kv section)"
)

REDIS_PORT: Final = 6379


class CheckedSessionStore(SessionStore, Protocol):
    """A session store that can say whether it works."""

    def check(self) -> None:
        """`SessionStoreError` unless sessions can be written and read now."""


def open_store(url: str, *, rpc_address: str | None = None) -> CheckedSessionStore:
    """The session store that a URL names. Drivers are imported only for the store that is used.

    Opening LMDB needs its directory; the others connect at their first call, so that a worker starts while its store
    does not run yet. `check()` says at once whether the store works.

    Args:
        url: `lmdb:///path`, `redis://...`, `rediss://...` or `rrkv://storage`. Percent-escapes are decoded. Its
            password never appears in an error.
        rpc_address: where RoadRunner's RPC server listens (`RR_RPC`), for `rrkv`; by default where it does by default.

    Raises:
        ConfigurationError: the URL is none of these, or the driver is not installed.
        SessionStoreError: the LMDB directory cannot be used.
    """
    parts, port = _split(url)
    try:
        match parts.scheme:
            case "lmdb":
                return _open_lmdb(parts)
            case "redis" | "rediss":
                return _open_redis(parts, port)
            case "rrkv":
                return _open_roadrunner(parts, rpc_address or Environment().rpc_address)
    except ImportError as error:
        raise ConfigurationError(
            f"a session store {parts.scheme}:// needs the Python package {error.name!r}: install it, e.g. as "
            f"pip install 'rr-tcp[{'lmdb' if parts.scheme == 'lmdb' else 'redis'}]'"
        ) from error
    raise _unusable(parts.scheme, "there is no such kind of store")


def _open_lmdb(parts: SplitResult) -> CheckedSessionStore:
    path = unquote(parts.path)
    if parts.netloc or path == "/" or not path.startswith("/"):
        raise _unusable("lmdb", "it names no absolute path (three slashes: lmdb:///dev/shm/sessions)")
    from rr_tcp.stores.lmdb_store import LMDBStore  # noqa: PLC0415 - its driver may not be installed

    return LMDBStore(Path(path))


def _open_redis(parts: SplitResult, port: int | None) -> CheckedSessionStore:
    db = parts.path.removeprefix("/") or "0"
    if not parts.hostname or not db.isdecimal():
        raise _unusable(parts.scheme, "it names no host, or its path is no number of a database")
    from rr_tcp.stores.redis_store import RedisStore  # noqa: PLC0415 - its driver may not be installed

    return RedisStore(
        parts.hostname,
        REDIS_PORT if port is None else port,
        db=int(db),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "rediss",
    )


def _open_roadrunner(parts: SplitResult, rpc_address: str) -> CheckedSessionStore:
    storage = unquote(parts.netloc)
    if not storage or "@" in storage or ":" in storage or parts.path not in {"", "/"}:
        raise _unusable("rrkv", "it names no storage (rrkv://sessions), or more than one")
    from rr_tcp.stores.roadrunner_store import RoadRunnerStore  # noqa: PLC0415 - as the others

    return RoadRunnerStore(storage, rpc_address)


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts = None
    if parts is None:  # raised here, without a cause: the errors of urllib quote the URL with its password
        raise _unusable("", "its host or port is no such thing")
    if parts.query or parts.fragment:
        raise _unusable(parts.scheme, "it has a part after ? or #; in a user name or password write %3F or %23")
    return parts, port


def _unusable(scheme: str, why: str) -> ConfigurationError:
    name = f"the session store's URL ({scheme}://...)" if scheme else "the session store's URL"
    return ConfigurationError(f"{name} cannot be used: {why}. Accepted are {ACCEPTED}")
