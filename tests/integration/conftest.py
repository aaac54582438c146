"""The real server with a given App, on free ports."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rr_tcp.probe import probe_connect
from rr_tcp.testing import ServedApp

pytest_plugins = ["rr_tcp.testing.fixtures"]

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 20.0  # seconds for any one answer, on a slow machine under load

ServeApp = Callable[..., ServedApp]


def connect(port: int) -> socket.socket:
    """A client's connection."""
    return socket.create_connection(("127.0.0.1", port), TIMEOUT)


def receive_all(sock: socket.socket) -> bytes:
    """Everything until the server closes."""
    received = b""
    while data := sock.recv(65536):
        received += data
    return received


def accepts(port: int) -> Callable[[], None]:
    """A probe that passes when somebody accepts connections on the port."""
    return partial(probe_connect, "127.0.0.1", port)


def process_exists(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
