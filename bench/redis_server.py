"""A Redis of the benchmark's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.errors import BenchError
from rr_tcp.errors import SessionStoreError
from rr_tcp.stores import open_store
from rr_tcp.testing import free_ports

IN_MEMORY: Final = ("--save", "", "--appendonly", "no")
"""Settings of a Redis that keeps nothing on the disk."""

_START_TIMEOUT: Final = 20.0  # seconds until Redis must answer, on a slow machine under load
_POLL: Final = 0.05  # seconds between two looks


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running server.

    Attributes:
        port: on 127.0.0.1.
        pid: of its process.
    """

    port: int
    pid: int

    def url(self, database: int = 0) -> str:
        """The URL of one of its databases."""
        return f"redis://127.0.0.1:{self.port}/{database}"


@contextlib.contextmanager
def redis_server(directory: Path, settings: tuple[str, ...]) -> Iterator[RedisServer]:
    """A Redis on a free port, killed at the end of the block.

    Args:
        directory: for its data and its log.
        settings: of its command line.

    Raises:
        BenchError: there is no Redis, or it does not serve.
    """
    binary = shutil.which(os.environ.get("REDIS_SERVER", "redis-server")) or shutil.which("valkey-server")
    if binary is None:
        raise BenchError("there is no redis-server: scripts/get-redis gets one, or REDIS_SERVER names it")
    (port,) = free_ports(1)
    log = directory / "redis.log"
    command = [binary, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory), *settings]
    with log.open("wb") as output:
        # In a session of its own: a terminal's Ctrl-C reaches it through us, after those who use it.
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        server = RedisServer(port, process.pid)
        _wait(process, server, log)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], server: RedisServer, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    with contextlib.closing(open_store(server.url())) as store:
        while True:
            try:
                store.check()
            except SessionStoreError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise BenchError(f"redis-server does not serve: {error}\n{log.read_text()}") from error
            else:
                return
            time.sleep(_POLL)
