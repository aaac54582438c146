"""A line to Redis or Valkey, one server or a Redis Cluster, for calls whose keys are all in one slot.

All commands are shared by Redis 7.0 to 8 and Valkey. No call is sent twice, with one exception: a node of a cluster
that answers MOVED has run nothing of the call, which then goes to the slot's new master, once. What was cut off may
have been run; whether it may be sent again only the caller knows. So redis-py's own client for clusters, which repeats
a command after any error of the connection, only tells here which node has a slot; the call itself goes to that node's
plain client, as it does to a single server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.credentials import CredentialProvider
from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, RedisClusterException, TryAgainError
from redis.retry import Retry

from rr_tcp.errors import ConfigurationError, RedisCallError, RedisFullError, RedisLineError, RedisRefusedError
from rr_tcp.redis_url import RedisPlace

CONNECT_TIMEOUT: Final = 0.5
"""Seconds. An event waits for the store, and the worker's other connections wait with it."""

REPLICA_TIMEOUT: Final = 0.5
"""Seconds that a write waits for its replicas, well under any timeout of the line."""

Command: TypeAlias = tuple[str | bytes | float, ...]


class RedisClient:
    """Runs commands and scripts. It connects at its first call.

    Args:
        place: where, and as whom.
        timeout: seconds that a read or a write on the socket may take.

    Raises:
        ConfigurationError: a file that the place names cannot be read.

    Attributes:
        name: of the server or the cluster, for messages.
    """

    def __init__(self, place: RedisPlace, *, timeout: float) -> None:
        self.name = place.name
        settings = _settings(place, timeout)
        self._nodes: _Nodes = _Cluster(place, settings) if place.cluster else _Server(place, settings)

    def run(self, *commands: Command, key: str, replicas: int = 0) -> list[Any]:
        """Runs commands in one round trip, several as one transaction; their replies as the server gives them.

        Args:
            commands: name and arguments of each.
            key: one of their keys; of a cluster, all keys of the commands are in its slot.
            replicas: how many replicas must have what was written.

        Raises:
            RedisLineError: no answer came: the commands may or may not have been run. Or fewer replicas have what was
                written after `REPLICA_TIMEOUT`: it may be lost with the server.
            RedisFullError: the server has no memory left; nothing was changed.
            RedisRefusedError: the server answered with another error.
        """
        if replicas:
            block = (("MULTI",), *commands, ("EXEC",))
            written = self._written(key, lambda node: _transacted(node, (*block, _wait(replicas))), replicas)
            return list(written[-1])
        replies: list[Any] = self._call(key, lambda node: _pipelined(node, commands, transaction=len(commands) > 1))
        return replies

    def script(self, text: str, keys: Sequence[str], args: Sequence[Any], *, replicas: int = 0) -> Any:
        """Runs a script as one step; its reply. Errors as with `run`.

        Args:
            text: the script, in Lua.
            keys: all keys that it uses, in one slot of a cluster, as those are that it makes up.
            args: its other arguments.
            replicas: as for `run`.
        """
        tail = (len(keys), *keys, *args)
        known, whole = ("EVALSHA", sha1(text.encode(), usedforsecurity=False).hexdigest(), *tail), ("EVAL", text, *tail)

        def call(node: redis.Redis) -> list[Any]:
            wait = (_wait(replicas),) if replicas else ()
            try:
                return _pipelined(node, (known, *wait))
            except NoScriptError:  # it was not run
                return _pipelined(node, (whole, *wait))

        return self._written(keys[0], call, replicas)[0] if replicas else self._call(keys[0], call)[0]

    def scan_hashes(
        self, cursor: str, *, match: str, count: int, fields: Sequence[str]
    ) -> tuple[str, list[tuple[str, list[bytes | None]]]]:
        """Some hashes, with some of their fields; of a cluster, one master after the other. Errors as with `run`.

        Args:
            cursor: "" begins a scan; what the last call returned goes on with it.
            match: the pattern of their keys.
            count: keys of the server that are looked at, about.
            fields: what is read of each, None where a hash does not have it (any more).

        Returns:
            The next cursor, "" at the end, and the hashes by their keys.
        """
        try:
            masters = self._nodes.masters()
            name, _, position = cursor.rpartition(" ") if cursor else (min(masters), "", "0")
            following, keys = "0", list[bytes]()
            if name in masters:  # else it has been replaced, by one that had its turn or will have it
                scan = ("SCAN", position, "MATCH", match, "COUNT", count, "TYPE", "hash")
                ((number, keys),) = _pipelined(masters[name], (scan,), transaction=False)
                following = number.decode()
            # No transaction, but one master: what it listed it has.
            reads: list[Command] = [("HMGET", key, *fields) for key in keys]
            rows = _pipelined(masters[name], reads, transaction=False) if reads else []
        except (redis.RedisError, RedisClusterException) as error:
            self._nodes.doubt()
            failed = _translated(error)
        else:
            found = [(key.decode(), row) for key, row in zip(keys, rows, strict=True)]
            if following != "0":
                return f"{name} {following}", found
            return next((f"{other} 0" for other in sorted(masters) if other > name), ""), found
        raise failed

    def close(self) -> None:
        """Closes all connections; the next call opens them again."""
        self._nodes.close()

    def _written(self, key: str, call: Callable[[redis.Redis], list[Any]], replicas: int) -> list[Any]:
        """What `call` replies before its WAIT, which is on the same connection: Redis knows the last write of each."""
        replies: list[Any] = self._call(key, call)
        reached: int = replies.pop()
        if reached < replicas:
            raise RedisLineError(
                f"{reached} of {replicas} replicas have what was written: see that they run and keep up with their "
                "master, or lower replicas= in the URL"
            )
        return replies

    def _call(self, key: str, call: Callable[[redis.Redis], Any]) -> Any:
        try:
            try:
                return call(self._nodes.of(key))
            except MovedError:
                self._nodes.doubt()
                return call(self._nodes.of(key))
        except (redis.RedisError, RedisClusterException) as error:
            self._nodes.doubt()
            failed = _translated(error)
        # Raised here, without a cause: redis-py quotes the command with its data, which belongs in no log.
        raise failed


def _translated(error: Exception) -> RedisCallError:
    reply = str(error).rpartition("caused error: ")[2]
    match error:
        case redis.exceptions.OutOfMemoryError():
            return RedisFullError(reply)
        case MovedError():
            return RedisRefusedError(f"{reply}. It is a node of a Redis Cluster: is its URL redis+cluster://")
        case AskError() | TryAgainError():
            return RedisLineError("the key's slot is being moved to another master of the cluster")
        case ClusterDownError():
            return RedisLineError(f"a master of the cluster is missing: {reply}")
        case redis.ResponseError():
            return RedisRefusedError(reply)
    return RedisLineError(reply)


def _wait(replicas: int) -> Command:
    return "WAIT", replicas, round(REPLICA_TIMEOUT * 1000)


def _transacted(node: redis.Redis, commands: Sequence[Command]) -> list[Any]:
    """Runs a transaction and a WAIT behind it, in which redis-py has no part; a reply that is an error is raised."""
    replies = _pipelined(node, commands)
    for reply in replies[-2]:
        if isinstance(reply, redis.ResponseError):
            raise reply
    return replies


def _pipelined(node: redis.Redis, commands: Sequence[Command], *, transaction: bool = False) -> list[Any]:
    with node.pipeline(transaction=transaction) as pipeline:
        queue: Callable[..., object] = pipeline.execute_command
        for command in commands:
            queue(*command)
        return list(pipeline.execute())


class _Nodes(Protocol):
    def of(self, key: str) -> redis.Redis:
        """The client of the server that has a key."""

    def masters(self) -> dict[str, redis.Redis]:
        """The clients of all servers that have keys, by their names."""

    def doubt(self) -> None:
        """What is known about the nodes may be wrong."""

    def close(self) -> None: ...


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
