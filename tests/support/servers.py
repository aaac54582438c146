"""The real servers behind the stores, on free ports of 127.0.0.1, ended with the block that started them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rr_tcp.errors import ProbeError, RPCError
from rr_tcp.rpc import RPC
from rr_tcp.testing import find_server, free_ports, roadrunner
from tests.support.waiting import wait_until

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(slots=True)
class RedisServer:
    """A redis-server that keeps its data in memory only.

    Attributes:
        directory: for its log.
        port: where it listens; with `--tls-port` in the options nowhere.
        options: more of the command line.
        user: name and password of who its URL is for; the tests themselves are the default user.
    """

    directory: Path
    port: int
    options: Sequence[str] = ()
    user: str = ""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"redis://{f'{self.user}@' if self.user else ''}127.0.0.1:{self.port}/0"

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
def running_redis_of_users(directory: Path, name: str) -> Iterator[RedisServer]:
    """A redis-server with the user of `deploy/redis/NAME.acl`, whom its URL is for."""
    password = "pass word"
    with running_redis(directory) as server:
        add_user(server, name, password)
        server.user = f"{name}:{quote(password)}"
        yield server


def user_line(name: str, password: str) -> str:
    """The line of `deploy/redis/NAME.acl` with a password."""
    line = (ROOT / "deploy/redis" / f"{name}.acl").read_text().strip()
    return line.replace("#PASSWORD", f"#{sha256(password.encode()).hexdigest()}")


def add_user(server: RedisServer, name: str, password: str, *more: str) -> None:
    """Makes the user of `deploy/redis/NAME.acl`, with more rules."""
    user, given, *rules = user_line(name, password).split()
    assert (user, given) == ("user", name)
    with contextlib.closing(server.client()) as client:
        set_user: Callable[..., object] = client.execute_command
        set_user("ACL", "SETUSER", name, *rules, *more)


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
