"""Smarthosts to relay to: a stock aiosmtpd that answers as a test tells it to, and a server that follows a script."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from rr_tcp.testing import free_ports
from services.smtp.forward.notification import Reporter
from services.smtp.forward.relay import Relay
from services.smtp.forward.smarthost import Connections, Security, Smarthost

OK: Final = "250 2.0.0 OK"
HOSTNAME: Final = "mx.test"


@dataclass
class Taken:
    """A mail that the smarthost took."""

    mail_from: str
    rcpt_tos: list[str]
    mail_options: list[str]
    text: bytes


@dataclass
class Sink:
    """aiosmtpd's hooks. What a test puts into the attributes is what clients are answered.

    Attributes:
        mail_replies: the next replies to MAIL; "" ends the connection.
        rcpt_replies: the next replies to RCPT, by address.
        data_replies: the next replies at the end of the text; "" ends the connection.
        hold: waited for before a text is answered.
        extensions: of EHLO's lines; None for aiosmtpd's own.
        taken: the mails, in order.
        sessions: how many there were.
    """

    mail_replies: list[str] = field(default_factory=list)
    rcpt_replies: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    data_replies: list[str] = field(default_factory=list)
    hold: Callable[[], object] = lambda: None
    extensions: list[str] | None = None
    taken: list[Taken] = field(default_factory=list)
    sessions: int = 0
    port: int = 0

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        del server, envelope
        session.host_name = hostname
        self.sessions += 1
        if self.extensions is None:
            return responses
        return ["250-sink", *(f"250-{line}" for line in self.extensions), "250 HELP"]

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Any, envelope: Any, address: str, mail_options: list[str]
    ) -> str:
        del session
        reply = self.mail_replies.pop(0) if self.mail_replies else OK
        if not reply:
            _end(server)
        if reply.startswith("2"):
            envelope.mail_from = address
            envelope.mail_options.extend(mail_options)
        return reply or OK

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Any, envelope: Any, address: str, rcpt_options: list[str]
    ) -> str:
        del server, session, rcpt_options
        replies = self.rcpt_replies[address]
        reply = replies.pop(0) if replies else OK
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        del session
        assert server.loop is not None
        await server.loop.run_in_executor(None, self.hold)
        reply = self.data_replies.pop(0) if self.data_replies else OK
        if not reply:
            _end(server)
        elif reply.startswith("2"):
            self.taken.append(
                Taken(envelope.mail_from, list(envelope.rcpt_tos), list(envelope.mail_options), envelope.content)
            )
        return reply or OK

    @property
    def deliveries(self) -> Counter[str]:
        """How often each recipient got something."""
        return Counter(address for mail in self.taken for address in mail.rcpt_tos)

    @property
    def texts(self) -> list[bytes]:
        return [mail.text for mail in self.taken]


def _end(server: SMTP) -> None:
    assert isinstance(server.transport, asyncio.Transport)
    server.transport.abort()


@contextlib.contextmanager
def running_sink(**controller: Any) -> Iterator[Sink]:
    """A stock aiosmtpd on 127.0.0.1 for the time of the block."""
    sink = Sink()
    [sink.port] = free_ports(1)
    server = Controller(
        sink, hostname="127.0.0.1", port=sink.port, server_hostname="sink.test", enable_SMTPUTF8=True, **controller
    )
    server.start()
    try:
        yield sink
    finally:
        server.stop()


def relay_to(
    port: int,
    *,
    timeout: float = 20.0,
    security: Security = "none",
    user: str = "",
    password: str = "",
    tls: ssl.SSLContext | None = None,
) -> Relay:
    """A relay to a smarthost on 127.0.0.1."""
    host = Smarthost("127.0.0.1", port, security, user, password)
    connections = Connections(host, hostname=HOSTNAME, timeout=timeout, tls=tls)
    return Relay(connections, reporter=Reporter(HOSTNAME, "sink.test"), timeout=timeout)


def check_password(expected: bytes) -> Callable[..., AuthResult]:
    """An `authenticator` of aiosmtpd for one password."""

    def authenticate(_server: SMTP, _session: Any, _envelope: Any, _mechanism: str, login: Any) -> AuthResult:
        return AuthResult(success=login.password == expected, handled=False)

    return authenticate


@contextlib.contextmanager
def scripted(*sessions: Sequence[bytes], after: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers each packet of a client by the next line of a script, and then closes.

    Args:
        sessions: the answers of each connection, the greeting first; in an answer, `...` alone reads on silently.
        after: sent before it closes.

    Yields:
        The port, and what came, packet by packet.
    """
    came: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_follow, args=(server, sessions, after, came))
        thread.start()
        try:
            yield server.getsockname()[1], came
        finally:
            thread.join(20)
            assert not thread.is_alive(), f"the script was not followed to its end: {came}"


def _follow(server: socket.socket, sessions: Sequence[Sequence[bytes]], after: bytes, came: list[bytes]) -> None:
    server.settimeout(20)
    for answers in sessions:
        client, _ = server.accept()
        with client:
            client.settimeout(20)
            for number, answer in enumerate(answers):
                if number:
                    came.append(client.recv(65536))
                client.sendall(answer)
            client.sendall(after)
