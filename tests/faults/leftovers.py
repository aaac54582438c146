"""What is left in a session store: nothing that no time to live ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import lmdb
import redis

from rr_tcp.stores.lmdb_store import LMDBStore
from rr_tcp.stores.lmdb_sweep import SWEEP_RECORDS, SWEEP_REMOVALS
from rr_tcp.stores.redis_store import KEY_PREFIX

_CLOCK_ROUNDING: Final = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What a session store has at the end of a run.

    Attributes:
        figure: in words.
        findings: what no time to live will end.
    """

    figure: str
    findings: Sequence[str] = ()


def leftovers(url: str, ttl: float) -> Leftovers:
    """Looks into a session store that nobody uses any more.

    Args:
        url: the session store's.
        ttl: the longest time to live, in seconds.
    """
    match urlsplit(url).scheme:
        case "lmdb":
            return _of_lmdb(Path(urlsplit(url).path), ttl)
        case "redis":
            client: Any = redis.Redis.from_url(url)
            return _of_redis(client, "*", ttl)
        case "redis+cluster":  # with its one database, in which mail is as well
            host, port = urlsplit(url).netloc.split(",")[0].split(":")
            return _of_redis(redis.RedisCluster(host=host, port=int(port)), f"{KEY_PREFIX}*", ttl)
        case _:  # in the memory of a server that has ended, which has no call that lists keys
            return Leftovers("ended with the server")


def count_keys(url: str) -> int:
    """How many keys a session store on LMDB or Redis has, of whatever kind."""
    if urlsplit(url).scheme == "lmdb":
        return _count_lmdb(Path(urlsplit(url).path))
    client: Any = redis.Redis.from_url(url)
    with contextlib.closing(client):
        return int(client.dbsize())


def _of_lmdb(directory: Path, ttl: float) -> Leftovers:
    """Lets the time pass for a store, and has it sweep."""
    before = _count_lmdb(directory)
    store = LMDBStore(directory, clock=lambda: time.time() + ttl)
    for _ in range(2 + before // min(SWEEP_RECORDS, SWEEP_REMOVALS)):
        store.sweep()
    store.close()
    after = _count_lmdb(directory)
    return Leftovers(
        f"{before:,} records, {after} once their time was over",
        [f"{after} records are left in LMDB after {ttl:g} s"] if after else (),
    )


def _count_lmdb(directory: Path) -> int:
    """Sessions and pieces of texts."""
    with lmdb.open(str(directory), readonly=True) as env:
        entries: int = env.stat()["entries"]
        return entries


def _of_redis(client: Any, pattern: str, ttl: float) -> Leftovers:
    keys = list(client.scan_iter(pattern, count=1000))
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.pttl(key)
        lives = [life / 1000 for life in pipeline.execute() if life != _GONE]
    client.close()
    endless = sum(not 0 <= life <= ttl + _CLOCK_ROUNDING for life in lives)
    return Leftovers(
        f"{len(lives):,} keys, {endless} without a time to live",
        [f"{endless} keys in Redis have no time to live, or one above {ttl:g} s"] if endless else (),
    )


_GONE: Final = -2
"""What PTTL answers for a key whose time ended meanwhile; -1 is a key without one."""
