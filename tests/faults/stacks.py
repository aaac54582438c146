"""Stacks to do harm to: `make run`'s program, on free ports, on each kind of session store and mail store."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rr_tcp.plugins.informer import Informer, WorkerState
from rr_tcp.rpc import RPC
from tests.e2e.targets import NativeTarget, native
from tests.support.servers import running_redis

SESSION_STORES: Final[Mapping[str, str]] = {
    "lmdb": "lmdb://{directory}/sessions",
    "redis": "redis://127.0.0.1:{redis}/0",
    "rrkv": "rrkv://sessions",
}
"""URLs, by the store's name. `{directory}` is the case's own; who names `{redis}` gets a server of its own there."""

MAIL_STORES: Final[Mapping[str, str]] = {
    "sqlite": "sqlite:///{directory}/mail.db",
    "redis": "redis://127.0.0.1:{redis}/1",
    "maildir": "maildir:///{directory}/mails",
}
"""As `SESSION_STORES`."""

_RPC_TIMEOUT: Final = 30.0
"""Seconds; the server is busy replacing workers."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Where a stack keeps what it has.

    Attributes:
        sessions: URL of the session store.
        mails: URL of the mail store.
    """

    sessions: str
    mails: str


@contextlib.contextmanager
def running_stores(sessions: str, mails: str, directory: Path) -> Iterator[Stores]:
    """The servers behind two stores, by their names, for the time of the block."""
    templates = SESSION_STORES[sessions], MAIL_STORES[mails]
    with contextlib.ExitStack() as servers:
        redis = 0
        if any("{redis}" in template for template in templates):
            redis = servers.enter_context(running_redis(directory)).port
        yield Stores(*(template.format(directory=directory, redis=redis) for template in templates))


class Stack:
    """A running stack and its pool.

    Args:
        target: the stack.
        rpc: a client of its RPC server.
        workers: how many its pool has when it is whole.

    Attributes:
        server: the pid of RoadRunner.
    """

    def __init__(self, target: NativeTarget, rpc: RPC, workers: int) -> None:
        self.target = target
        self._informer = Informer(rpc)
        self._workers = workers
        self.server = _parent(self.pool()[0].pid)

    def children(self) -> set[int]:
        """The server's child processes, those among them that are no workers yet."""
        tasks = Path(f"/proc/{self.server}/task").glob("*/children")
        return {int(pid) for task in tasks for pid in task.read_text().split()}

    def pool(self) -> list[WorkerState]:
        """The workers as RoadRunner describes them, one that it does not miss yet among them; none for a moment."""
        return self._informer.workers("tcp") or []

    def events(self) -> int:
        """How many events the workers of the pool have handled, one after the other or at all."""
        return sum(worker.executions for worker in self.pool())

    def whole(self, without: Collection[int]) -> bool:
        """Whether the pool has all its workers, and none of these pids."""
        pool = self.pool()
        serving = {worker.pid for worker in pool if worker.status in {"ready", "working"}}
        return len(pool) == len(serving) == self._workers and serving.isdisjoint(without)

    @staticmethod
    def kill(pid: int) -> None:
        """Kills a worker; one that is not there any more is an error: nobody but us ends workers."""
        os.kill(pid, signal.SIGKILL)


def resident(pid: int) -> int:
    """Bytes of memory that a process has to itself and shares, as `ps` tells them (RSS)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def own_memory(pid: int) -> int:
    """Bytes of memory that a process has to itself: without files that it maps, such as LMDB's (RssAnon)."""
    return _status(pid, "RssAnon")


def mapped_memory(pid: int) -> int:
    """Bytes of files that a process has in its memory, which others may share (RssFile and RssShmem)."""
    return _status(pid, "RssFile") + _status(pid, "RssShmem")


def peak_memory(pid: int) -> int:
    """The most bytes of memory that a process ever had (VmHWM)."""
    return _status(pid, "VmHWM")


def _status(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"\n{name}:")[2].split()[0]) * 1024


def open_files(pid: int) -> int:
    """File descriptors that a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - they may be gone before they are looked at


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextlib.contextmanager
def running_stack(
    stores: Stores,
    directory: Path,
    *,
    workers: int,
    env: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    codes: Collection[int] = (0,),
) -> Iterator[Stack]:
    """A running stack, stopped at the end; it must end by itself with exit code 0.

    Args:
        stores: what it keeps things in.
        directory: for its log.
        workers: of its pool.
        env: more of its settings.
        overrides: `dot.notation=value` settings that replace those of .rr.yaml.
        codes: other exit codes that it may end with, where a fault is about that.
    """
    settings = {
        "SESSION_STORE": stores.sessions,
        "MAIL_STORE": stores.mails,
        "WORKERS": str(workers),
        "SMTP_IDLE_LIMIT": "0",  # connections that only wait would be closed in a case of five minutes or more
        **(env or {}),
    }
    with (
        native(directory, settings, overrides, codes) as target,
        contextlib.closing(RPC(target.rpc_address, timeout=_RPC_TIMEOUT)) as rpc,
    ):
        yield Stack(target, rpc, workers)
