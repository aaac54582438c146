"""The mail store in Redis: lost answers, full memory, a server that dies, settings that endanger mail."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from rr_tcp.redis_url import RedisPlace
from services.smtp import MailStore, MailStoreError, MailStoreFullError, open_mail_store
from services.smtp.mailstore import Counts, redis_pruning, redis_scripts
from services.smtp.mailstore.interface import PIECE
from services.smtp.mailstore.redis import RedisMailStore
from services.smtp.mailstore.redis_client import RedisClient
from services.smtp.mailstore.redis_queue import STREAM
from tests.services.smtp.mailstore.cutting_proxy import CuttingProxy
from tests.services.smtp.mailstore.samples import TEXT, add, envelope, mail_id, numbers, text_of
from tests.support.servers import ROOT, RedisServer, running_redis, user_line

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def server(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """The server itself, empty."""
    with contextlib.closing(redis_server.client()) as client:
        client.flushdb()
        yield client


@pytest.fixture
def store(server: redis.Redis, redis_server: RedisServer) -> Iterator[RedisMailStore]:
    server.ping()
    with contextlib.closing(RedisMailStore(RedisClient(RedisPlace((("127.0.0.1", redis_server.port),))))) as opened:
        yield opened


def keys(server: redis.Redis) -> list[str]:
    found: Any = server.keys("*")
    return sorted(key.decode() for key in found)


def test_all_keys_share_one_hash_tag(store: RedisMailStore, server: redis.Redis) -> None:
    """In a Redis Cluster a transaction is one node's."""
    queue = store.queue("relay", start="all")
    add(store, 0)
    add(store, 1, b"x" * 3 * PIECE)
    first, second = queue.claim(2)
    queue.postpone(first, 60, progress=b"x")
    store.delete(mail_id(1))
    assert second.info.id == mail_id(1)
    found = keys(server)
    assert len(found) > 6
    assert all(key.startswith(redis_scripts.PREFIX) and key.count("{mail}") == 1 for key in found)


def test_pruning_looks_at_no_mail_that_a_group_has_still_to_see(
    store: RedisMailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker prunes after every few mails, also while nobody serves the group."""
    for number in range(4):
        add(store, number)
    store.queue("idle", start="all").open()
    busy = store.queue("busy", start="all")
    for claim in busy.claim(4):
        busy.settle(claim)
    with monkeypatch.context() as patch:
        patch.setattr(redis_pruning, "decode_info", None)
        assert store.prune(keep=0) == 0
    [claim] = store.queue("idle").claim()
    store.queue("idle").settle(claim)
    assert store.prune(keep=0) == 1
    assert numbers(store) == [1, 2, 3]


def test_a_mail_takes_one_round_trip_and_leaves_no_upload(store: RedisMailStore, server: redis.Redis) -> None:
    store.open()
    before: Any = server.info("commandstats")
    add(store, 0)
    add(store, 1)
    after: Any = server.info("commandstats")

    def calls(name: str) -> int:
        return int(after.get(name, {"calls": 0})["calls"]) - int(before.get(name, {"calls": 0})["calls"])

    assert calls("cmdstat_evalsha") <= 3, "the first one may have to load the script"
    assert (calls("cmdstat_xadd"), calls("cmdstat_hget"), calls("cmdstat_multi")) == (2, 2, 0)
    add(store, 2, b"x" * 3 * PIECE)
    assert not [key for key in keys(server) if "upload" in key]


@pytest.mark.parametrize("size", [len(TEXT), 3 * PIECE])
def test_a_mail_whose_answer_was_lost_is_stored_once(
    store: RedisMailStore, redis_server: RedisServer, size: int
) -> None:
    text = b"x" * size
    with (
        CuttingProxy(redis_server.port) as proxy,
        contextlib.closing(open_mail_store(f"redis://127.0.0.1:{proxy.port}/0")) as cut_off,
    ):
        add(cut_off, 0, text)
        proxy.lose_answer_to = mail_id(1).encode() + b"\r\n$"
        if size > PIECE:
            proxy.lose_answer_to = b'"id":"' + mail_id(1).encode()
        info = add(cut_off, 1, text)
        assert proxy.lost == 1
        assert info == store.get(mail_id(1))
    assert numbers(store) == [0, 1]
    assert text_of(store, 1) == text
    assert store.count() == Counts(2, 2 * size)


def test_a_mail_that_was_delivered_and_deleted_before_its_lost_answer_does_not_come_back(
    store: RedisMailStore, server: redis.Redis
) -> None:
    """A repeated step that came late would make a consumer deliver it twice."""
    add(store)
    store.delete(mail_id(0))
    add(store)  # as the repeated step does
    assert numbers(store) == []
    assert not [key for key in keys(server) if "text" in key]


def test_an_upload_whose_answer_was_lost_stores_nothing_and_is_cleared_away(
    store: RedisMailStore, server: redis.Redis, redis_server: RedisServer
) -> None:
    """It is not repeated: the piece could be there twice."""
    with (
        CuttingProxy(redis_server.port) as proxy,
        contextlib.closing(open_mail_store(f"redis://127.0.0.1:{proxy.port}/0")) as cut_off,
    ):
        cut_off.open()
        proxy.lose_answer_to, proxy.answer_end = b"EXEC", b"*2\r\n:1\r\n:1\r\n"
        with pytest.raises(MailStoreError, match="cannot be used"):
            add(cut_off, 0, b"x" * 3 * PIECE)
        assert proxy.lost == 1
    assert numbers(store) == []
    assert not [key for key in keys(server) if "upload" in key]


def test_an_upload_of_a_writer_that_died_goes_by_itself(store: RedisMailStore, server: redis.Redis) -> None:
    seen: list[int] = []

    def pieces() -> Iterator[bytes]:
        yield b"x" * 3 * PIECE
        for key in keys(server):
            if "upload" in key:
                ttl: Any = server.ttl(key)
                seen.append(ttl)
        yield b"end"

    store.add(envelope(), pieces())
    assert seen
    assert all(0 < ttl <= 60 for ttl in seen)


def test_a_piece_that_is_lost_before_the_end_stores_nothing(store: RedisMailStore, server: redis.Redis) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * 3 * PIECE
        for key in keys(server):
            if "upload" in key:
                server.rpop(key)
        yield b"end"

    with pytest.raises(MailStoreError, match="lost pieces of a mail"):
        store.add(envelope(), pieces())
    assert (numbers(store), store.count()) == ([], Counts(0, 0))


def test_an_entry_of_somebody_else_is_an_error_that_says_where(store: RedisMailStore, server: redis.Redis) -> None:
    """An error of the store: a worker that stores a mail and prunes then acknowledges the mail."""
    server.xadd(STREAM, {"strange": "entry"}, "1-1")
    add(store)
    with pytest.raises(MailStoreError, match="damaged at 1-1"):
        list(store.mails())
    with pytest.raises(MailStoreError, match="damaged at 1-1"):
        store.prune(keep=0)
    assert text_of(store) == TEXT


def test_a_text_that_is_gone_is_an_error_and_no_shorter_mail(store: RedisMailStore, server: redis.Redis) -> None:
    add(store, 0, b"x" * 3 * PIECE)
    [text] = [key for key in keys(server) if "text" in key]
    server.rpop(text)
    with pytest.raises(MailStoreError, match="is damaged"):
        list(store.read(mail_id(0)))


@pytest.mark.parametrize("size", [100_000, 8 * PIECE])
def test_a_server_without_memory_is_full_until_it_has_some(tmp_path: Path, size: int) -> None:
    def fill(store: MailStore) -> None:
        for number in range(1000):
            add(store, number, b"x" * size)

    with (
        running_redis(tmp_path, "--maxmemory", "8mb", "--maxmemory-policy", "noeviction") as server,
        contextlib.closing(open_mail_store(server.url)) as store,
    ):
        queue = store.queue("relay", start="all")
        queue.open()
        with pytest.raises(MailStoreFullError, match="no memory left") as full:
            fill(store)
        one, two = queue.claim(2)
        assert queue.postpone(one, 600, progress=b"consumers go on: they are what makes room")
        assert queue.renew(two, progress=b"recorded")
        queue.settle(two)
        assert store.prune(keep=0) == 1
        assert store.drop_queue("relay")
        assert "xxx" not in f"{full.value}{full.value.__cause__!r}"
        stored = numbers(store)
        assert stored == [0, *range(2, stored[-1] + 1)], "the second one was settled and pruned"
        assert text_of(store, stored[-1]) == b"x" * size
        assert store.count() == Counts(len(stored), len(stored) * size)
        for number in stored:
            store.delete(mail_id(number))
        add(store, 1000, b"x" * size)
        assert text_of(store, 1000) == b"x" * size


def test_what_was_acknowledged_is_there_after_the_server_was_killed(tmp_path: Path) -> None:
    with running_redis(tmp_path, *DURABLE) as server, contextlib.closing(open_mail_store(server.url)) as store:
        queue = store.queue("relay", start="all")
        for number in range(20):
            add(store, number, b"%d\r\n" % number * 100_000)
        settled, claimed = queue.claim(2, lease=600)
        queue.settle(settled)
        server.stop()  # SIGKILL
        with pytest.raises(MailStoreError, match="Is the server running"):
            add(store, 20)
        server.start()
        assert numbers(store) == list(range(20))
        for number in range(20):
            assert text_of(store, number) == b"%d\r\n" % number * 100_000
        assert [int(claim.info.id) for claim in queue.claim(1)] == [2]
        assert queue.renew(claimed)
        add(store, 20)
        assert store.count().mails == 21


@pytest.mark.parametrize(
    ("options", "warnings"),
    [
        (DURABLE, []),
        ((), ["acknowledged mail is lost when the server ends"]),
        (("--appendonly", "yes", "--appendfsync", "everysec"), ["the last second or more can be lost"]),
        ((*DURABLE, "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"), ["it may drop mail"]),
        ((*DURABLE, "--rename-command", "CONFIG", ""), ["it does not tell its settings"]),
    ],
    ids=["durable", "volatile", "everysec", "evicting", "secretive"],
)
def test_a_server_whose_settings_endanger_mail_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: tuple[str, ...], warnings: list[str]
) -> None:
    with running_redis(tmp_path, *options) as server, contextlib.closing(open_mail_store(server.url)) as store:
        store.open()
        add(store)
        store.open()
    records = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(records) == len(warnings)
    assert all(expected in record for expected, record in zip(warnings, records, strict=True))


def test_a_user_who_may_not_ask_for_settings_may_store_mail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rules = ("on", ">secret", f"~{redis_scripts.PREFIX}*", "+@all", "-@dangerous", "-@admin")
    with running_redis(tmp_path) as server, contextlib.closing(server.client()) as admin:
        set_user: Callable[..., object] = admin.execute_command
        set_user("ACL", "SETUSER", "mail", *rules)
        with contextlib.closing(open_mail_store(f"redis://mail:secret@127.0.0.1:{server.port}/0")) as store:
            add(store)
            assert store.queue("relay", start="all").claim()[0].info.id == mail_id(0)
            assert store.prune(keep=0) == 0
            assert numbers(store) == [0]
    assert "does not tell its settings" in caplog.text
    assert "secret" not in caplog.text


def test_a_store_that_must_exist_is_not_made(server: redis.Redis, redis_server: RedisServer) -> None:
    store = open_mail_store(redis_server.url, create=False)
    with contextlib.closing(store), pytest.raises(MailStoreError, match="there is no mail store in Redis at"):
        list(store.mails())
    assert keys(server) == []


def test_a_store_of_another_format_is_refused(store: RedisMailStore, server: redis.Redis) -> None:
    server.set(f"{redis_scripts.PREFIX}format", "2")
    with pytest.raises(MailStoreError, match="format b'2'"):
        add(store)


def test_a_server_that_is_not_there_is_an_error_that_says_what_to_do() -> None:
    store = open_mail_store("redis://:secret@127.0.0.1:1/0")
    with pytest.raises(MailStoreError, match="Is the server running, and are host, port") as error:
        store.open()
    assert "secret" not in str(error.value)


def test_a_key_of_another_kind_is_an_error_without_the_mail(store: RedisMailStore, server: redis.Redis) -> None:
    server.set(f"{redis_scripts.PREFIX}stream", "something else")
    with pytest.raises(MailStoreError, match="refused a call") as error:
        add(store, 0, b"private")
    assert "private" not in f"{error.value}{error.value.__cause__!r}"
    assert error.value.__suppress_context__ or error.value.__context__ is None


@pytest.mark.parametrize(
    "command",
    [
        ("CONFIG", "GET", "*"),
        ("FLUSHALL",),
        ("SCAN", "0"),
        ("XTRIM", STREAM, "MAXLEN", "0"),
        ("HMGET", "rr-tcp:{someone}", "state"),
        ("EVAL", "return redis.call('GET', KEYS[1])", "1", "rr-tcp:{someone}"),
        ("EVAL", "return redis.call('KEYS', '*')", "0"),
    ],
)
def test_the_mail_user_may_do_nothing_else(redis_with_user: RedisServer, command: tuple[str, ...]) -> None:
    """Scripts may not either. The contract suite runs as this user, too."""
    with contextlib.closing(redis.Redis.from_url(redis_with_user.url)) as client:
        execute: Callable[..., object] = client.execute_command
        with pytest.raises(
            redis.ResponseError, match=r"(?i)no permissions|ACL failure|user executing the script can't run"
        ):
            execute(*command)


def test_mail_of_a_user_is_there_after_a_restart(tmp_path: Path) -> None:
    """Redis reads its append-only file as the default user, whom nobody can be, and who therefore keeps all rights."""
    start = (ROOT / "deploy/redis/start").read_text()
    (default,) = (line.split("'")[1] for line in start.splitlines() if "user default" in line)
    users = tmp_path / "users.acl"
    users.write_text(f"{default}\n{user_line('mail', 'secret')}\n")
    with running_redis(tmp_path, *DURABLE, "--aclfile", str(users)) as server:
        server.user = "mail:secret"
        with contextlib.closing(open_mail_store(server.url)) as store:
            add(store, 0)
            add(store, 1, b"x" * 3 * PIECE)
            server.stop()
            server.start()
            assert numbers(store) == [0, 1]
            assert text_of(store, 1) == b"x" * 3 * PIECE
        with contextlib.closing(server.client()) as nobody, pytest.raises(redis.AuthenticationError):
            nobody.ping()
