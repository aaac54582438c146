"""The lines that say where a mail came from and went through (RFC 5321 4.4). They are added when a mail goes out.

The mail store keeps a text as it came, byte for byte: so that it can be compared with what was sent, and because what a
line says may depend on who gets it.
"""

from __future__ import annotations

import email.utils
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from services.smtp.mailstore import MailInfo

_PEER: Final = re.compile(r"\[?(?P<address>[^\]]*)\]?:\d+")


def protocol_name(*, extended: bool, authenticated: bool = False, tls: bool = False, utf8: bool = False) -> str:
    """How a mail came, as the clause `with` has it (RFC 3848; RFC 6531 section 4.3 with SMTPUTF8).

    Args:
        extended: the client said EHLO.
        authenticated: it gave valid credentials.
        tls: the connection is encrypted.
        utf8: the mail was sent with SMTPUTF8.
    """
    if not extended:
        return "SMTP"
    return ("UTF8SMTP" if utf8 else "ESMTP") + ("S" if tls else "") + ("A" if authenticated else "")


def received(info: MailInfo, *, by: str) -> bytes:
    """The line `Received:`, which everybody who hands a mail on puts at its top.

    Args:
        info: the mail. The clause `for` is there if it has one recipient: of several, each would learn of the others
            (RFC 5321 7.2).
        by: the host name of the server that received it.
    """
    peer = _PEER.fullmatch(info.peer)
    address = peer["address"] if peer else ""
    literal = f"[IPv6:{address}]" if ":" in address else f"[{address}]"
    name = info.helo or literal
    lines = [f"from {name} ({literal})" if address else f"from {name}", f"by {by} with {info.protocol} id {info.id}"]
    if len(info.rcpt_tos) == 1:
        lines.append(f"for <{info.rcpt_tos[0]}>")
    date = email.utils.format_datetime(info.received_at)
    return ("Received: " + "\r\n\t".join(lines) + f";\r\n\t{date}\r\n").encode()


def return_path(info: MailInfo) -> bytes:
    """The line `Return-Path:` with the envelope's sender, on top of all: of a mail that has arrived, not on its way."""
    return f"Return-Path: <{info.mail_from}>\r\n".encode()
