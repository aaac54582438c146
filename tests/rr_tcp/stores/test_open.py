"""One URL names the store; what is wrong with it is said without its secrets."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

from rr_tcp.errors import ConfigurationError, SessionStoreError
from rr_tcp.stores import open_store
from rr_tcp.stores.lmdb_store import LMDBStore
from rr_tcp.stores.redis_store import RedisStore
from rr_tcp.stores.roadrunner_store import RoadRunnerStore


def test_lmdb(tmp_path: Path) -> None:
    directory = tmp_path / "a b" / "sessions"
    with contextlib.closing(open_store(f"lmdb://{tmp_path}/a%20b/sessions")) as store:
        assert isinstance(store, LMDBStore)
        assert directory.is_dir()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://127.0.0.1/2", "Redis at 127.0.0.1:6379/2"),
        ("redis+cluster://one,two:7001", "Redis Cluster at one:6379,two:7001"),
    ],
)
def test_redis_is_not_connected_to_before_the_first_call(url: str, name: str) -> None:
    with contextlib.closing(open_store(url)) as store:
        assert isinstance(store, RedisStore)
        assert store._client.name == name


def test_rrkv() -> None:
    with contextlib.closing(open_store("rrkv://sessions", rpc_address="unix:///run/rr.sock")) as store:
        assert isinstance(store, RoadRunnerStore)


SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sessions",
        "/var/sessions",
        "lmdb://relative/path",
        "lmdb:relative",
        "lmdb://",
        "lmdb:///",
        "lmdb:///path?map=1",
        "redis://",
        "redis:///0",
        "redis://host/sessions",
        "redis://host/-1",
        "redis://host:port/0",
        "redis://host:99999/0",
        f"redis://:{SECRET}@host:port/0",
        f"redis://:{SECRET}@host/sessions",
        f"redis://:{SECRET}#1@host/0",
        f"redis://:{SECRET}?1@host/0",
        f"redis://[{SECRET}@host/0",
        f"postgres://me:{SECRET}@host/0",
        "rrkv://",
        "rrkv:///sessions",
        "rrkv://one/two",
        "rrkv://host:6001",
        "memory://",
    ],
)
def test_a_bad_url_is_refused_with_what_is_accepted(url: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"lmdb:///absolute/path, redis://.*rediss://.*rrkv://storage"
    ) as caught:
        open_store(url)
    assert SECRET not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None), "it would be logged with the error"


def test_a_bad_rpc_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"rpc\.listen"):
        open_store("rrkv://sessions", rpc_address="127.0.0.1:6001")


@pytest.mark.parametrize(
    ("url", "driver", "module"),
    [
        ("lmdb:///nonexistent/sessions", "lmdb", "rr_tcp.stores.lmdb_store"),
        ("redis://127.0.0.1/0", "redis", "rr_tcp.redis_client"),
    ],
)
def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch, url: str, driver: str, module: str) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ConfigurationError, match=rf"'{driver}'.*rr-tcp\[{driver}\]"):
        open_store(url)


def test_a_driver_is_not_needed_for_another_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    monkeypatch.setitem(sys.modules, "redis", None)
    for module in ("rr_tcp.stores.lmdb_store", "rr_tcp.stores.redis_store", "rr_tcp.redis_client"):
        monkeypatch.delitem(sys.modules, module)
    open_store("rrkv://sessions").close()


def test_a_directory_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SessionStoreError, match="cannot be opened"):
        open_store(f"lmdb://{tmp_path}/file/sessions")
