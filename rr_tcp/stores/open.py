"""One URL names the session store (`SESSION_STORE`)."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from rr_tcp import redis_url
from rr_tcp.environment import Environment
from rr_tcp.errors import ConfigurationError
from rr_tcp.sessions import SessionStore

ACCEPTED: Final = (
    f"lmdb:///absolute/path, {redis_url.ACCEPTED}, or rrkv://storage (a storage of RoadRunner's kv section)"
)


class CheckedSessionStore(SessionStore, Protocol):
    """A session store that can say whether it works."""

    def check(self) -> None:
        """`SessionStoreError` unless sessions can be written and read now."""


def open_store(url: str, *, rpc_address: str | None = None) -> CheckedSessionStore:
    """The session store that a URL names. Drivers are imported only for the store that is used.

    Opening LMDB needs its directory; the others connect at their first call, so that a worker starts while its store
    does not run yet. `check()` says at once whether the store works.

    Args:
        url: `lmdb:///path`, `redis://...`, `rediss://...`, `redis+cluster://...`, `rediss+cluster://...` or
            `rrkv://storage`. Percent-escapes are decoded. Its password never appears in an error.
        rpc_address: where RoadRunner's RPC server listens (`RR_RPC`), for `rrkv`; by default where it does by default.

    Raises:
        ConfigurationError: the URL is none of these, or the driver is not installed.
        SessionStoreError: the LMDB directory cannot be used.
    """
    scheme = url.partition("://")[0]
    try:
        match scheme:
            case "lmdb":
                return _open_lmdb(_split(url))
            case scheme if scheme in redis_url.SCHEMES:
                return _open_redis(redis_url.parse_redis_url(url, _unusable))
            case "rrkv":
                return _open_roadrunner(_split(url), rpc_address or Environment().rpc_address)
    except ImportError as error:
        raise ConfigurationError(
            f"a session store {scheme}:// needs the Python package {error.name!r}: install it, e.g. as "
            f"pip install 'rr-tcp[{'lmdb' if scheme == 'lmdb' else 'redis'}]'"
        ) from error
    raise _unusable(scheme if "://" in url else "", "there is no such kind of store")


def _open_lmdb(parts: SplitResult) -> CheckedSessionStore:
    path = unquote(parts.path)
    if parts.netloc or path == "/" or not path.startswith("/"):
        raise _unusable("lmdb", "it names no absolute path (three slashes: lmdb:///dev/shm/sessions)")
    from rr_tcp.stores.lmdb_store import LMDBStore  # noqa: PLC0415 - its driver may not be installed

    return LMDBStore(Path(path))


def _open_redis(place: redis_url.RedisPlace) -> CheckedSessionStore:
    from rr_tcp.redis_client import RedisClient  # noqa: PLC0415 - its driver may not be installed
    from rr_tcp.stores.redis_store import SOCKET_TIMEOUT, RedisStore  # noqa: PLC0415 - as above

    return RedisStore(RedisClient(place, timeout=SOCKET_TIMEOUT), replicas=place.replicas)


def _open_roadrunner(parts: SplitResult, rpc_address: str) -> CheckedSessionStore:
    storage = unquote(parts.netloc)
    if not storage or "@" in storage or ":" in storage or parts.path not in {"", "/"}:
        raise _unusable("rrkv", "it names no storage (rrkv://sessions), or more than one")
    from rr_tcp.stores.roadrunner_store import RoadRunnerStore  # noqa: PLC0415 - as the others

    return RoadRunnerStore(storage, rpc_address)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    if parts is None:  # raised here, without a cause: the errors of urllib quote the URL
        raise _unusable("", "its host is no such thing")
    if parts.query or parts.fragment:
        raise _unusable(parts.scheme, "it has a part after ? or #; in a path write %3F or %23")
    return parts


def _unusable(scheme: str, why: str) -> ConfigurationError:
    name = f"the session store's URL ({scheme}://...)" if scheme else "the session store's URL"
    return ConfigurationError(f"{name} cannot be used: {why}. Accepted are {ACCEPTED}")
