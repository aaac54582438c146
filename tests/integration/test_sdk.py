"""The SDK's promises, on the real server."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from rr_tcp.stores import open_store
from rr_tcp.testing import ServedApp
from tests.integration.conftest import ServeApp, connect, process_exists, receive_all
from tests.support.waiting import wait_until

COUNTER = "tests.integration.apps:build_counter"


def ask(client: socket.socket, line: bytes) -> list[int]:
    client.sendall(line + b"\n")
    return [int(word) for word in client.recv(4096).split()]


@pytest.fixture(params=["pipes", "unix", "tcp"])
def relay(request: pytest.FixtureRequest, tmp_path: Path, unused_port: int) -> str:
    return {"pipes": "pipes", "unix": f"unix://{tmp_path}/r", "tcp": f"tcp://127.0.0.1:{unused_port}"}[request.param]


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_every_relay_carries_a_session_over_many_workers(serve: ServeApp, relay: str) -> None:
    served = serve(COUNTER, "counter", relay=relay)
    answers: list[list[int]] = []
    with connect(served.ports["counter"]) as client:

        def both_workers_answered() -> bool:
            """They take turns, once the second is done with the connection of the fixture's probe."""
            answers.extend(ask(client, b"x") for _ in range(100))
            return len({pid for _, _, pid in answers}) > 1

        wait_until(both_workers_answered)
    assert [count for count, _, _ in answers] == list(range(1, len(answers) + 1))
    assert [size for _, size, _ in answers] == list(range(2, 2 * len(answers) + 2, 2))
    assert {pid for _, _, pid in answers} == served.pids()


def test_a_service_without_state_needs_no_store(serve: ServeApp) -> None:
    served = serve("tests.integration.apps:build_functions", "upper")
    with connect(served.ports["upper"]) as client:
        assert client.recv(100) == b"ready\n"
        client.sendall(b"hello\n")
        assert client.recv(100) == b"HELLO\n"
        client.sendall(b"bye\n")
        assert receive_all(client) == b"BYE\n"


def test_a_handler_that_raises_costs_its_connection_and_no_worker(serve: ServeApp) -> None:
    served = serve(COUNTER, "counter")
    before = served.pids()
    with connect(served.ports["counter"]) as other:
        ask(other, b"x")
        for _ in range(6):
            with connect(served.ports["counter"]) as client:
                client.sendall(b"raise\n")
                assert receive_all(client) == b"Something went wrong\r\n"
        assert ask(other, b"x")[:2] == [2, 4]
    assert served.pids() == before
    assert "RuntimeError: on purpose" in served.log.read_text()


def test_what_a_handler_prints_goes_to_the_log_and_not_to_a_client(serve: ServeApp) -> None:
    served = serve(COUNTER, "counter")
    before = served.pids()
    with connect(served.ports["counter"]) as client:
        for number in range(1, 5):
            assert ask(client, b"print")[0] == number
    assert served.pids() == before
    log = served.log.read_text()
    for text in ("printed", "written to fd 1", "from a program"):
        assert text in log


def test_a_handler_that_exits_costs_its_connection_and_the_pool_is_whole_again(serve: ServeApp) -> None:
    served = serve(COUNTER, "counter")
    with connect(served.ports["counter"]) as other:
        ask(other, b"x")
        before = served.pids()
        with connect(served.ports["counter"]) as client:
            client.sendall(b"exit\n")
            assert receive_all(client) == b""
        wait_until(lambda: len(served.pids()) == 2 and served.pids() != before)
        assert ask(other, b"x")[:2] == [2, 4]


def _busy(served: ServedApp) -> list[int]:
    workers = served.rpc.call("informer.Workers", "tcp")["workers"] or []
    return [worker["pid"] for worker in workers if worker["statusStr"] == "working"]


def test_a_worker_killed_in_mid_event_costs_that_connection_only(serve: ServeApp) -> None:
    served = serve(COUNTER, "counter")
    with connect(served.ports["counter"]) as other, connect(served.ports["counter"]) as client:
        ask(other, b"x")
        ask(client, b"x")
        wait_until(lambda: not _busy(served))  # a worker is, to RoadRunner, for a moment after its reply left
        client.sendall(b"hang\n")
        wait_until(lambda: len(_busy(served)) == 1)
        [pid] = _busy(served)
        os.kill(pid, signal.SIGKILL)
        assert receive_all(client) == b""
        assert ask(other, b"x")[:2] == [2, 4]
        wait_until(lambda: len(served.pids()) == 2 and pid not in served.pids())


def test_a_pool_reset_keeps_connections_and_their_state(serve: ServeApp) -> None:
    served = serve(COUNTER, "counter")
    before = served.pids()
    with connect(served.ports["counter"]) as client:
        ask(client, b"x")
        assert served.rpc.call("resetter.Reset", "tcp") is True
        assert ask(client, b"x")[:2] == [2, 4]
    assert before.isdisjoint(served.pids())


def test_tcp_close_over_rpc_ends_the_connection_and_its_session(serve: ServeApp, tmp_path: Path) -> None:
    store_url = f"lmdb://{tmp_path}/closed"
    served = serve(COUNTER, "counter", env={"SESSION_STORE": store_url})
    store = open_store(store_url)
    with connect(served.ports["counter"]) as client:
        client.sendall(b"uuid\n")
        uuid = client.recv(100).decode().strip()
        assert store.load(uuid) is not None
        assert served.rpc.call("tcp.Close", uuid) is True
        assert receive_all(client) == b""
        wait_until(lambda: (session := store.load(uuid)) is not None and session.closed)
    store.close()


def test_a_server_that_nobody_handles_closes_its_clients_loudly(serve: ServeApp) -> None:
    served = serve("tests.integration.apps:build_functions", "nobodys")
    with connect(served.ports["nobodys"]) as client:
        assert receive_all(client) == b""
    assert "no service handles the server 'nobodys'" in served.log.read_text()


def test_an_orderly_end_leaves_no_worker_behind(serve: ServeApp) -> None:
    served = serve(COUNTER, "counter")
    pids = served.pids()
    assert served.server.stop(timeout=30) == 0
    wait_until(lambda: not any(process_exists(pid) for pid in pids))


def test_workers_end_by_themselves_when_the_server_is_killed(serve: ServeApp) -> None:
    served = serve(COUNTER, "counter")
    pids = served.pids()
    with connect(served.ports["counter"]) as client:
        ask(client, b"x")
        served.server.kill()
        wait_until(lambda: not any(process_exists(pid) for pid in pids))
