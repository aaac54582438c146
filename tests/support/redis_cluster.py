"""A Redis Cluster of real processes on 127.0.0.1, put together by `redis-cli --cluster create`."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rr_tcp.testing import free_ports
from tests.support.servers import RedisServer
from tests.support.waiting import wait_until

MASTERS: Final = 3
"""The fewest that a cluster can have."""

NODE_TIMEOUT: Final = 2.0
"""Seconds without an answer after which the others hold a node for failing, and elect its replica."""

FOLLOWS: Final = 1.0
"""Seconds that a write waits for the replicas."""

SLOTS: Final = 16384


@dataclass(frozen=True, slots=True)
class RedisClusterServers:
    """The nodes of a cluster.

    Attributes:
        nodes: all of them; first those that began as masters.
        replicas: of each master.
    """

    nodes: Sequence[RedisServer]
    replicas: int = 0

    @property
    def url(self) -> str:
        """Names all nodes: some of them may be killed."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def masters(self) -> list[RedisServer]:
        """Those that began as masters."""
        return list(self.nodes[:MASTERS])

    def client(self) -> redis.RedisCluster:
        """The driver's own client of a cluster."""
        node = self.nodes[0]
        return redis.RedisCluster(host="127.0.0.1", port=node.port, protocol=2, retry=Retry(NoBackoff(), 0))

    def flush(self) -> None:
        """Empties all masters."""
        with contextlib.closing(self.client()) as client:
            client.flushdb(target_nodes=redis.RedisCluster.PRIMARIES)

    def master_of(self, key: str) -> RedisServer:
        """The node that serves a key now, as the first node that runs sees it."""
        seer = next(node for node in self.nodes if node.running)
        slots, slot = _ask(seer, "CLUSTER", "SLOTS"), _ask(seer, "CLUSTER", "KEYSLOT", key)
        port = next(row[2][1] for row in slots if row[0] <= slot <= row[1])
        return next(node for node in self.nodes if node.port == port)

    def replica_of(self, master: RedisServer) -> RedisServer:
        """A node that replicates a master."""

        def replicates(node: RedisServer) -> bool:
            role = _ask(node, "ROLE")
            return bool(role[0] == b"slave" and role[2] == master.port)

        return next(node for node in self.nodes if node.running and replicates(node))

    def followers(self, master: RedisServer) -> int:
        """How many replicas have all that a master was told before, and a write of now.

        That a replica is `online` does not say it: Redis calls it so when its copy has been sent, and sends what was
        written since only after the replica's next message, which may come a second later. Who takes over before that
        has nothing of it. Nor does a WAIT alone say it: it is about what its own connection has written.
        """
        online = _ask(master, "INFO", "replication").count(b",state=online,")
        if not online:  # a replica has none, and takes no writes
            return 0
        with contextlib.closing(master.client()) as client, client.pipeline(transaction=False) as pipeline:
            queue: Callable[..., object] = pipeline.execute_command
            queue("FUNCTION", "FLUSH")  # a write without a key, which would have to be in the master's slots
            queue("WAIT", online, round(FOLLOWS * 1000))
            reached: int = pipeline.execute()[-1]
        return reached

    def replicated(self) -> bool:
        """Whether each master has all its replicas, and they what it has."""
        wanted = MASTERS * self.replicas
        return not wanted or sum(self.followers(node) for node in self.nodes if node.running) == wanted

    def settled(self) -> bool:
        """Whether it is whole, with all replicas; a node that loads its data, or has just become one, is not yet."""
        try:
            return self.whole() and self.replicated()
        except (redis.BusyLoadingError, redis.ReadOnlyError):
            return False

    def whole(self) -> bool:
        """Whether each node that runs sees all slots served."""
        states = [_info(node) for node in self.nodes if node.running]
        return all(
            state["cluster_state"] == "ok" and int(state["cluster_slots_ok"]) == SLOTS for state in states
        ) and all(int(state["cluster_known_nodes"]) == len(self.nodes) for state in states)


def _ask(node: RedisServer, *command: str) -> Any:
    with contextlib.closing(node.client()) as client:
        client.response_callbacks.clear()
        execute: Callable[..., Any] = client.execute_command
        return execute(*command)


def _info(node: RedisServer) -> dict[str, str]:
    return dict(line.split(":", 1) for line in _ask(node, "CLUSTER", "INFO").decode().splitlines())


@contextlib.contextmanager
def running_cluster(directory: Path, *options: str, replicas: int = 0) -> Iterator[RedisClusterServers]:
    """A cluster for the time of the block.

    Args:
        directory: for the nodes' files.
        options: more of each node's command line.
        replicas: of each master.
    """
    count = MASTERS * (1 + replicas)
    ports = free_ports(2 * count)
    nodes = [
        _node(directory / str(port), port, bus, options) for port, bus in zip(ports[::2], ports[1::2], strict=True)
    ]
    servers = RedisClusterServers(nodes, replicas)
    try:
        for node in nodes:
            node.start()
        addresses = [f"127.0.0.1:{port}@{bus}" for port, bus in zip(ports[::2], ports[1::2], strict=True)]
        command = ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", str(replicas), "--cluster-yes"]
        made = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert made.returncode == 0, made.stdout + made.stderr
        wait_until(servers.settled, "a whole cluster with all replicas")
        yield servers
    finally:
        for node in nodes:
            node.stop()


def _node(directory: Path, port: int, bus: int, options: Sequence[str]) -> RedisServer:
    directory.mkdir()
    own = ("--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", f"{NODE_TIMEOUT * 1000:g}")
    rest = ("--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0")
    return RedisServer(directory, port, (*own, *rest, *options))
