from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.rr_tcp.stores.backends import Backend, LMDBBackend, RedisBackend, RoadRunnerBackend
from tests.support.redis_cluster import RedisClusterServers, running_cluster
from tests.support.servers import RedisServer, running_redis, running_redis_of_users, running_roadrunner


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_with_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """For a user who may do what deploy/redis says, and nothing else."""
    with running_redis_of_users(tmp_path_factory.mktemp("redis-user"), "sessions") as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisClusterServers]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture(scope="session")
def rpc_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real RoadRunner's RPC server, with the KV storage `sessions`."""
    with running_roadrunner(tmp_path_factory.mktemp("roadrunner")) as address:
        yield address


@pytest.fixture
def memory_directory() -> Iterator[Path]:
    """A directory on the memory file system where there is one, as the sessions of a stack are."""
    shared = Path("/dev/shm")  # noqa: S108 - the directory in it is ours alone
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as directory:
        yield Path(directory)


@pytest.fixture(params=["lmdb", "redis", "redis-user", "cluster", "rrkv"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each of the stores, for real."""
    made: Backend
    match request.param:
        case "lmdb":
            made = LMDBBackend(request.getfixturevalue("memory_directory") / "sessions")
        case "redis":
            made = RedisBackend(request.getfixturevalue("redis_server"))
        case "redis-user":
            made = RedisBackend(request.getfixturevalue("redis_with_user"))
        case "cluster":
            made = RedisBackend(request.getfixturevalue("redis_cluster"))
        case _:
            made = RoadRunnerBackend(request.getfixturevalue("rpc_address"))
    with contextlib.closing(made):
        yield made


@pytest.fixture
def key() -> str:
    """The uuid of a connection that no other test has."""
    return str(uuid.uuid4())


@pytest.fixture
def new_key() -> Callable[[], str]:
    """As `key`, as often as called."""
    return lambda: str(uuid.uuid4())
