"""The real servers behind the stores, on free ports of 127.0.0.1, ended with the block that started them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rr_tcp.errors import ProbeError, RPCError
from rr_tcp.rpc import RPC
from rr_tcp.testing import find_server, free_ports, roadrunner
from tests.support.waiting import wait_until


@dataclass(slots=True)
class RedisServer:
    """A redis-server that keeps its data in memory only.

    Attributes:
        directory: for its log.
        port: where it listens; with `--tls-port` in the options nowhere.
        options: more of the command line.
    """

    directory: Path
    port: int
    options: Sequence[str] = ()
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        """Whether it was started and was not stopped."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        binary = shutil.which(os.environ.get("REDIS_SERVER", "redis-server")) or shutil.which("valkey-server")
        if binary is None:
            pytest.fail("there is no redis-server: scripts/get-redis gets one, or REDIS_SERVER names it")
        command = [binary, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        with (self.directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--dir", str(self.directory), *self.options], stdout=log, stderr=subprocess.STDOUT
            )
        wait_until(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def flush(self) -> None:
        """Empties it."""
        with contextlib.closing(self.client()) as client:
            client.flushdb()

    def client(self) -> redis.Redis:
        return redis.Redis(host="127.0.0.1", port=self.port, protocol=2, retry=Retry(NoBackoff(), 0))

    def _answers(self) -> bool:
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            pytest.fail(f"redis-server ended with {code}:\n{(self.directory / 'redis.log').read_text()}")
        with contextlib.closing(self.client()) as client:
            try:
                client.ping()
            except redis.ResponseError:  # it wants a password: it answers
                return True
            except redis.ConnectionError as error:
                return isinstance(error, redis.AuthenticationError)
        return True


@contextlib.contextmanager
def running_redis(directory: Path, *options: str) -> Iterator[RedisServer]:
    """A redis-server for the time of the block."""
    (port,) = free_ports(1)
    server = RedisServer(directory, port, options)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def running_roadrunner(directory: Path, rpc_address: str | None = None) -> Iterator[str]:
    """A RoadRunner with RPC and the storage `sessions` in its memory; gives the address of its RPC server."""
    address = rpc_address or f"tcp://127.0.0.1:{free_ports(1)[0]}"
    config = directory / "rr.yaml"
    config.write_text(
        f'version: "3"\nrpc: {{listen: "{address}"}}\nkv: {{sessions: {{driver: memory, config: {{}}}}}}\n'
        "logs: {level: warn}\n"
    )

    def probe() -> None:
        with contextlib.closing(RPC(address)) as rpc:
            try:
                rpc.call("rpc.Version", payload=True)
            except RPCError as error:
                raise ProbeError(str(error)) from error

    with roadrunner(find_server(), config, cwd=directory, env={}, log=directory / "rr.log", probes=[probe]):
        yield address
