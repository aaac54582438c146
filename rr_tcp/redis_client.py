"""A line to Redis or Valkey, one server or a Redis Cluster, for calls whose keys are all in one slot.

All commands are shared by Redis 7.0 to 8 and Valkey. No call is sent twice, with one exception: a node of a cluster
that answers MOVED has run nothing of the call, which then goes to the slot's new master, once. What was cut off may
have been run; whether it may be sent again only the caller knows. So redis-py's own client for clusters, which repeats
a command after any error of the connection, only tells here which node has a slot; the call itself goes to that node's
plain client (`rr_tcp.redis_nodes`), as it does to a single server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, Final, TypeAlias

import redis
from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, RedisClusterException, TryAgainError

from rr_tcp.errors import RedisCallError, RedisFullError, RedisLineError, RedisRefusedError
from rr_tcp.redis_nodes import nodes_of
from rr_tcp.redis_url import RedisPlace

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
        self._nodes = nodes_of(place, timeout=timeout)

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
                ((number, keys),) = _pipelined(masters[name], (scan,))
                following = number.decode()
            # No transaction, but one master: what it listed it has.
            reads: list[Command] = [("HMGET", key, *fields) for key in keys]
            rows = _pipelined(masters[name], reads) if reads else []
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
