"""Clients that speak in raw bytes, so that a test decides what is sent in which piece."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from typing import Any, Self

from tests.e2e.targets import Address

TIMEOUT = 30.0  # seconds for any one answer, on a slow machine under load


class RawClient:
    """A TCP client whose every `send` is a segment of its own where the kernel lets it be one."""

    def __init__(self, address: Address) -> None:
        self._socket = socket.create_connection((address.host, address.port), TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._socket.sendall(piece)

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def line(self) -> bytes:
        """The next line, empty at the end of the connection."""
        return self._file.readline()

    def rest(self) -> bytes:
        """Everything until the server closes."""
        return self._file.read()

    def reply(self) -> bytes:
        """One SMTP reply, all its lines."""
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
        return b"".join(lines)

    def command(self, line: bytes) -> bytes:
        """The SMTP reply to one command."""
        self.send(line + b"\r\n")
        return self.reply()


def echo_lines(client: RawClient, lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """The answers to lines that are sent one after the other."""
    answers = []
    for line in lines:
        client.send(line + b"\n")
        answers.append(json.loads(client.line()))
    return answers


def dot_stuffed(content: bytes) -> bytes:
    """A message as it travels after DATA: dots doubled at the start of a line, a dot at its end (RFC 5321 4.5.2)."""
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    if stuffed and not stuffed.endswith(b"\r\n"):
        raise ValueError("a message ends in CRLF, or is empty")
    return stuffed + b".\r\n"
