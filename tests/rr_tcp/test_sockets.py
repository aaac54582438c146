"""The sockets that Linux lists: our own, as they are."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rr_tcp.sockets import listens, open_connections
from rr_tcp.testing import free_ports
from tests.support.waiting import wait_until


def test_connections_are_counted_at_their_servers_end_until_the_client_ends_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert open_connections([port])[port] == 0
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            assert open_connections([port])[port] == 1
            client.shutdown(socket.SHUT_WR)
            wait_until(lambda: open_connections([port])[port] == 0)
            accepted.close()


def test_a_server_listens_from_its_listen_on_and_no_other_process_in_its_place() -> None:
    (port,) = free_ports(1)
    assert not listens(os.getpid(), [port])
    with socket.create_server(("127.0.0.1", port)):
        assert listens(os.getpid(), [port])
        command = [sys.executable, "-c", "input()"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, close_fds=True) as other:
            assert not listens(other.pid, [port])
            other.communicate(b"\n")


def test_a_system_without_such_lists_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="on Linux only"):
        open_connections([1], tmp_path)
