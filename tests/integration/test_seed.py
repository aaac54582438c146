"""examples/seed: RoadRunner's own TCP example in Python, in its own configuration, on the real server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rr_tcp.testing import free_ports, roadrunner
from tests.integration.conftest import ROOT, accepts, connect, receive_all

SEED = ROOT / "examples/seed"


@pytest.fixture
def ports() -> dict[str, int]:
    return dict(zip(("smtp", "server2", "tcp_access_point_1"), free_ports(3), strict=True))


@pytest.fixture
def welcome() -> str:
    return "127.0.0.1"


@pytest.fixture
def log(rr_binary: Path, tmp_path: Path, ports: dict[str, int], welcome: str) -> Iterator[Path]:
    """The running seed's log. The example names a third server that its configuration lacks: it is added here."""
    env = {
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "SMTP_PORT": str(ports["smtp"]),
        "ECHO_PORT": str(ports["server2"]),
        "WELCOME": welcome,
    }
    log = tmp_path / "rr.log"
    with roadrunner(
        rr_binary,
        SEED / ".rr.yaml",
        cwd=SEED,
        env=env,
        log=log,
        probes=[accepts(port) for port in ports.values()],
        overrides=[f"tcp.servers.tcp_access_point_1.addr=tcp://127.0.0.1:{ports['tcp_access_point_1']}"],
    ):
        yield log


@pytest.mark.usefixtures("log")
def test_a_client_is_greeted_with_the_banner(ports: dict[str, int]) -> None:
    with connect(ports["smtp"]) as client:
        assert client.recv(100) == b"220 mailamie \r\n"


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("welcome", ["192.0.2.1"])
def test_a_remote_address_that_is_not_welcome_is_closed(ports: dict[str, int]) -> None:
    with connect(ports["smtp"]) as client:
        assert receive_all(client) == b""


@pytest.mark.usefixtures("log")
def test_server2_answers_with_the_five_fields(ports: dict[str, int]) -> None:
    with connect(ports["server2"]) as client:
        assert client.recv(100) == b"220 mailamie \r\n"
        host, port = client.getsockname()
        for body in ("hello\r\n", "again\r\n"):
            client.sendall(body.encode())
            answer = json.loads(client.recv(4096))
            assert set(answer) == {"remote_addr", "server", "uuid", "body", "event"}
            assert answer["remote_addr"] == f"{host}:{port}"
            assert (answer["server"], answer["event"], answer["body"]) == ("server2", "DATA", body)


@pytest.mark.usefixtures("log")
def test_tcp_access_point_1_is_denied_and_closed(ports: dict[str, int]) -> None:
    with connect(ports["tcp_access_point_1"]) as client:
        assert client.recv(100) == b"220 mailamie \r\n"
        client.sendall(b"let me in\r\n")
        assert receive_all(client) == b"Access denied"


@pytest.mark.usefixtures("log")
def test_an_event_that_the_worker_does_not_answer_closes_its_connection(ports: dict[str, int]) -> None:
    """The example has no branch for data on `smtp`."""
    with connect(ports["smtp"]) as client:
        assert client.recv(100) == b"220 mailamie \r\n"
        client.sendall(b"HELO client\r\n")
        assert receive_all(client) == b""


def test_an_exception_is_told_to_the_client_and_reported_and_costs_nobody_else(
    ports: dict[str, int], log: Path
) -> None:
    with connect(ports["server2"]) as other:
        assert other.recv(100) == b"220 mailamie \r\n"
        for _ in range(4):  # both workers, twice
            with connect(ports["server2"]) as client:
                assert client.recv(100) == b"220 mailamie \r\n"
                client.sendall(b"\xff\r\n")  # what json cannot say
                assert receive_all(client) == b"Something went wrong\r\n"
        other.sendall(b"still here\r\n")
        assert json.loads(other.recv(4096))["body"] == "still here\r\n"
    assert "UnicodeDecodeError" in log.read_text()
