"""The real server for tests, on ports that are free."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rr_tcp.configuration import Configuration
from rr_tcp.errors import ServerError
from rr_tcp.probe import Probe, probe_connect
from rr_tcp.rpc import RPC
from rr_tcp.server import RoadRunnerServer

READY_TIMEOUT = 30.0
"""Seconds until a server must answer its probes, on a slow machine under load."""

RPC_TIMEOUT = 60.0
"""Seconds that a call from a test may take: a reset answers only when the new workers are there."""

STOP_TIMEOUT = 45.0
"""Seconds until a server that was told to stop is killed: above any grace period that a test configures."""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that were free a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


@contextlib.contextmanager
def roadrunner(
    binary: Path,
    config: Path,
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    probes: Sequence[Callable[[], None]],
    overrides: Sequence[str] = (),
) -> Iterator[RoadRunnerServer]:
    """A running server, stopped at the end of the block also when it fails.

    Args:
        binary: the server, e.g. `bin/rr`.
        config: its configuration file.
        cwd: its working directory.
        env: variables on top of this process's.
        log: file to which the server's output and the workers' stderr are appended.
        probes: what must pass before the block begins.
        overrides: `dot.notation=value` settings that replace the file's.

    Raises:
        ServerError: it did not start, or did not end with exit code 0 though the block did not kill it; its log is in
            the message.
    """
    with log.open("ab") as output:
        server = RoadRunnerServer(
            binary, config, cwd=cwd, env={**os.environ, **env}, output=output, overrides=overrides
        )
        server.start()
        try:
            server.wait_ready(probes, timeout=READY_TIMEOUT)
            yield server
        except BaseException as error:
            server.stop(timeout=STOP_TIMEOUT)
            error.add_note(_quoted(log))
            raise
        if (code := server.stop(timeout=STOP_TIMEOUT)) != 0 and not server.killed:
            raise ServerError(f"the server ended with exit code {code}\n{_quoted(log)}")


@dataclass(frozen=True)
class ServedApp:
    """A running server with one App.

    Attributes:
        server: the process.
        ports: where it listens on 127.0.0.1, by server name.
        rpc: a client of its RPC server, patient enough for a reset of the pool.
        rpc_address: where that listens.
        log: the file with its output and the workers' stderr.
    """

    server: RoadRunnerServer
    ports: Mapping[str, int]
    rpc: RPC
    rpc_address: str
    log: Path

    def pids(self) -> set[int]:
        """The process ids of the pool's workers; empty for a moment while RoadRunner replaces one."""
        workers = self.rpc.call("informer.Workers", "tcp")["workers"] or []
        return {worker["pid"] for worker in workers}


@contextlib.contextmanager
def serve_app(
    app: str,
    *servers: str,
    binary: Path,
    directory: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    probes: Mapping[str, Probe] | None = None,
    **configuration: Any,
) -> Iterator[ServedApp]:
    """A real server with an App on free ports of 127.0.0.1, stopped at the end of the block.

    Args:
        app: what the workers run, `module:name` of an App or of a function that returns one.
        servers: the names of the servers to listen for.
        binary: the server.
        directory: for its configuration and log.
        cwd: the workers' directory, from which `app` is imported; this process's by default.
        env: variables on top of this process's.
        probes: by server name, what must pass before the block begins; by default that somebody accepts connections.
        configuration: more of `rr_tcp.configuration.Configuration`.
    """
    rpc_port, *ports = free_ports(1 + len(servers))
    rpc_address = f"tcp://127.0.0.1:{rpc_port}"
    listen = {name: f"127.0.0.1:{port}" for name, port in zip(servers, ports, strict=True)}
    config, log = directory / ".rr.yaml", directory / "rr.log"
    config.write_bytes(Configuration(app=app, listen=listen, rpc=rpc_address, **configuration).encode())
    ready = [
        partial((probes or {}).get(name, probe_connect), "127.0.0.1", port)
        for name, port in zip(servers, ports, strict=True)
    ]
    with (
        roadrunner(binary, config, cwd=cwd or Path.cwd(), env=env or {}, log=log, probes=ready) as server,
        contextlib.closing(RPC(rpc_address, timeout=RPC_TIMEOUT)) as rpc,
    ):
        yield ServedApp(server, dict(zip(servers, ports, strict=True)), rpc, rpc_address, log)


def _quoted(log: Path) -> str:
    return "--- the server's log ---\n" + log.read_text(errors="replace")
