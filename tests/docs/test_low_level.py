"""The low-level calls, which are the official PHP packages' ones, on the real server."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedReader
from pathlib import Path

import pytest

from rr_tcp.probe import probe_connect
from rr_tcp.testing import free_ports, roadrunner
from tests.docs.blocks import ROOT
from tests.support.waiting import TIMEOUT, wait_until

pytest_plugins = ["rr_tcp.testing.fixtures"]


class Client:
    """A client's connection; the worker greets it with its uuid."""

    def __init__(self, sock: socket.socket, answers: BufferedReader) -> None:
        self._socket = sock
        self._answers = answers
        self.uuid = self.line().decode()

    def send(self, line: bytes) -> None:
        self._socket.sendall(line + b"\n")

    def line(self) -> bytes:
        return self._answers.readline().rstrip(b"\n")

    def ask(self, line: bytes) -> bytes:
        self.send(line)
        return self.line()

    def rest(self) -> bytes:
        return self._answers.read()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("low-level")


@pytest.fixture(scope="module")
def port(rr_binary: Path, directory: Path) -> Iterator[int]:
    """Of a server with two workers."""
    rpc, port = free_ports(2)
    config = {
        "version": "3",
        "rpc": {"listen": f"tcp://127.0.0.1:{rpc}"},
        "server": {"command": [sys.executable, str(ROOT / "tests/docs/low_level_worker.py")]},
        "tcp": {
            "servers": {"low": {"addr": f"tcp://127.0.0.1:{port}", "delimiter": "\n"}},
            "pool": {"num_workers": 2, "supervisor": {"exec_ttl": "20s"}},
        },
    }
    (directory / "rr.yaml").write_text(json.dumps(config))
    with roadrunner(
        rr_binary,
        directory / "rr.yaml",
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "NOTES": str(directory)},
        log=directory / "rr.log",
        probes=[partial(probe_connect, "127.0.0.1", port)],
    ):
        yield port


@contextmanager
def connected(port: int) -> Iterator[Client]:
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock, sock.makefile("rb") as answers:
        yield Client(sock, answers)


def test_respond_writes_and_reads_on(port: int) -> None:
    with connected(port) as client:
        for line in (b"one", b"two", b"three"):
            assert client.ask(line) == line


def test_writeclose_writes_and_closes(port: int) -> None:
    with connected(port) as client:
        client.send(b"writeclose")
        assert client.rest() == b"bye\n"


def test_read_writes_nothing_and_reads_on(port: int, directory: Path) -> None:
    """What is sent before the worker has the first line would be one event with it."""
    with connected(port) as client:
        client.send(b"read")
        wait_until((directory / f"{client.uuid}-read").exists, "the event")
        assert client.ask(b"and then") == b"and then"


def test_close_writes_nothing_and_closes(port: int) -> None:
    with connected(port) as client:
        client.send(b"close")
        assert client.rest() == b""


def test_the_end_of_a_connection_is_an_event_that_wants_its_answer(port: int, directory: Path) -> None:
    for _ in range(4):  # both workers, twice
        with connected(port) as client:
            assert client.ask(b"x") == b"x"
        wait_until((directory / client.uuid).exists, "the CLOSE event")


def test_an_error_closes_the_connection_and_is_logged_and_the_worker_lives_on(port: int, directory: Path) -> None:
    with connected(port) as other:
        for _ in range(4):
            with connected(port) as client:
                client.send(b"error")
                assert client.rest() == b""
        assert other.ask(b"x") == b"x"
    wait_until(lambda: "on purpose" in (directory / "rr.log").read_text(), "the error in the log")


def test_a_worker_that_stops_is_replaced_and_another_one_gets_the_same_event(port: int) -> None:
    """So it must not be said after a side effect, which would happen twice."""
    with connected(port) as client:
        first, second = client.ask(b"stop").split()
        assert first != second
        assert client.ask(b"x") == b"x"


def test_a_second_answer_reaches_nobody(port: int) -> None:
    with connected(port) as one, connected(port) as two:
        for _ in range(4):
            assert one.ask(b"twice") == b"first"
            assert two.ask(b"mine") == b"mine"
            assert one.ask(b"x") == b"x"


def test_the_environment_is_what_the_server_told(port: int) -> None:
    with connected(port) as client:
        mode, relay, rpc, version = client.ask(b"environment").decode().split()
    assert (mode, relay) == ("tcp", "pipes")
    assert rpc.startswith("tcp://127.0.0.1:")
    assert version
