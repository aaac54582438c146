from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.smtp import MailStore, open_mail_store
from tests.support.redis_cluster import RedisClusterServers, running_cluster
from tests.support.servers import RedisServer, running_redis


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisClusterServers]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture(params=["sqlite", "maildir", "redis", "cluster"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Names a store that does not exist yet, of each kind."""
    match request.param:
        case "sqlite":
            return f"sqlite:///{tmp_path}/new/mail.db"
        case "maildir":
            return f"maildir:///{tmp_path}/new/box"
    name = "redis_server" if request.param == "redis" else "redis_cluster"
    servers: RedisServer | RedisClusterServers = request.getfixturevalue(name)
    servers.flush()
    return servers.url


@pytest.fixture
def store(url: str) -> Iterator[MailStore]:
    """A store of each kind."""
    with contextlib.closing(open_mail_store(url)) as opened:
        yield opened


@pytest.fixture
def other(url: str) -> Iterator[MailStore]:
    """The same store as another process has it."""
    with contextlib.closing(open_mail_store(url)) as opened:
        yield opened
