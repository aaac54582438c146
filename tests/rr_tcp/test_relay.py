"""Relays over real pipes and sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rr_tcp.errors import ConfigurationError, RelayError
from rr_tcp.frame import Frame
from rr_tcp.relay import PipeRelay, Relay, SocketRelay, connect

LARGE = Frame(os.urandom(3_000_000), options=(7,))  # far over a pipe's and a socket's buffer


@pytest.fixture
def pipes() -> Iterator[tuple[PipeRelay, PipeRelay]]:
    to_worker, to_server = os.pipe(), os.pipe()
    server, worker = PipeRelay(to_server[0], to_worker[1]), PipeRelay(to_worker[0], to_server[1])
    yield server, worker
    server.close()
    worker.close()


@pytest.fixture
def sockets() -> Iterator[tuple[SocketRelay, SocketRelay]]:
    left, right = (SocketRelay(sock) for sock in socket.socketpair())
    yield left, right
    left.close()
    right.close()


@pytest.fixture(params=["pipes", "sockets"])
def ends(request: pytest.FixtureRequest) -> tuple[Relay, Relay]:
    ends: tuple[Relay, Relay] = request.getfixturevalue(request.param)
    return ends


def test_a_frame_larger_than_any_buffer_travels_whole(ends: tuple[Relay, Relay]) -> None:
    sender, receiver = ends
    thread = threading.Thread(target=sender.send, args=(LARGE,))
    thread.start()
    received = receiver.receive()
    thread.join()
    assert received is not None
    assert received.payload + received.tail == LARGE.payload
    assert (received.flags, received.options) == (LARGE.flags, LARGE.options)


def test_frames_sent_together_are_received_one_by_one(ends: tuple[Relay, Relay]) -> None:
    sender, receiver = ends
    sent = [Frame(b"one"), Frame(b""), Frame(b"three", options=(1,))]
    for frame in sent:
        sender.send(frame)
    assert [receiver.receive() for _ in sent] == sent


def test_the_end_between_two_frames_is_no_error() -> None:
    read_fd, write_fd = os.pipe()
    os.write(write_fd, Frame(b"last").encode())
    os.close(write_fd)
    relay = PipeRelay(read_fd, os.open(os.devnull, os.O_WRONLY))
    assert relay.receive() == Frame(b"last")
    assert relay.receive() is None
    relay.close()


def test_the_end_in_mid_frame_is_an_error() -> None:
    read_fd, write_fd = os.pipe()
    os.write(write_fd, Frame(b"cut").encode()[:-1])
    os.close(write_fd)
    relay = PipeRelay(read_fd, os.open(os.devnull, os.O_WRONLY))
    with pytest.raises(RelayError, match="middle of a frame"):
        relay.receive()
    relay.close()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_connect_reaches_a_listening_socket(kind: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET if kind == "tcp" else socket.AF_UNIX) as listener:
        listener.bind(("127.0.0.1", 0) if kind == "tcp" else str(tmp_path / "s"))
        listener.listen()
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}" if kind == "tcp" else f"unix://{tmp_path / 's'}"
        client = connect(address, timeout=5)
        server = SocketRelay(listener.accept()[0])
        client.send(Frame(b"hello"))
        assert server.receive() == Frame(b"hello")
        client.close()
        assert server.receive() is None
        server.close()


@pytest.mark.parametrize("address", ["", "tcp://", "tcp://host", "tcp://h:99999", "http://h:1", "unix://", "stdin"])
def test_an_address_of_no_known_kind_says_what_is_accepted(address: str) -> None:
    with pytest.raises(ConfigurationError, match="tcp://host:port"):
        connect(address)


def test_nobody_listening_is_a_relay_error(tmp_path: Path) -> None:
    with pytest.raises(RelayError, match="cannot connect"):
        connect(f"unix://{tmp_path / 'nobody'}")


def test_an_answer_that_does_not_come_in_time_is_a_relay_error() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0.05)
    relay = SocketRelay(ours)
    with pytest.raises(RelayError, match="timed out"):
        relay.receive()
    relay.close()
    theirs.close()


def test_output_of_user_code_never_reaches_the_wire() -> None:
    """print(), C-level writes to fd 1, programs that are started, and input() touch neither frames nor requests."""
    code = (
        "import os, subprocess, sys\n"
        "from rr_tcp.relay import PipeRelay\n"
        "from rr_tcp.frame import Frame\n"
        "relay = PipeRelay.from_stdio()\n"
        "print('printed')\n"
        "os.write(1, b'written\\n')\n"
        "subprocess.run(['echo', 'from a program'])\n"
        "assert sys.stdin.read() == ''\n"
        "relay.send(relay.receive())\n"
    )
    frame = Frame(b"untouched", options=(2,))
    done = subprocess.run([sys.executable, "-c", code], input=frame.encode(), capture_output=True, check=True)
    assert done.stdout == frame.encode()
    assert done.stderr.split(b"\n") == [b"printed", b"written", b"from a program", b""]
