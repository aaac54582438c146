"""What no time to live ends is found in a session store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import lmdb
import pytest

from rr_tcp.stores import open_store
from tests.faults.leftovers import leftovers
from tests.support.servers import RedisServer, running_redis

TTL = 60.0


def fill(url: str) -> None:
    """Sessions as workers leave them: one that goes on, one with a text, one that is over."""
    store = open_store(url)
    store.save("11111111-1111-4111-8111-111111111111", b"state", ttl=TTL)
    store.save("22222222-2222-4222-8222-222222222222", b"state", ttl=TTL, append=b"text")
    store.end("33333333-3333-4333-8333-333333333333", ttl=TTL)
    store.close()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server


def test_sessions_in_lmdb_end_with_their_time(tmp_path: Path) -> None:
    url = f"lmdb://{tmp_path}/sessions"
    fill(url)
    found = leftovers(url, TTL + 1)
    assert not found.findings
    assert found.figure == "4 records, 0 once their time was over"


def test_a_session_that_lives_longer_is_found_in_lmdb(tmp_path: Path) -> None:
    url = f"lmdb://{tmp_path}/sessions"
    fill(url)
    assert leftovers(url, TTL - 10).findings == ["4 records are left in LMDB after 50 s"]


def test_a_text_without_a_session_is_found_in_lmdb(tmp_path: Path) -> None:
    """As a save in two transactions would leave it when the worker dies between the two."""
    url = f"lmdb://{tmp_path}/sessions"
    fill(url)
    with lmdb.open(str(tmp_path / "sessions")) as env, env.begin(write=True) as txn:
        txn.put(b"B-nobody's", b"text")
    assert leftovers(url, TTL + 1).findings == ["1 records are left in LMDB after 61 s"]


def test_sessions_in_redis_have_a_time_to_live(redis: RedisServer) -> None:
    fill(redis.url)
    found = leftovers(redis.url, TTL)
    assert not found.findings
    assert found.figure == "4 keys, 0 without a time to live"


def test_a_key_without_a_time_to_live_is_found_in_redis(redis: RedisServer) -> None:
    fill(redis.url)
    with closing(redis.client()) as client:
        client.set("rr-tcp:{nobody's}:bulk", b"text")
        client.set("rr-tcp:{far too long}", b"text", ex=round(TTL) + 10)
    [finding] = leftovers(redis.url, TTL).findings
    assert finding.startswith("2 keys in Redis")
