"""What is Redis's own: the line to it, its memory, its passwords, TLS, the form of the keys."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from rr_tcp.errors import ConfigurationError, SessionDataError, SessionStoreError
from rr_tcp.redis_nodes import CONNECT_TIMEOUT
from rr_tcp.sessions import StoredSession
from rr_tcp.stores import CheckedSessionStore, open_store
from rr_tcp.stores.redis_store import SOCKET_TIMEOUT
from rr_tcp.testing import free_ports
from tests.support.servers import RedisServer, running_redis
from tests.support.waiting import wait_until

TTL = 600.0


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[CheckedSessionStore]:
    with contextlib.closing(open_store(redis_server.url)) as opened:
        yield opened


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may break."""
    with running_redis(tmp_path) as server:
        yield server


def logged(error: BaseException | None) -> str:
    """What a log may say of the error: the messages of all that led to it."""
    return f"{error}\n{logged(error.__cause__)}{logged(error.__context__)}" if error else ""


def test_a_session_can_be_looked_at_with_redis_cli(
    store: CheckedSessionStore, redis_server: RedisServer, key: str
) -> None:
    """Both keys have one hash tag, the braces: a cluster keeps them in one slot."""
    store.save(key, b"state", ttl=TTL, append=b"bulk")
    with contextlib.closing(redis_server.client()) as client:
        names = [f"rr-tcp:{{{key}}}".encode(), f"rr-tcp:{{{key}}}:bulk".encode()]
        assert sorted(client.scan_iter(f"*{key}*")) == names
        assert client.hget(names[0], "state") == b"state"
        assert client.hget(names[0], "bulk_size") == b"4"
        assert client.get(names[1]) == b"bulk"
        assert all(0 < client.pttl(name) <= TTL * 1000 for name in names)
        store.end(key, ttl=TTL)
        assert list(client.scan_iter(f"*{key}*")) == names[:1]


def test_a_session_without_bulk_data_is_one_key(
    store: CheckedSessionStore, redis_server: RedisServer, key: str
) -> None:
    store.save(key, b"state", ttl=TTL)
    with contextlib.closing(redis_server.client()) as client:
        assert [name.decode() for name in client.scan_iter(f"*{key}*")] == [f"rr-tcp:{{{key}}}"]


def test_nothing_is_left_after_its_time(store: CheckedSessionStore, redis_server: RedisServer, key: str) -> None:
    store.save(key, b"state", ttl=2.0, append=b"bulk")
    with contextlib.closing(redis_server.client()) as client:
        wait_until(lambda: not list(client.scan_iter(f"*{key}*")), timeout=4.0)


@pytest.mark.parametrize(("field", "damage"), [("saved", b"soon"), ("opened", b"\xff"), ("server", b"\xff")])
def test_a_scan_goes_past_a_session_with_a_damaged_field(
    store: CheckedSessionStore, redis_server: RedisServer, new_key: Callable[[], str], field: str, damage: bytes
) -> None:
    """One such key must not be what keeps the reaper from all others."""
    damaged, whole = new_key(), new_key()
    for key in (damaged, whole):
        store.save(key, b"state", ttl=TTL, server="smtp")
    with contextlib.closing(redis_server.client()) as client:
        client.hset(f"rr-tcp:{{{damaged}}}", field, damage)
    page = store.scan()
    found = {session.key for session in page.sessions}
    while page.cursor:
        page = store.scan(page.cursor)
        found |= {session.key for session in page.sessions}
    store.delete(damaged)
    assert whole in found
    assert damaged not in found


def test_no_server_is_an_error_at_once() -> None:
    with contextlib.closing(open_store(f"redis://127.0.0.1:{free_ports(1)[0]}")) as store:
        start = time.monotonic()
        with pytest.raises(SessionStoreError, match="Is the server running"):
            store.check()
        assert time.monotonic() - start < 2.0


def test_a_server_that_does_not_answer_is_an_error_after_the_timeout(key: str) -> None:
    """The event waits as long, and so does every other connection whose turn comes on this worker."""
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, contextlib.closing(open_store(f"redis://127.0.0.1:{silent.getsockname()[1]}")) as store:
        for call in (store.load, store.read_bulk, store.delete):
            start = time.monotonic()
            with pytest.raises(SessionStoreError):
                call(key)
            assert time.monotonic() - start < CONNECT_TIMEOUT + SOCKET_TIMEOUT + 1.0


def test_a_save_that_gets_no_answer_is_sent_once(key: str) -> None:
    """It may have been executed: a second APPEND would double a piece of a mail."""
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, contextlib.closing(open_store(f"redis://127.0.0.1:{silent.getsockname()[1]}")) as store:
        with pytest.raises(SessionStoreError):
            store.save(key, b"state", ttl=TTL, append=b"bulk")
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_the_store_works_again_when_the_server_does(own_server: RedisServer, key: str) -> None:
    with contextlib.closing(open_store(own_server.url)) as store:
        store.save(key, b"state", ttl=TTL)
        own_server.stop()
        with pytest.raises(SessionStoreError):
            store.load(key)
        own_server.start()
        assert store.load(key) is None
        store.save(key, b"new", ttl=TTL)
        assert store.load(key) == StoredSession(b"new")


def test_full_memory_is_an_error_of_one_call_and_nothing_of_it_is_applied(own_server: RedisServer, key: str) -> None:
    with contextlib.closing(own_server.client()) as client, contextlib.closing(open_store(own_server.url)) as store:
        store.save(key, b"state", ttl=TTL, append=b"bulk")
        client.config_set("maxmemory", 1)
        with pytest.raises(SessionStoreError, match="is full") as caught:
            store.save(key, b"clients' state", ttl=TTL, append=b"clients' bulk")
        assert "clients'" not in logged(caught.value), "what clients send is never logged"
        assert store.load(key) == StoredSession(b"state", 4)
        with pytest.raises(SessionStoreError, match="is full"):
            store.check()
        client.config_set("maxmemory", 0)
        store.save(key, b"after", ttl=TTL, append=b"!")
        assert store.read_bulk(key) == b"bulk!"


def test_with_full_memory_a_session_that_ends_makes_room(own_server: RedisServer, key: str) -> None:
    with contextlib.closing(own_server.client()) as client, contextlib.closing(open_store(own_server.url)) as store:
        store.save(key, b"state", ttl=TTL, append=b"x" * 10_000_000)
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 1_000_000)
        with pytest.raises(SessionStoreError, match="is full"):
            store.save(key, b"more", ttl=TTL, append=b"!")
        store.end(key, ttl=TTL, state=b"last")
        assert store.load(key) == StoredSession(b"last", closed=True)
        store.save(f"{key}-next", b"state", ttl=TTL)


def test_with_no_memory_at_all_a_session_that_ends_is_gone(own_server: RedisServer, key: str) -> None:
    with contextlib.closing(own_server.client()) as client, contextlib.closing(open_store(own_server.url)) as store:
        store.save(key, b"state", ttl=TTL, append=b"bulk")
        client.config_set("maxmemory", 1)
        with pytest.raises(SessionStoreError, match="is full"):
            store.end(key, ttl=TTL)
        assert store.load(key) is None
        assert client.dbsize() == 0


@pytest.mark.parametrize("user", ["", "stranger"])
def test_a_wrong_password_is_an_error_that_does_not_tell_it(tmp_path: Path, user: str, key: str) -> None:
    with running_redis(tmp_path, "--requirepass", "right password") as server:
        with contextlib.closing(open_store(f"redis://:right%20password@127.0.0.1:{server.port}/0")) as store:
            store.check()
        with contextlib.closing(open_store(f"redis://{user}:hunter2@127.0.0.1:{server.port}/0")) as store:
            with pytest.raises(SessionStoreError, match="password") as caught:
                store.load(key)
            assert "hunter2" not in logged(caught.value)
        with (
            contextlib.closing(open_store(server.url)) as store,
            pytest.raises(SessionStoreError, match="Authentication required"),
        ):
            store.load(key)


def test_a_key_of_another_type_is_refused_without_its_data(
    store: CheckedSessionStore, redis_server: RedisServer, key: str
) -> None:
    with contextlib.closing(redis_server.client()) as client:
        client.rpush(f"rr-tcp:{{{key}}}:bulk", "a list")
    with pytest.raises(SessionDataError, match="of another type") as caught:
        store.save(key, b"clients' state", ttl=TTL, append=b"clients' bulk")
    assert "clients'" not in logged(caught.value)


@pytest.mark.parametrize(("field", "value"), [("bulk_size", "many"), ("closed", "2"), ("checksum", "0"), ("state", "")])
def test_fields_that_do_not_fit_together_are_refused(
    store: CheckedSessionStore, redis_server: RedisServer, key: str, field: str, value: str
) -> None:
    store.save(key, b"state", ttl=TTL)
    with contextlib.closing(redis_server.client()) as client:
        client.hset(f"rr-tcp:{{{key}}}", field, value)
        with pytest.raises(SessionDataError):
            store.load(key)
        client.hdel(f"rr-tcp:{{{key}}}", field)
        with pytest.raises(SessionDataError):
            store.load(key)


def test_bulk_data_of_another_length_is_refused_when_it_is_appended_to(
    store: CheckedSessionStore, redis_server: RedisServer, key: str
) -> None:
    store.save(key, b"state", ttl=TTL, append=b"bulk")
    with contextlib.closing(redis_server.client()) as client:
        client.append(f"rr-tcp:{{{key}}}:bulk", "?")
    with pytest.raises(SessionDataError, match="6 bytes, its state says 5"):
        store.save(key, b"state", ttl=TTL, append=b"!")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, signed by itself, and its key."""
    certificate, private_key = tmp_path / "redis.crt", tmp_path / "redis.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    command += ["-days", "1", "-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", private_key, "-out", certificate], check=True, capture_output=True)
    return certificate, private_key


def test_tls(tmp_path: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """The server must have a certificate of an authority that the machine knows."""
    (tls_port,) = free_ports(1)
    options = ["--tls-port", str(tls_port), "--tls-cert-file", str(certificate[0]), "--tls-key-file"]
    with running_redis(tmp_path, *options, str(certificate[1]), "--tls-auth-clients", "no"):
        url = f"rediss://127.0.0.1:{tls_port}/0"
        with contextlib.closing(open_store(url)) as store, pytest.raises(SessionStoreError, match="certificate"):
            store.load(key)
        monkeypatch.setenv("SSL_CERT_FILE", os.fspath(certificate[0]))
        with contextlib.closing(open_store(url)) as store:
            store.save(key, b"state", ttl=TTL)
            assert store.load(key) == StoredSession(b"state")


def test_the_authority_of_a_certificate_can_be_named(tmp_path: Path, certificate: tuple[Path, Path], key: str) -> None:
    (tls_port,) = free_ports(1)
    options = ["--tls-port", str(tls_port), "--tls-cert-file", str(certificate[0]), "--tls-key-file"]
    with running_redis(tmp_path, *options, str(certificate[1]), "--tls-auth-clients", "no"):
        with contextlib.closing(open_store(f"rediss://127.0.0.1:{tls_port}/0?ca={certificate[0]}")) as store:
            store.save(key, b"state", ttl=TTL)
            assert store.load(key) == StoredSession(b"state")
        with pytest.raises(ConfigurationError, match="is not there"):
            open_store(f"rediss://127.0.0.1:{tls_port}/0?ca={tmp_path}/none.crt")


def test_a_server_may_ask_for_our_own_certificate(tmp_path: Path, certificate: tuple[Path, Path], key: str) -> None:
    (tls_port,) = free_ports(1)
    own, private_key = certificate
    options = ["--tls-port", str(tls_port), "--tls-cert-file", str(own), "--tls-key-file", str(private_key)]
    with running_redis(tmp_path, *options, "--tls-ca-cert-file", str(own), "--tls-auth-clients", "yes"):
        url = f"rediss://127.0.0.1:{tls_port}/0?ca={own}"
        with contextlib.closing(open_store(url)) as store, pytest.raises(SessionStoreError, match="cannot be used"):
            store.load(key)
        with contextlib.closing(open_store(f"{url}&cert={own}&key={private_key}")) as store:
            store.save(key, b"state", ttl=TTL)
            assert store.load(key) == StoredSession(b"state")


def test_a_password_is_read_from_its_file_with_each_connection(tmp_path: Path, key: str) -> None:
    secret = tmp_path / "password"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        open_store(f"redis://127.0.0.1/0?password_file={secret}")
    secret.write_text("\n")
    with pytest.raises(ConfigurationError, match="is empty"):
        open_store(f"redis://127.0.0.1/0?password_file={secret}")
    secret.write_text("first hunter2\n")
    with running_redis(tmp_path, "--requirepass", "first hunter2") as server:
        url = f"redis://127.0.0.1:{server.port}/0?password_file={secret}"
        with contextlib.closing(open_store(url)) as store, contextlib.closing(server.client()) as admin:
            store.save(key, b"state", ttl=TTL)
            execute: Callable[..., object] = admin.execute_command
            execute("AUTH", "first hunter2")
            execute("CONFIG", "SET", "requirepass", "second")
            execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            with pytest.raises(SessionStoreError, match="password") as caught:
                store.load(key)
            assert "hunter2" not in logged(caught.value)
            secret.write_text("second")
            assert store.load(key) == StoredSession(b"state")


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (("CONFIG", "GET", "*"), "config|get"),
        (("FLUSHALL",), "flushall"),
        (("KEYS", "*"), "keys"),
        (("LPUSH", "rr-tcp:{someone}", "x"), "lpush"),
        (("SET", "rr-tcp:{someone}", "x"), "set"),
        (("HGETALL", "rr-mail:{mail}:total"), "hgetall"),
        (("HMGET", "rr-mail:{mail}:total", "mails"), "no permissions to access"),
        (("DEL", "somebody-elses"), "no permissions to access"),
    ],
)
def test_the_sessions_user_may_do_nothing_else(
    redis_with_user: RedisServer, command: tuple[str, ...], names: str
) -> None:
    """The contract suite runs as this user, too."""
    with contextlib.closing(redis.Redis.from_url(redis_with_user.url)) as client:
        execute: Callable[..., object] = client.execute_command
        with pytest.raises(redis.exceptions.NoPermissionError, match=names.replace("|", r"\|")):
            execute(*command)
