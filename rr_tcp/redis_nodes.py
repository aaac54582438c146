"""The servers behind a line to Redis: one, or the nodes of a Redis Cluster and which of them has a slot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.credentials import CredentialProvider
from redis.exceptions import ClusterDownError, RedisClusterException
from redis.retry import Retry

from rr_tcp.errors import ConfigurationError
from rr_tcp.redis_url import RedisPlace

CONNECT_TIMEOUT: Final = 0.5
"""Seconds. An event waits for the store, and the worker's other connections wait with it."""


class Nodes(Protocol):
    """Who answers. They connect at the first call."""

    def of(self, key: str) -> redis.Redis:
        """The client of the server that has a key."""

    def masters(self) -> dict[str, redis.Redis]:
        """The clients of all servers that have keys, by their names."""

    def doubt(self) -> None:
        """What is known about the nodes may be wrong."""

    def close(self) -> None:
        """Closes all connections; the next call opens them again."""


def nodes_of(place: RedisPlace, *, timeout: float) -> Nodes:
    """The server at a place, or the nodes of the cluster.

    Args:
        place: where, and as whom.
        timeout: seconds that a read or a write on the socket may take.

    Raises:
        ConfigurationError: a file that the place names cannot be read.
    """
    settings = _settings(place, timeout)
    return _Cluster(place, settings) if place.cluster else _Server(place, settings)


class _Server:
    def __init__(self, place: RedisPlace, settings: dict[str, Any]) -> None:
        host, port = place.nodes[0]
        self._client = redis.Redis(host=host, port=port, db=place.db, retry=Retry(NoBackoff(), 0), **settings)
        self._client.response_callbacks.clear()

    def of(self, key: str) -> redis.Redis:  # noqa: ARG002 - it has all keys
        return self._client

    def masters(self) -> dict[str, redis.Redis]:
        return {"": self._client}

    def doubt(self) -> None:
        pass

    def close(self) -> None:
        self._client.close()


class _Map(RedisCluster):
    """Knows which node has a slot.

    redis-py's own asks for the table of all commands first, and only the master of the first slots: while that one is
    dead nobody who comes could use the others. Here no command goes through it, so it needs no table.
    """

    def command(self, **_: Any) -> Any:
        return {}


@contextlib.contextmanager
def _mapping() -> Iterator[None]:
    try:
        yield
    except IndexError:  # so redis-py fails where no node has a slot
        raise ClusterDownError("no node has a slot: has redis-cli --cluster create put them together?") from None


class _Cluster:
    def __init__(self, place: RedisPlace, settings: dict[str, Any]) -> None:
        self._place = place
        self._settings = settings
        self._cluster: RedisCluster | None = None
        self._doubted = False

    def of(self, key: str) -> redis.Redis:
        cluster = self._known()
        return self._client(cluster, cluster.get_node_from_key(key))

    def masters(self) -> dict[str, redis.Redis]:
        cluster = self._known()
        return {node.name: self._client(cluster, node) for node in cluster.get_primaries()}

    @staticmethod
    def _client(cluster: Any, node: Any) -> redis.Redis:
        client: redis.Redis = cluster.get_redis_connection(node)
        client.response_callbacks.clear()
        return client

    def _known(self) -> Any:
        """The cluster, its nodes as they are known."""
        if self._cluster is None:
            node: Any = ClusterNode  # it has no types, nor have the calls below
            with _mapping():
                self._cluster = _Map(
                    startup_nodes=[node(host, port) for host, port in self._place.nodes],
                    require_full_coverage=False,  # without one of its masters a cluster can serve the others' slots
                    retry=Retry(NoBackoff(), 0),
                    **self._settings,
                )
        elif self._doubted:
            self._ask_again(self._cluster)
        self._doubted = False
        return self._cluster

    def doubt(self) -> None:
        self._doubted = True

    def close(self) -> None:
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None

    def _ask_again(self, cluster: RedisCluster) -> None:
        """Asks any node that is known; where none answers, the next call begins with those of the URL."""
        try:
            with _mapping():
                cluster.nodes_manager.initialize()
        except (redis.RedisError, RedisClusterException):
            self.close()
            raise


class _PasswordFile(CredentialProvider):
    def __init__(self, username: str | None, path: Path) -> None:
        self._username = username
        self._path = path

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            password = _password(self._path)
        except ConfigurationError as error:
            raise redis.AuthenticationError(str(error)) from error
        return (self._username, password) if self._username else (password,)


def _password(path: Path) -> str:
    try:
        if password := path.read_text().strip():
            return password
        why = "is empty"
    except (OSError, UnicodeDecodeError) as error:
        why = f"cannot be read ({error.strerror if isinstance(error, OSError) else 'it is no UTF-8'})"
    raise ConfigurationError(
        f"the password's file {path} {why}: write the password into it, and let the workers' user read it"
    )


def _settings(place: RedisPlace, timeout: float) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "username": place.username,
        "password": place.password,
        "protocol": 2,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": timeout,
    }
    if place.password_file is not None:
        _password(place.password_file)  # a missing file is an error at once
        provider = _PasswordFile(place.username, place.password_file)
        settings |= {"username": None, "credential_provider": provider}
    if place.tls:
        files = {"ssl_ca_certs": place.ca, "ssl_certfile": place.cert, "ssl_keyfile": place.key}
        for path in filter(None, files.values()):
            if not path.is_file():
                raise ConfigurationError(f"the file {path}, for TLS with {place.name}, is not there: see the path")
        settings |= {"ssl": True, **{name: str(path) for name, path in files.items() if path}}
    return settings
