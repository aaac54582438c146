"""Health probes that speak the protocol: RoadRunner's TCP plugin has no health of its own (v5.1.9)."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol, Self

from rr_tcp.errors import ProbeError

if TYPE_CHECKING:
    import ssl  # which takes longer to load than a probe without it does to run

_MAX_LINE: Final = 64 * 1024


def probe_smtp(host: str, port: int, *, timeout: float = 3.0, tls: ssl.SSLContext | None = None) -> None:
    """An SMTP server greets with 220 and answers QUIT with 221 (RFC 5321 4.3.1).

    Args:
        host: where it listens.
        port: where it listens.
        timeout: seconds for each step.
        tls: how to speak TLS, from the first byte; without TLS when None.
    """
    with _Client(host, port, timeout, tls) as client:
        client.expect_reply(b"220")
        client.send(b"QUIT\r\n")
        client.expect_reply(b"221")


def probe_line(host: str, port: int, *, timeout: float = 3.0, tls: ssl.SSLContext | None = None) -> None:
    """A line service answers a line with a line.

    Args:
        host: where it listens.
        port: where it listens.
        timeout: seconds for each step.
        tls: how to speak TLS, from the first byte; without TLS when None.
    """
    with _Client(host, port, timeout, tls) as client:
        client.send(b"probe\n")
        client.read_line()


def probe_connect(host: str, port: int, *, timeout: float = 3.0, tls: ssl.SSLContext | None = None) -> None:
    """Somebody accepts connections. Says nothing of the workers: RoadRunner accepts before it asks one.

    Args:
        host: where it listens.
        port: where it listens.
        timeout: seconds.
        tls: how to speak TLS, from the first byte; without TLS when None.
    """
    with _Client(host, port, timeout, tls):
        pass


class Probe(Protocol):
    """Returns when a service answers, and raises `ProbeError` when it does not."""

    def __call__(  # noqa: D102 - as the class
        self, host: str, port: int, *, timeout: float = 3.0, tls: ssl.SSLContext | None = None
    ) -> None: ...


PROBES: Final[Mapping[str, Probe]] = {"connect": probe_connect, "smtp": probe_smtp, "line": probe_line}
"""The probes by protocol name."""


class _Client:
    """A blocking client of one probe."""

    def __init__(self, host: str, port: int, timeout: float, tls: ssl.SSLContext | None) -> None:
        try:
            self._socket = socket.create_connection((host, port), timeout)
        except OSError as error:
            raise ProbeError(f"cannot connect to {host}:{port}: {error}") from error
        if tls is not None:
            self._secure(tls, host)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()
        self._socket.close()

    def _secure(self, tls: ssl.SSLContext, host: str) -> None:
        try:
            secure = tls.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            self._socket.close()
            raise ProbeError(f"no TLS: {error}") from error
        self._socket = secure
        try:
            secure.do_handshake()
        except OSError as error:
            secure.close()
            raise ProbeError(f"no TLS: {error}") from error

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise ProbeError(f"cannot send: {error}") from error

    def read_line(self) -> bytes:
        try:
            line = self._file.readline(_MAX_LINE)
        except OSError as error:
            raise ProbeError(f"no answer: {error}") from error
        if not line.endswith(b"\n"):
            raise ProbeError("the connection was closed without an answer" if not line else "the answer is no line")
        return line

    def expect_reply(self, code: bytes) -> None:
        while (line := self.read_line())[:4] == code + b"-":
            pass
        if line[:3] != code:
            raise ProbeError(f"expected a reply {code.decode()}, got {line[:80]!r}")
