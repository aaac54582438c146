"""The proxy does the harm that the faults of Redis count on, and none before and after."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.servers import RedisServer, running_redis
from tests.support.toxiproxy import Proxy, Toxic, running_proxy

TIMEOUT = 0.5


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server


@pytest.fixture
def proxy(server: RedisServer, tmp_path: Path) -> Iterator[Proxy]:
    with running_proxy(server.port, tmp_path) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[redis.Redis]:
    """With a connection that stands before anything happens."""
    with redis.Redis(port=proxy.port, protocol=2, socket_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)) as client:
        client.set("key", "value")
        yield client


def test_answers_are_late(proxy: Proxy, client: redis.Redis) -> None:
    with proxy.poisoned(Toxic("latency", {"latency": 200})):
        began = time.monotonic()
        client.ping()
        assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize(("stream", "applied"), [("upstream", b"0"), ("downstream", b"1")])
@pytest.mark.parametrize("type_", ["timeout", "reset_peer"])
def test_what_is_asked_or_what_is_answered_is_lost(
    type_: str, stream: str, applied: bytes, proxy: Proxy, client: redis.Redis, server: RedisServer
) -> None:
    """The difference is whether the server did it."""
    client.set("counter", 0)
    error = redis.TimeoutError if type_ == "timeout" else redis.ConnectionError
    with proxy.poisoned(Toxic(type_, {"timeout": 0}, stream)), pytest.raises(error):
        client.incr("counter")
    assert server.client().get("counter") == applied
    assert client.get("key") == b"value"


def test_an_answer_is_cut(proxy: Proxy, client: redis.Redis) -> None:
    client.set("long", "x" * 1000)
    with proxy.poisoned(Toxic("limit_data", {"bytes": 500})), pytest.raises(redis.ConnectionError):
        client.get("long")
    assert client.get("long") == b"x" * 1000
