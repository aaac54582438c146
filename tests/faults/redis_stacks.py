"""Stacks on Redis servers of their own, which the case can kill, or reach only through a proxy that does harm."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rr_tcp.testing import free_ports
from tests.faults.stacks import MAIL_STORES, SESSION_STORES, Stores
from tests.support.servers import RedisServer
from tests.support.toxiproxy import Proxy, running_proxy

DURABLE: Final = ("--appendonly", "yes", "--appendfsync")
"""What Compose gives both of its servers, but for how often the file is flushed."""

FLUSHED: Final[Mapping[str, str]] = {"sessions": "everysec", "mails": "always", "both": "always"}
"""As Compose has it, by what a server is for."""

PLACES: Final = tuple(FLUSHED)
"""What the Redis that suffers is for; what it is not for is in LMDB or SQLite."""


@dataclass(frozen=True, slots=True)
class RedisStack:
    """Where a stack keeps what it has, and the Redis that suffers.

    Attributes:
        stores: as the stack is told.
        direct: the same, without the proxy.
        server: the Redis.
        proxy: in front of it.
    """

    stores: Stores
    direct: Stores
    server: RedisServer
    proxy: Proxy


@contextlib.contextmanager
def running_redis_stores(place: str, directory: Path) -> Iterator[RedisStack]:
    """A Redis with an append-only file and a proxy in front of it, for the time of the block."""
    (port,) = free_ports(1)
    server = RedisServer(directory, port, (*DURABLE, FLUSHED[place]))
    try:
        server.start()
        with running_proxy(port, directory) as proxy:
            yield RedisStack(_stores(place, directory, proxy.port), _stores(place, directory, port), server, proxy)
    finally:
        server.stop()


def _stores(place: str, directory: Path, port: int) -> Stores:
    sessions = SESSION_STORES["lmdb" if place == "mails" else "redis"]
    mails = MAIL_STORES["sqlite" if place == "sessions" else "redis"]
    return Stores(*(store.format(directory=directory, redis=port) for store in (sessions, mails)))
