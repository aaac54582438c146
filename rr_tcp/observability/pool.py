"""Metrics that no worker can tell: the state of the pool, and the connections that RoadRunner holds.

One process per server sets them, `rr-tcp exporter`, which RoadRunner's service plugin starts and restarts.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter as Count
from collections.abc import Callable
from typing import Any, Final

import msgspec

from rr_tcp.errors import CodecError, ServerError
from rr_tcp.plugins.collectors import Gauge
from rr_tcp.plugins.informer import Informer
from rr_tcp.plugins.metrics import Metrics, MetricsBatch
from rr_tcp.rpc import RPC, Codec
from rr_tcp.sockets import listens, open_connections

POOL_WORKERS: Final = Gauge(
    "rr_tcp_pool_workers", "Workers of the pool: `working` on an event, `ready` for one, or `other`.", ("state",)
)
POOL_MEMORY: Final = Gauge("rr_tcp_pool_memory_bytes", "Resident memory of all workers together.")
OPEN_CONNECTIONS: Final = Gauge(
    "rr_tcp_open_connections", "Clients that are connected; those that ended their side are not.", ("server",)
)
OBSERVED: Final = Gauge(
    "rr_tcp_pool_observed_timestamp_seconds", "When the pool was last looked at, in seconds since the epoch."
)

PLUGIN: Final = "tcp"
STATES: Final = ("working", "ready")
OTHER: Final = "other"

_PORT: Final = re.compile(r"(?:tcp://)?.*:(\d+)")


class PoolExporter:
    """Sets the gauges of one server.

    It asks for the workers only once the server listens: RoadRunner makes its pool before, and a question for the
    workers of a pool that is not there yet ends the server (tcp v5.1.9, informer v5.1.9).

    Every method raises `RPCError` when RoadRunner cannot be reached, or has no metrics plugin.

    Args:
        rpc: the connection to RoadRunner.
        server: the server's process, by default the one that started this.
        clock: the time in seconds since the epoch.
    """

    def __init__(
        self,
        rpc: RPC,
        *,
        server: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rpc = rpc
        self._informer = Informer(rpc)
        self._metrics = Metrics(rpc)
        self._server = os.getppid() if server is None else server
        self._clock = clock
        self._ports: dict[str, int] | None = None
        self._serving = False

    def export(self) -> bool:
        """Looks once, and sets every gauge.

        Returns:
            Whether it did: not before the server listens, nor while RoadRunner replaces a worker and tells of none.

        Raises:
            ServerError: this system does not list the server's connections, or no listener has a port.
        """
        try:
            return self._export()
        except OSError as error:
            raise ServerError(f"the connections of server process {self._server} cannot be listed: {error}") from error

    def _export(self) -> bool:
        if self._ports is None:
            ports = listening_ports(self._rpc)
            if not ports:
                raise ServerError(
                    "RoadRunner's tcp.servers has no listener with a port, so nobody can tell when it serves: take the "
                    "exporter out of the section service, or give it one"
                )
            self._metrics.declare(POOL_WORKERS, POOL_MEMORY, OPEN_CONNECTIONS, OBSERVED)
            self._ports = ports  # not before both got through
        self._serving = self._serving or listens(self._server, self._ports.values())
        workers = self._informer.workers(PLUGIN) if self._serving else None
        if workers is None:
            return False
        batch = MetricsBatch(self._rpc)
        states = Count(worker.status if worker.status in STATES else OTHER for worker in workers)
        for state in (*STATES, OTHER):
            batch.set(POOL_WORKERS, states[state], state)
        batch.set(POOL_MEMORY, sum(worker.memory for worker in workers))
        connections = open_connections(self._ports.values())
        for server, port in self._ports.items():
            batch.set(OPEN_CONNECTIONS, connections[port], server)
        batch.set(OBSERVED, self._clock())
        batch.flush()
        return True


class _Listener(msgspec.Struct):
    addr: str


class _Tcp(msgspec.Struct):
    servers: dict[str, _Listener]


class _Configuration(msgspec.Struct):
    tcp: _Tcp


def listening_ports(rpc: RPC) -> dict[str, int]:
    """The ports of `tcp.servers`, by name, as RoadRunner has them; those at unix sockets have none.

    Raises:
        RPCError: the call failed.
        CodecError: the configuration is not of the form that RoadRunner 2025.1 has.
    """
    raw = rpc.call("rpc.Config", b"", Codec.RAW)
    try:
        configuration = msgspec.json.decode(raw, type=_Configuration)
    except (msgspec.ValidationError, ValueError) as error:
        raise CodecError(f"RoadRunner's configuration has no readable section tcp: {error}") from None  # it has secrets
    found: dict[str, Any] = {
        name: _PORT.fullmatch(listener.addr) for name, listener in configuration.tcp.servers.items()
    }
    return {name: int(match[1]) for name, match in found.items() if match}
