from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.smtp import MailStore, open_mail_store
from tests.support.redis_cluster import RedisClusterServers, running_cluster
from tests.support.servers import RedisServer, running_redis, running_redis_of_users


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_with_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """For a user who may do what deploy/redis says, and nothing else."""
    with running_redis_of_users(tmp_path_factory.mktemp("redis-user"), "mail") as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisClusterServers]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture(params=["sqlite", "maildir", "redis", "redis-user", "cluster"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Names a store that does not exist yet, of each kind."""
    match request.param:
        case "sqlite":
            return f"sqlite:///{tmp_path}/new/mail.db"
        case "maildir":
            return f"maildir:///{tmp_path}/new/box"
    names = {"redis": "redis_server", "redis-user": "redis_with_user", "cluster": "redis_cluster"}
    servers: RedisServer | RedisClusterServers = request.getfixturevalue(names[request.param])
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
