"""A stream is cut where a case says, and nowhere else."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from tests.e2e.targets import Address
from tests.faults.cuts import CutClient, converse, cut_at, cut_in, each, told
from tests.faults.fault import Surroundings
from tests.faults.unread import unread
from tests.support.waiting import wait_until


def test_the_kernel_tells_what_is_not_read_yet() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            own = client.getsockname()[1]
            server, _ = listener.accept()
            with server:
                assert unread(port, own) == 0
                client.sendall(b"seven.\n")
                wait_until(lambda: unread(port, own) == 7, "the bytes")
                server.recv(3)
                assert unread(port, own) == 4
                server.recv(4)
                assert unread(port, own) == 0
            assert unread(port, own) == 0, "it is closed"


def test_each_piece_is_a_read_of_its_own() -> None:
    pieces, reads = [b"a", b"b\r", b"\n", b"c" * 1000], list[bytes]()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while read := connection.recv(4096):
                reads.append(read)
                if sum(map(len, reads)) == sum(map(len, pieces)):
                    connection.sendall(b"done\r\n")
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve)
        server.start()
        assert converse(Address("127.0.0.1", listener.getsockname()[1]), pieces) == b"done\r\n"
        server.join()
    assert reads == pieces


def test_a_server_that_does_not_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.faults.cuts.READ_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = CutClient(Address("127.0.0.1", listener.getsockname()[1]))
        server, _ = listener.accept()
        with server, client, pytest.raises(TimeoutError, match="has not read"):
            client.send_apart([b"a", b"b"])


def test_cutting() -> None:
    assert cut_at(b"abc", 1) == [b"a", b"bc"]
    assert cut_in(b"abcde", 2) == [b"ab", b"cd", b"e"]


def test_what_differs_between_connections_is_left_out() -> None:
    replies = b"250 2.0.0 OK, stored as 0123456789abcdef0123456789abcdef\r\n250 c00017\r\n"
    assert told(replies, b"c00017") == b"250 2.0.0 OK, stored as ID\r\n250 NAME\r\n"


def test_work_is_done_in_order(tmp_path: Path) -> None:
    assert list(each(lambda number: number * 2, range(5), 3, "", Surroundings(tmp_path, 1, "", 60.0))) == [
        0,
        2,
        4,
        6,
        8,
    ]
