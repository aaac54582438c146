"""Who takes part, and everything they need running: a real server for each, and Redis."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.programs import ROOT
from bench.redis_server import IN_MEMORY, redis_server
from bench.workers import SERVER, build_function, build_measured, build_stateful
from rr_tcp.testing import find_server, free_ports, serve_app

WORKERS = 2


@dataclass(frozen=True, slots=True)
class Contender:
    """One kind of worker, in a pool of its own.

    Attributes:
        name: short, for files.
        title: for people.
        command: what RoadRunner starts.
        env: variables of the workers on top of this process's.
        target: the ratio to the ceiling at the most connections that the SDK is to reach; None where none is set.
        metrics: whether the server has a page of metrics.
    """

    name: str
    title: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    target: float | None = None
    metrics: bool = False


def contenders(*, null_worker: Path, lmdb_directory: Path, redis_url: str) -> list[Contender]:
    """All contenders; the first is the ceiling of the others."""
    return [
        Contender("null", "null worker in Go", (str(null_worker),)),
        Contender("tcp-worker", "TcpWorker", (sys.executable, "-m", "bench.workers"), target=0.85),
        Contender("app", "App, function", _app(build_function.__name__), target=0.75),
        _stateful("lmdb", "App, state in LMDB", f"lmdb://{lmdb_directory}", target=0.6),
        Contender(
            "metrics",
            "the same, with metrics",
            _app(build_measured.__name__),
            {"SESSION_STORE": f"lmdb://{lmdb_directory}/metrics"},
            metrics=True,
        ),
        _stateful("redis", "App, state in Redis", redis_url),
        _stateful("rrkv", "App, state in RR KV", "rrkv://sessions"),
    ]


def _app(function: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "rr_tcp", "worker", f"bench.workers:{function}")


def _stateful(name: str, title: str, store: str, *, target: float | None = None) -> Contender:
    return Contender(name, title, _app(build_stateful.__name__), {"SESSION_STORE": store}, target)


@contextlib.contextmanager
def running(null_worker: Path) -> Iterator[list[tuple[Contender, int]]]:
    """All contenders, each behind a server of its own; gives each with its port on 127.0.0.1.

    They run at the same time and wait; only the one that is measured has work. Everything ends with the block.
    """
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rr-tcp-bench-")))
        sessions = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="rr-tcp-bench-", dir=memory_directory()))
        )
        redis = stack.enter_context(redis_server(directory, IN_MEMORY))
        served = []
        for contender in contenders(null_worker=null_worker, lmdb_directory=sessions, redis_url=redis.url()):
            own = directory / contender.name
            own.mkdir()
            app = stack.enter_context(
                serve_app(
                    "",  # the command replaces it
                    SERVER,
                    binary=find_server(),
                    directory=own,
                    cwd=ROOT,
                    env=contender.env,
                    workers=WORKERS,
                    extra={"server": {"command": list(contender.command), "relay": "pipes"}, **_page(contender)},
                )
            )
            served.append((contender, app.ports[SERVER]))
        yield served


def _page(contender: Contender) -> dict[str, object]:
    """The server's page of metrics, if the contender has one."""
    return {"metrics": {"address": f"127.0.0.1:{free_ports(1)[0]}"}} if contender.metrics else {}


def memory_directory() -> str | None:
    """A directory in memory, where the system has one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - the directory made in it is private
