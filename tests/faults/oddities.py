"""What clients do that no mail program should: each a connection, and the codes of the replies that it must get."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.e2e.clients import RawClient, dot_stuffed
from tests.e2e.targets import Address
from tests.faults.dialogues import make_attempt
from tests.faults.ledger import Attempt

MANY_RECIPIENTS: Final = 10_000
RECIPIENTS: Final = 100
"""Recipients of one mail, the default of SMTP_MAX_RECIPIENTS."""

AT_ONCE: Final = 500
"""Commands that the client with many recipients sends before it reads the replies."""

_BEGIN: Final = b"EHLO c\r\nMAIL FROM:<odd@example.test>\r\nRCPT TO:<b@example.test>\r\n"
_BEGUN: Final = ("220", "250", "250", "250")


@dataclass(frozen=True, slots=True)
class Oddity:
    """A connection that sends something and waits for the end.

    Attributes:
        name: what it is.
        data: what is sent.
        codes: of all replies, the greeting's first, until the server ends the connection.
        half_closes: whether the client says that it sends no more, and goes on to read.
    """

    name: str
    data: bytes
    codes: Sequence[str]
    half_closes: bool = False


def client_hello() -> bytes:
    """What a TLS client sends first. A LF at its end is what makes RoadRunner hand it over."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="example.test")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read() + b"\n"


ODDITIES: Final[Sequence[Oddity]] = (
    Oddity("half-close after QUIT", b"EHLO c\r\nQUIT\r\n", ("220", "250", "221"), half_closes=True),
    Oddity("half-close in a command", b"EHLO c\r\nNOOP", ("220", "250"), half_closes=True),
    Oddity("half-close in a text", _BEGIN + b"DATA\r\nabc\r\nde", (*_BEGUN, "354"), half_closes=True),
    Oddity("TLS", client_hello(), ("220", "421")),
    Oddity("HTTP", b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n", ("220", "421")),
    Oddity("HTTP with a mail in it", b"POST / HTTP/1.1\r\n\r\n" + _BEGIN + b"DATA\r\nx\r\n.\r\n", ("220", "421")),
    Oddity("NUL in a command", b"NO\0OP\r\nQUIT\r\n", ("220", "500", "221")),
    Oddity("nothing but NULs", bytes(1000) + b"\r\nQUIT\r\n", ("220", "500", "221")),
    Oddity("NUL in a text", _BEGIN + b"DATA\r\na\0b\r\n.\r\nQUIT\r\n", (*_BEGUN, "354", "554", "221")),
)


def have(address: Address, oddity: Oddity) -> list[str]:
    """Has the connection; the codes of the replies that came."""
    with RawClient(address) as client:
        client.send(oddity.data)
        if oddity.half_closes:
            client.half_close()
        replies = client.rest().splitlines()
    return [reply[:3].decode() for reply in replies if reply[3:4] != b"-"]


def reset(address: Address, name: str, random: Random) -> Attempt:
    """Sends a mail, or a part of it, and then resets the connection (RST) instead of closing it."""
    text = random.randbytes(300).hex().encode() + b"\r\n"
    attempt = make_attempt(random, f"{name}@example.test", text)
    recipients = b"".join(b"RCPT TO:<%s>\r\n" % to.encode() for to in attempt.rcpt_tos)
    whole = b"EHLO c\r\nMAIL FROM:<%s>\r\n%sDATA\r\n" % (attempt.mail_from.encode(), recipients) + dot_stuffed(text)
    cut = len(whole) if random.random() < 0.3 else random.randrange(len(whole))
    with socket.create_connection((address.host, address.port), 30) as client:
        client.recv(1000)
        attempt.sent = cut == len(whole)
        client.sendall(whole[:cut])
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return attempt


def with_many_recipients(address: Address, name: str) -> tuple[Attempt, list[str]]:
    """A mail to far too many; what is wrong with the replies."""
    text = b"to everybody\r\n"
    attempt = make_attempt(Random(name), f"{name}@example.test", text)  # noqa: S311 - recipients are given below
    attempt.rcpt_tos = tuple(f"r{number}.{name}@example.test" for number in range(MANY_RECIPIENTS))
    with RawClient(address) as client:
        client.reply()
        client.command(b"EHLO c")
        client.command(b"MAIL FROM:<%s>" % attempt.mail_from.encode())
        codes = []
        for start in range(0, MANY_RECIPIENTS, AT_ONCE):
            some = attempt.rcpt_tos[start : start + AT_ONCE]
            client.send(b"".join(b"RCPT TO:<%s>\r\n" % to.encode() for to in some))
            codes += [client.reply()[:3].decode() for _ in some]
        client.command(b"DATA")
        attempt.sent = True
        client.send(dot_stuffed(text))
        attempt.reply = client.reply()
    attempt.rcpt_tos = attempt.rcpt_tos[:RECIPIENTS]
    right = ["250"] * RECIPIENTS + ["452"] * (MANY_RECIPIENTS - RECIPIENTS)
    return attempt, [] if codes == right else [f"{sum(map(str.__ne__, codes, right))} recipients answered wrongly"]
