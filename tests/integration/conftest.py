"""The real server with a given App, on free ports."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from rr_tcp.errors import ProbeError
from rr_tcp.rpc import RPC
from rr_tcp.server import RoadRunnerServer
from rr_tcp.testing import free_ports, roadrunner

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 20.0  # seconds for any one answer, on a slow machine under load


@pytest.fixture(scope="session")
def rr_binary() -> Path:
    """The server; its absence fails whoever needs it."""
    binary = ROOT / "bin/rr"
    assert binary.is_file(), "there is no bin/rr: run `make rr`"
    return binary


def connect(port: int) -> socket.socket:
    """A client's connection."""
    return socket.create_connection(("127.0.0.1", port), TIMEOUT)


def receive_all(sock: socket.socket) -> bytes:
    """Everything until the server closes."""
    received = b""
    while data := sock.recv(65536):
        received += data
    return received


def accepts(port: int) -> Callable[[], None]:
    """A probe that passes when somebody accepts connections on the port."""

    def probe() -> None:
        try:
            connect(port).close()
        except OSError as error:
            raise ProbeError(f"port {port}: {error}") from error

    return probe


@dataclass(frozen=True)
class Served:
    """A running server with one App.

    Attributes:
        server: the process.
        ports: by server name.
        rpc: a client of its RPC server.
        log: the file with its output and the workers' stderr.
    """

    server: RoadRunnerServer
    ports: dict[str, int]
    rpc: RPC
    log: Path

    def workers(self) -> list[dict[str, object]]:
        """What RoadRunner knows of the pool's workers; none at all while it replaces one."""
        workers: list[dict[str, object]] | None = self.rpc.call("informer.Workers", "tcp")["workers"]
        return workers or []

    def pids(self) -> set[int]:
        """The workers' process ids."""
        return {int(str(worker["pid"])) for worker in self.workers()}


ServeApp = Callable[..., Served]

CONFIG = """\
version: "3"
rpc: {{listen: "tcp://127.0.0.1:{rpc_port}"}}
server: {{command: ["{python}", "-m", "rr_tcp", "worker", "{factory}"], relay: "{relay}"}}
tcp:
  servers:
{servers}
  pool: {{num_workers: {workers}, allocate_timeout: 30s, destroy_timeout: 10s, supervisor: {{exec_ttl: 10s}}}}
kv: {{sessions: {{driver: memory, config: {{}}}}}}
endure: {{grace_period: 15s}}
"""


@pytest.fixture
def serve(rr_binary: Path, tmp_path: Path) -> Iterator[ServeApp]:
    """Starts the real server with `module:factory` as its workers' App; everything ends with the test."""
    with ExitStack() as stack:

        def start(
            factory: str, *servers: str, workers: int = 2, relay: str = "pipes", env: dict[str, str] | None = None
        ) -> Served:
            rpc_port, *ports = free_ports(1 + len(servers))
            addresses = dict(zip(servers, ports, strict=True))
            config = tmp_path / ".rr.yaml"
            listeners = [
                f'    {name}: {{addr: "tcp://127.0.0.1:{port}", delimiter: "\\n"}}' for name, port in addresses.items()
            ]
            config.write_text(
                CONFIG.format(
                    rpc_port=rpc_port,
                    python=sys.executable,
                    factory=factory,
                    relay=relay,
                    servers="\n".join(listeners),
                    workers=workers,
                )
            )
            log = tmp_path / "rr.log"
            server = stack.enter_context(
                roadrunner(
                    rr_binary,
                    config,
                    cwd=ROOT,
                    env={"SESSION_STORE": f"lmdb://{tmp_path}/sessions", **(env or {})},
                    log=log,
                    probes=[accepts(port) for port in ports],
                )
            )
            rpc = RPC(f"tcp://127.0.0.1:{rpc_port}")
            stack.callback(rpc.close)
            return Served(server, addresses, rpc, log)

        yield start


def process_exists(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
