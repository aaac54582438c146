"""A worker's memory does not grow with the size of a mail, and the time only as the size does."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.smtp import open_mail_store
from tests.support.servers import RedisServer, running_redis

ROOT = Path(__file__).parents[3]

MEGABYTE = 1 << 20

BOUND = 12 * 1024
"""Kilobytes that a mail of any size may add: what one event appends before it goes to the session store, twice, as it
is joined (2 MiB each); SQLite's page cache (2 MB) and log index; pieces of 256 KiB on their way; malloc's rounding."""


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Keeps the sessions. LMDB's map would count as the worker's memory, which it shares with all workers."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


def grown(server: RedisServer, megabytes: int, event: int, mails: str) -> int:
    """Kilobytes that a mail added to the peak of a worker of its own."""
    command = [sys.executable, "-m", "tests.services.smtp.large_mail", str(megabytes), str(event), server.url, mails]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("kind", ["sqlite", "maildir", "redis"])
def test_a_mail_of_50_megabytes_takes_no_more_memory_than_one_of_1(
    redis_server: RedisServer, tmp_path: Path, kind: str
) -> None:
    urls = {
        "sqlite": f"sqlite:///{tmp_path}/mail.db",
        "maildir": f"maildir:///{tmp_path}/box",
        "redis": f"redis://127.0.0.1:{redis_server.port}/1",
    }
    small, large = (grown(redis_server, megabytes, 65536, urls[kind]) for megabytes in (1, 50))
    assert large - small < BOUND
    assert large < BOUND
    with contextlib.closing(open_mail_store(urls[kind], create=False)) as store:
        assert [info.size for info in store.mails()][-1] == 50 * MEGABYTE


def test_an_event_of_32_megabytes_is_not_copied_as_a_whole(redis_server: RedisServer, tmp_path: Path) -> None:
    """RoadRunner makes one event of all that it read up to a line end. What is in memory before counts for nothing."""
    added = grown(redis_server, 32, 32 * MEGABYTE, f"sqlite:///{tmp_path}/mail.db")
    assert added < BOUND
