"""RoadRunner's informer (informer v5.1.9): the worker processes of its plugins, and how many there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from rr_tcp.errors import ConfigurationError
from rr_tcp.rpc import RPC


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker process.

    Attributes:
        pid: its process id, as RoadRunner started it: of a wrapper, if one starts the worker.
        status: `ready`, `working` (on an event), `inactive` (starting), or a step of its end: `invalid`, `stopping`,
            `stopped`, `errored`, `destroyed`, `maxJobsReached`, `idleTTLReached`, `ttlReached`, `maxMemoryReached`.
        executions: the events that it was given.
        created: when it was started.
        memory: its resident set, in bytes.
        cpu: percent of one CPU, on average since its start.
        command: what was started, for workers of the service plugin; else empty.
    """

    pid: int
    status: str
    executions: int
    created: datetime
    memory: int
    cpu: float
    command: str


class _Worker(msgspec.Struct):
    """A worker as RoadRunner describes it (pool v1.1.3, process.State)."""

    pid: int
    created: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # nanoseconds since the epoch
    command: str
    status: str = msgspec.field(name="statusStr")
    executions: int = msgspec.field(name="numExecs")
    memory: int = msgspec.field(name="memoryUsage")
    cpu: float = msgspec.field(name="CPUPercent")


class _Workers(msgspec.Struct):
    workers: list[_Worker] | None


class Informer:
    """Every method raises `RPCError` when the call fails and `CodecError` when the answer cannot be read.

    Args:
        rpc: the connection to RoadRunner.
    """

    def __init__(self, rpc: RPC) -> None:
        self._rpc = rpc

    def plugins(self) -> list[str]:
        """The plugins that have workers, in alphabetical order."""
        return sorted(self._rpc.call("informer.List", payload=True, answer=list[str]))

    def workers(self, plugin: str) -> list[WorkerState] | None:
        """The workers of a plugin in the order of their pids.

        Args:
            plugin: its name, e.g. `tcp`.

        Returns:
            None while one of them is being replaced: RoadRunner then describes none. Ask again.

        Raises:
            ConfigurationError: no such plugin, or one without workers.
        """
        workers = self._rpc.call("informer.Workers", plugin, answer=_Workers).workers
        if workers is None:  # the answer for an unknown plugin as well
            if plugin not in (plugins := self.plugins()):
                raise ConfigurationError(f"RoadRunner has no plugin {plugin!r} with workers: {', '.join(plugins)}")
            return None
        return sorted(map(_state, workers), key=lambda worker: worker.pid)

    def add_worker(self, plugin: str) -> None:
        """Starts one more worker, until the next start of the server, and returns when it is ready.

        The client needs a timeout above the time that takes (`pool.allocate_timeout` bounds it).

        Args:
            plugin: its name, e.g. `tcp`.

        Raises:
            RPCServiceError: the plugin has no workers to manage, or the worker did not start.
        """
        self._rpc.call("informer.AddWorker", plugin)

    def remove_worker(self, plugin: str) -> None:
        """Ends one worker that has no event, waiting for one if all have; never the last: then nothing happens.

        The client needs a timeout above the time that takes (`pool.destroy_timeout` bounds it).

        Args:
            plugin: its name, e.g. `tcp`.

        Raises:
            RPCServiceError: the plugin has no workers to manage, or none became free.
        """
        self._rpc.call("informer.RemoveWorker", plugin)


def _state(worker: _Worker) -> WorkerState:
    return WorkerState(
        pid=worker.pid,
        status=worker.status,
        executions=worker.executions,
        created=datetime.fromtimestamp(worker.created / 1e9, UTC),
        memory=worker.memory,
        cpu=worker.cpu,
        command=worker.command,
    )
