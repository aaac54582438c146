"""The mail store in a Redis Cluster: one slot, replicas, a master that dies."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.smtp import MailStore, MailStoreError, open_mail_store
from services.smtp.mailstore.interface import PIECE
from services.smtp.mailstore.redis_scripts import PREFIX
from tests.services.smtp.mailstore.samples import TEXT, add, mail_id, numbers, text_of
from tests.support.redis_cluster import RedisClusterServers, running_cluster
from tests.support.servers import RedisServer
from tests.support.waiting import first_answer, wait_until

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def store(redis_cluster: RedisClusterServers) -> Iterator[MailStore]:
    redis_cluster.flush()
    with contextlib.closing(open_mail_store(redis_cluster.url)) as opened:
        yield opened


def ask(server: RedisServer, *command: str | int) -> Any:
    with contextlib.closing(server.client()) as client:
        execute: Callable[..., Any] = client.execute_command
        return execute(*command)


@contextlib.contextmanager
def watched(server: RedisServer) -> Iterator[Any]:
    """MONITOR: the driver's, which has no types."""
    with contextlib.closing(server.client()) as client:
        driver: Any = client
        with driver.monitor() as monitor:
            yield monitor


def test_all_that_a_transaction_touches_is_in_one_slot(store: MailStore, redis_cluster: RedisClusterServers) -> None:
    """As the server sees it: every key of every command, those that scripts call too."""
    master = redis_cluster.master_of(PREFIX)
    seen: list[str] = []
    with watched(master) as monitor:
        queue = store.queue("relay", start="all")
        add(store, 0)
        add(store, 1, b"x" * 3 * PIECE)
        first, second, *_ = queue.claim(2)
        queue.postpone(first, 60, progress=b"x")
        queue.settle(second)
        store.delete(mail_id(0))
        store.prune(keep=0)
        store.drop_queue("relay")
        ask(master, "ECHO", "the end")
        while (command := monitor.next_command())["command"] != "ECHO the end":
            seen.append(command["command"])
    names = {word.strip('"') for command in seen for word in command.split()[:4] if "rr-" in word}
    assert {name.removeprefix(PREFIX).partition(":")[0] for name in names} >= {
        "stream",
        "places",
        "times",
        "total",
        "text",
        "upload",
        "due",
        "attempts",
        "progress",
        "deleted",
    }
    assert len({ask(master, "CLUSTER", "KEYSLOT", name) for name in names}) == 1
    others = [node for node in redis_cluster.masters if node is not master]
    assert not any(ask(node, "DBSIZE") for node in others), "one master has the whole mail store"


def test_a_script_is_given_every_key_that_it_uses(store: MailStore, redis_cluster: RedisClusterServers) -> None:
    master = redis_cluster.master_of(PREFIX)
    declared, used = set[str](), set[str]()
    with watched(master) as monitor:
        for group in ("relay", "webhook"):
            store.queue(group, start="all").open()
        add(store, 0)
        add(store, 1, b"x" * 3 * PIECE)
        queue = store.queue("relay", start="all")
        first, second = queue.claim(2)
        queue.postpone(first, 60, progress=b"x")
        queue.settle(second)
        store.delete(mail_id(0))
        store.drop_queue("relay")
        ask(master, "ECHO", "the end")
        while (command := monitor.next_command())["command"] != "ECHO the end":
            words = command["command"].split()
            if words[0] in {"EVALSHA", "EVAL"} and command["client_type"] != "lua":
                count = next(index for index, word in enumerate(words) if word.isdigit())
                declared, used = set(words[count + 1 : count + 1 + int(words[count])]), set()
            elif command["client_type"] == "lua":
                used = {word for word in words[1:3] if word.startswith(PREFIX)}
                assert used <= declared, command["command"]
    assert declared


def test_a_queue_that_is_made_while_a_mail_is_deleted_keeps_nothing_of_it(
    store: MailStore, redis_cluster: RedisClusterServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.smtp.mailstore import redis_queue  # noqa: PLC0415 - beside its patch

    add(store)
    groups = redis_queue.groups

    def late(client: Any) -> Any:
        found = groups(client)
        if not found:
            [claim] = store.queue("relay", start="all").claim(1)
            assert claim.info.id == mail_id(0)
        return found

    monkeypatch.setattr(redis_queue, "groups", late)
    assert store.delete(mail_id(0))
    master = redis_cluster.master_of(PREFIX)
    assert not [key for key in ask(master, "KEYS", "*") if b"due:" in key or b"attempts:" in key]


def test_a_master_that_is_killed_comes_back_with_all_mail(tmp_path: Path) -> None:
    with (
        running_cluster(tmp_path, *DURABLE) as servers,
        contextlib.closing(open_mail_store(servers.url)) as store,
    ):
        for number in range(20):
            add(store, number)
        master = servers.master_of(PREFIX)
        master.stop()
        with pytest.raises(MailStoreError, match="cannot be used"):
            add(store, 20)
        master.start()
        wait_until(servers.whole)
        add(store, 20)
        assert numbers(store) == list(range(21))
        assert text_of(store, 20) == TEXT


def test_a_mail_counts_only_when_a_replica_has_it_and_is_there_after_a_failover(tmp_path: Path) -> None:
    with (
        running_cluster(tmp_path, *DURABLE, replicas=1) as servers,
        contextlib.closing(open_mail_store(f"{servers.url}/?replicas=1")) as store,
    ):
        add(store, 0)
        master = servers.master_of(PREFIX)
        replica = servers.replica_of(master)
        replica.stop()
        with pytest.raises(MailStoreError, match="0 of 1 replicas"):
            add(store, 1)
        replica.start()
        wait_until(lambda: servers.followers(master) == 1, "the replica")
        add(store, 1)  # known, from the attempt above: it is waited for all the same
        master.stop()
        assert first_answer(lambda: numbers(store), MailStoreError, "the replica as master") == [0, 1]
