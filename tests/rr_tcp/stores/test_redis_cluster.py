"""What is a Redis Cluster's own: slots, masters that die or change, redirections."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rr_tcp.errors import SessionDataError, SessionStoreError
from rr_tcp.redis_nodes import CONNECT_TIMEOUT
from rr_tcp.sessions import StoredSession
from rr_tcp.stores import CheckedSessionStore, open_store
from rr_tcp.stores.redis_store import SOCKET_TIMEOUT
from rr_tcp.testing import free_ports
from tests.support.redis_cluster import RedisClusterServers, running_cluster
from tests.support.servers import RedisServer, running_redis
from tests.support.waiting import first_answer, wait_until

TTL = 600.0


@pytest.fixture
def store(redis_cluster: RedisClusterServers) -> Iterator[CheckedSessionStore]:
    with contextlib.closing(open_store(redis_cluster.url)) as opened:
        yield opened


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[RedisClusterServers]:
    """A cluster that the test may break."""
    with running_cluster(tmp_path) as servers:
        yield servers


def ask(server: RedisServer, *command: str | int) -> Any:
    with contextlib.closing(server.client()) as client:
        execute: Callable[..., Any] = client.execute_command
        return execute(*command)


def stored_key(key: str) -> str:
    return f"rr-tcp:{{{key}}}"


def test_all_keys_of_a_session_are_in_one_slot(
    store: CheckedSessionStore, redis_cluster: RedisClusterServers, key: str
) -> None:
    store.save(key, b"state", ttl=TTL, append=b"bulk")
    master = redis_cluster.master_of(stored_key(key))
    found = ask(master, "KEYS", f"*{key}*")
    assert len(found) == 2, "the state and the bulk data"
    assert len({ask(master, "CLUSTER", "KEYSLOT", name) for name in found}) == 1


def test_sessions_are_spread_over_all_masters(
    store: CheckedSessionStore, redis_cluster: RedisClusterServers, new_key: Callable[[], str]
) -> None:
    for _ in range(60):
        store.save(new_key(), b"state", ttl=TTL)
    assert all(ask(master, "DBSIZE") for master in redis_cluster.masters)


def test_a_database_but_the_first_does_not_exist() -> None:
    with pytest.raises(Exception, match="of which a cluster has only 0"):
        open_store("redis+cluster://127.0.0.1/1")


def test_any_node_that_answers_is_enough_to_begin_with(redis_cluster: RedisClusterServers, key: str) -> None:
    url = f"redis+cluster://127.0.0.1:{free_ports(1)[0]},127.0.0.1:{redis_cluster.nodes[1].port}"
    with contextlib.closing(open_store(url)) as store:
        store.save(key, b"state", ttl=TTL)
        assert store.load(key) == StoredSession(b"state")


def test_a_cluster_that_is_not_there_is_an_error_at_once(key: str) -> None:
    with contextlib.closing(open_store(f"redis+cluster://127.0.0.1:{free_ports(1)[0]}")) as store:
        start = time.monotonic()
        with pytest.raises(SessionStoreError, match="Is the server running"):
            store.load(key)
        assert time.monotonic() - start < 2.0


def test_a_single_servers_url_for_a_node_is_an_error_that_says_so(
    redis_cluster: RedisClusterServers, new_key: Callable[[], str]
) -> None:
    master = redis_cluster.masters[0]
    key = next(key for key in iter(new_key, "") if redis_cluster.master_of(stored_key(key)) is not master)
    with (
        contextlib.closing(open_store(f"redis://127.0.0.1:{master.port}")) as store,
        pytest.raises(SessionStoreError, match=r"redis\+cluster://"),
    ):
        store.load(key)


def test_a_master_that_dies_costs_its_own_slots_only_until_it_is_back(
    own_cluster: RedisClusterServers, new_key: Callable[[], str]
) -> None:
    lost, *_ = masters = own_cluster.masters
    keys = {master.port: "" for master in masters}
    while not all(keys.values()):
        key = new_key()
        keys[own_cluster.master_of(stored_key(key)).port] = key
    with contextlib.closing(open_store(own_cluster.url)) as store:
        for key in keys.values():
            store.save(key, b"state", ttl=TTL)
        lost.stop()
        for port, key in keys.items():
            start = time.monotonic()
            if port == lost.port:
                with pytest.raises(SessionStoreError, match="cannot be used"):
                    store.save(key, b"more", ttl=TTL)
            else:
                store.save(key, b"more", ttl=TTL)
            assert time.monotonic() - start < 2 * CONNECT_TIMEOUT + SOCKET_TIMEOUT + 1.0
        lost.start()
        wait_until(own_cluster.whole)
        assert store.load(keys[lost.port]) is None, "it kept its data in memory only"
        store.save(keys[lost.port], b"new", ttl=TTL)
        assert store.load(keys[lost.port]) == StoredSession(b"new")


def test_who_comes_while_the_first_master_is_dead_can_use_the_others(
    own_cluster: RedisClusterServers, new_key: Callable[[], str]
) -> None:
    first = min(ask(own_cluster.nodes[0], "CLUSTER", "SLOTS"))[2][1]
    lost = next(master for master in own_cluster.masters if master.port == first)
    key = next(key for key in iter(new_key, "") if own_cluster.master_of(stored_key(key)) is not lost)
    lost.stop()
    with contextlib.closing(open_store(own_cluster.url)) as store:
        store.save(key, b"state", ttl=TTL)
        assert store.load(key) == StoredSession(b"state")


def test_a_node_that_is_in_no_cluster_yet_is_an_error_that_says_so(tmp_path: Path, key: str) -> None:
    bus = str(free_ports(1)[0])
    with (
        running_redis(tmp_path, "--cluster-enabled", "yes", "--cluster-port", bus) as node,
        contextlib.closing(open_store(f"redis+cluster://127.0.0.1:{node.port}")) as store,
    ):
        for _ in range(2):
            with pytest.raises(SessionStoreError, match="no node has a slot"):
                store.load(key)


def test_a_slot_that_moved_is_found_and_nothing_is_applied_twice(own_cluster: RedisClusterServers, key: str) -> None:
    """MOVED is a refusal: the call goes to the new master, once."""
    with contextlib.closing(open_store(own_cluster.url)) as store:
        store.save(key, b"state", ttl=TTL, append=b"bulk")
        source = own_cluster.master_of(stored_key(key))
        target = next(master for master in own_cluster.masters if master is not source)
        slot = ask(source, "CLUSTER", "KEYSLOT", stored_key(key))
        source_id, target_id = (ask(node, "CLUSTER", "MYID").decode() for node in (source, target))
        ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        for name in (stored_key(key), f"{stored_key(key)}:bulk"):
            ask(source, "MIGRATE", "127.0.0.1", target.port, name, 0, 1000)
        with pytest.raises(SessionStoreError, match="is being moved"):  # of this event nothing is applied
            store.save(key, b"lost", ttl=TTL, append=b"lost")
        for node in (target, source):
            ask(node, "CLUSTER", "SETSLOT", slot, "NODE", target_id)
        store.save(key, b"after", ttl=TTL, append=b"!")
        assert store.load(key) == StoredSession(b"after", 5)
        assert store.read_bulk(key) == b"bulk!"


def test_with_replicas_an_event_counts_only_when_a_replica_has_it(tmp_path: Path, key: str) -> None:
    """So a replica that takes over has all that clients were answered: else a mail under way could lack a piece."""
    with (
        running_cluster(tmp_path, replicas=1) as servers,
        contextlib.closing(open_store(f"{servers.url}/?replicas=1")) as store,
    ):
        store.save(key, b"state", ttl=TTL, append=b"bulk")
        store.save(key, b"state", ttl=TTL, append=b"more", truncate=True)
        master = servers.master_of(stored_key(key))
        replica = servers.replica_of(master)
        replica.stop()
        with pytest.raises(SessionStoreError, match=r"0 of 1 replicas .* lower replicas= in the URL"):
            store.save(key, b"unsafe", ttl=TTL)
        replica.start()
        wait_until(lambda: servers.followers(master) == 1, "the replica")
        store.save(key, b"last", ttl=TTL, append=b"bulk", truncate=True)
        master.stop()
        loaded = first_answer(lambda: store.load(key), SessionStoreError, "the replica as master")
        assert loaded == StoredSession(b"last", 4)
        assert store.read_bulk(key) == b"bulk"
        master.start()
        wait_until(servers.settled, "the replicas")
        store.end(key, ttl=TTL, state=b"over")
        assert store.load(key) == StoredSession(b"over", closed=True)


def test_with_replicas_an_error_in_a_transaction_is_one_all_the_same(tmp_path: Path, key: str) -> None:
    with (
        running_cluster(tmp_path, replicas=1) as servers,
        contextlib.closing(open_store(f"{servers.url}/?replicas=1")) as store,
    ):
        master = servers.master_of(stored_key(key))
        ask(master, "RPUSH", f"{stored_key(key)}:bulk", "a list")
        with pytest.raises(SessionDataError, match="of another type"):
            store.save(key, b"state", ttl=TTL, append=b"bulk")
        ask(master, "CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(SessionStoreError, match="is full"):
            store.save(key, b"state", ttl=TTL, append=b"bulk")


def test_a_replica_takes_over(tmp_path: Path, key: str) -> None:
    with (
        running_cluster(tmp_path, replicas=1) as servers,
        contextlib.closing(open_store(servers.url)) as store,
    ):
        store.save(key, b"state", ttl=TTL)
        master = servers.master_of(stored_key(key))
        wait_until(lambda: servers.followers(master) == 1, "the replica")
        master.stop()
        loaded = first_answer(lambda: store.load(key), SessionStoreError, "the replica as master")
        assert loaded == StoredSession(b"state")
        store.save(key, b"more", ttl=TTL)
        assert store.load(key) == StoredSession(b"more")
