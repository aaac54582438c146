"""`CLIENT_MAX_CONNECTIONS` and `CLIENT_MAX_PER_MINUTE` on the real stack: refused, and let in again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rr_tcp.admission import WINDOW
from rr_tcp.cli.pool import RESET_TIMEOUT, replace_workers
from tests.e2e.clients import RawClient
from tests.e2e.targets import NativeTarget, native
from tests.support.servers import running_redis
from tests.support.waiting import wait_until

TOO_MANY = b"421 4.7.0 Too many connections from your address, try again later\r\n"
MOST = 4


def greeted(stack: NativeTarget) -> bool:
    """Whether a new client is welcome; it says goodbye."""
    with RawClient(stack.smtp) as client:
        greeting = client.reply()
        if greeting == TOO_MANY:
            assert client.rest() == b""
            return False
        assert greeting.startswith(b"220 ")
        assert client.command(b"QUIT").startswith(b"221 ")
        return client.rest() == b""


def hold_and_release(stack: NativeTarget) -> None:
    """As many clients as may stay; one more is refused on both services, until one of them leaves.

    New workers know of those that the old ones admitted.
    """
    wait_until(lambda: greeted(stack), "the end of the connections of the probes")
    clients = [RawClient(stack.smtp) for _ in range(MOST)]
    assert all(client.reply().startswith(b"220 ") for client in clients)
    assert not greeted(stack)
    with RawClient(stack.echo) as refused:
        assert refused.rest() == b'{"error":"too many connections"}\n'
    replace_workers(stack.rpc_address, timeout=RESET_TIMEOUT)
    assert not greeted(stack)
    with clients.pop():
        pass
    wait_until(lambda: greeted(stack), "the place of the one that left")
    for client in clients:
        assert client.command(b"NOOP").startswith(b"250 ")
        client.__exit__()


def test_open_connections_are_counted_by_all_workers_in_lmdb(tmp_path: Path) -> None:
    with native(tmp_path, {"CLIENT_MAX_CONNECTIONS": str(MOST)}) as stack:
        hold_and_release(stack)


def test_open_connections_are_counted_by_all_workers_in_redis(tmp_path: Path) -> None:
    with (
        running_redis(tmp_path) as redis,
        native(tmp_path, {"CLIENT_MAX_CONNECTIONS": str(MOST), "SESSION_STORE": redis.url}) as stack,
    ):
        hold_and_release(stack)


@pytest.mark.timeout(WINDOW + 120)
def test_new_connections_are_counted_for_a_minute(tmp_path: Path) -> None:
    with native(tmp_path, {"CLIENT_MAX_PER_MINUTE": "20"}) as stack:
        began = time.monotonic()
        wait_until(lambda: not greeted(stack), "the end of the clients' patience")
        assert not greeted(stack)
        time.sleep(max(0.0, WINDOW - (time.monotonic() - began)))
        assert greeted(stack)


def test_an_exempt_network_has_no_limits(tmp_path: Path) -> None:
    env = {"CLIENT_MAX_CONNECTIONS": "1", "CLIENT_MAX_PER_MINUTE": "1", "CLIENT_EXEMPT": "127.0.0.0/8"}
    with native(tmp_path, env) as stack:
        clients = [RawClient(stack.smtp) for _ in range(5)]
        assert all(client.reply().startswith(b"220 ") for client in clients)
        for client in clients:
            client.__exit__()
