"""The watchdog tells of connections that nobody accepts, and of nothing else. Real sockets, a clock of our own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rr_tcp.errors import ServerError
from rr_tcp.watchdog import PATIENCE, Watchdog
from tests.support.clock import Clock
from tests.support.waiting import wait_until


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watchdog(clock: Clock) -> Watchdog:
    return Watchdog(os.getpid(), clock=clock)


@pytest.fixture(params=["IPv4", "IPv6", "all addresses"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with ExitStack() as stack:
        match request.param:
            case "IPv4":
                made = socket.create_server(("127.0.0.1", 0))
            case "IPv6":
                made = socket.create_server(("::1", 0), family=socket.AF_INET6)
            case _:
                made = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        yield stack.enter_context(made)


def connect(listener: socket.socket) -> socket.socket:
    host, port = listener.getsockname()[:2]
    return socket.create_connection(("127.0.0.1" if host == "::" else host, port), 10)


def test_a_connection_that_nobody_accepts_is_told_of_after_a_while(
    watchdog: Watchdog, clock: Clock, listener: socket.socket
) -> None:
    port = listener.getsockname()[1]
    with connect(listener):
        assert watchdog.look() == []
        clock.now += PATIENCE - 0.1
        assert watchdog.look() == []
        clock.now += 0.2
        assert watchdog.look() == [port]
        accepted, _ = listener.accept()
        with accepted:
            assert watchdog.look() == []


def test_a_client_that_went_away_meanwhile_still_tells_of_it(
    watchdog: Watchdog, clock: Clock, listener: socket.socket
) -> None:
    connect(listener).close()
    assert watchdog.look() == []
    clock.now += PATIENCE
    assert watchdog.look() == [listener.getsockname()[1]]


def test_a_server_that_is_only_slow_to_answer_is_left_alone(
    watchdog: Watchdog, clock: Clock, listener: socket.socket
) -> None:
    with connect(listener):
        accepted, _ = listener.accept()
        with accepted:
            watchdog.look()
            clock.now += 100 * PATIENCE
            assert watchdog.look() == []


def test_one_connection_after_the_other_that_waits_a_little_is_no_trouble(
    watchdog: Watchdog, clock: Clock, listener: socket.socket
) -> None:
    for _ in range(20):
        with connect(listener):
            assert watchdog.look() == []
            clock.now += PATIENCE / 2
            assert watchdog.look() == []
            listener.accept()[0].close()


SERVER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


def test_a_listener_of_another_process_is_none_of_its_business(clock: Clock) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        ours, its = Watchdog(os.getpid(), clock=clock), Watchdog(server.pid, clock=clock)
        with socket.create_connection(("127.0.0.1", port), 10):
            assert (ours.look(), its.look()) == ([], [])
            clock.now += PATIENCE
            assert (ours.look(), its.look()) == ([], [port])
        server.kill()


def test_a_server_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="cannot be seen"):
        Watchdog(1, proc=tmp_path).look()


PARENT = """
import socket, subprocess, sys
listener = socket.create_server(("127.0.0.1", 0))
child = subprocess.Popen([sys.executable, "-m", "rr_tcp", "watchdog", "--patience", "0.2"])
print(listener.getsockname()[1], child.pid, flush=True)
child.wait()
print("the watchdog ended", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a listener that accepts nothing, and a watchdog as its child."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


def started(parent: subprocess.Popen[bytes]) -> tuple[int, int]:
    """The port, and the pid of a watchdog that has come so far as to look."""
    assert parent.stdout is not None
    assert parent.stderr is not None
    port, pid = map(int, parent.stdout.readline().split())
    assert b"looking after the listeners of process %d" % parent.pid in parent.stderr.readline()
    return port, pid


def ended(pid: int) -> bool:
    """Whether a process has ended, whoever has to take note of that."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_the_command_ends_the_server_that_started_it(parent: subprocess.Popen[bytes]) -> None:
    port, pid = started(parent)
    with socket.create_connection(("127.0.0.1", port), 10):
        assert parent.wait(30) == -signal.SIGTERM
    assert parent.stderr is not None
    wait_until(lambda: ended(pid), "the end of the watchdog")
    assert f"nobody accepts connections on port {port} any more".encode() in parent.stderr.read()


def test_the_command_ends_when_it_is_told_to(parent: subprocess.Popen[bytes]) -> None:
    _, pid = started(parent)
    os.kill(pid, signal.SIGINT)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"the watchdog ended\n"
    assert parent.poll() is None


def test_the_command_ends_with_the_server(parent: subprocess.Popen[bytes]) -> None:
    _, pid = started(parent)
    parent.kill()
    wait_until(lambda: ended(pid), "the end of the watchdog")


def test_the_command_ends_when_the_server_was_gone_before_it_looked() -> None:
    """Its parent is then another process; but nobody reads what it logs."""
    reading, writing = os.pipe()
    with subprocess.Popen([sys.executable, "-m", "rr_tcp", "watchdog"], stderr=writing) as watchdog:
        os.close(writing)
        os.close(reading)
        assert watchdog.wait(30) == 0
