"""A probe passes when a service answers as a healthy one does, and says what it saw when not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from rr_tcp.errors import ProbeError
from rr_tcp.probe import Probe, probe_connect, probe_line, probe_smtp

Conversation = Callable[[socket.socket], None]
Server = Callable[[Conversation], int]


@pytest.fixture
def server() -> Iterator[Server]:
    """Lets a function talk to one client; gives the port."""
    with ExitStack() as stack:

        def start(talk: Conversation) -> int:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def answer() -> None:
                client, _ = listener.accept()
                with client:
                    talk(client)

            thread = threading.Thread(target=answer)
            thread.start()
            stack.callback(thread.join)
            port: int = listener.getsockname()[1]
            return port

        yield start


def says(*pieces: bytes) -> Conversation:
    """Sends one piece at the start, and one for each that it is sent; then closes."""

    def talk(client: socket.socket) -> None:
        first, *others = pieces
        client.sendall(first)
        for piece in others:
            client.recv(100)
            client.sendall(piece)

    return talk


def silent(client: socket.socket) -> None:
    while client.recv(100):
        pass


def closes(client: socket.socket) -> None:
    """Without an answer, in order: what came is read."""
    client.recv(100)


def test_an_smtp_server_greets_and_says_goodbye(server: Server) -> None:
    probe_smtp("127.0.0.1", server(says(b"220 ready\r\n", b"221 bye\r\n")))


def test_an_smtp_greeting_may_have_many_lines(server: Server) -> None:
    probe_smtp("127.0.0.1", server(says(b"220-first\r\n220 second\r\n", b"221 bye\r\n")))


def test_a_line_service_answers_a_line(server: Server) -> None:
    probe_line("127.0.0.1", server(says(b"", b"anything\n")))


def test_whoever_accepts_is_connected_to(server: Server) -> None:
    probe_connect("127.0.0.1", server(silent))


@pytest.mark.parametrize(
    ("probe", "conversation", "message"),
    [
        (probe_smtp, says(b"554 no\r\n"), "expected a reply 220, got b'554 no"),
        (probe_smtp, says(b"220 ready\r\n", b"502 what\r\n"), "expected a reply 221, got b'502 what"),
        (probe_smtp, says(b"220 ready\r\n", b""), "closed without an answer"),
        (probe_line, closes, "closed without an answer"),
        (probe_line, says(b"", b"no end"), "the answer is no line"),
        (probe_line, silent, "no answer: timed out"),
        (probe_smtp, silent, "no answer: timed out"),
    ],
)
def test_anything_else_is_said(server: Server, probe: Probe, conversation: Conversation, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        probe("127.0.0.1", server(conversation), timeout=0.5)


def test_a_port_where_nobody_listens_is_said() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        with pytest.raises(ProbeError, match=f"cannot connect to 127.0.0.1:{port}"):
            probe_connect("127.0.0.1", port)
