"""What a client sees of an SMTP server, and what is known of one between two lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from services.smtp import MailInfo


class WireReply(NamedTuple):
    """One reply.

    Attributes:
        code: its three digits.
        lines: all its lines as they came, without line ends.
    """

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The last line without the code."""
        return self.lines[-1][4:]


def parse_replies(data: bytes) -> list[WireReply]:
    """The replies in `data`.

    Raises:
        ValueError: that are no SMTP replies.
    """
    replies: list[WireReply] = []
    lines: list[str] = []
    *complete, rest = data.decode("utf-8", "backslashreplace").split("\r\n")
    for line in complete:
        if not (line[:3].isdecimal() and line[3:4] in {"", " ", "-"}):
            raise ValueError(f"this is no reply line: {line!r}")
        lines.append(line)
        if line[3:4] != "-":
            replies.append(WireReply(int(line[:3]), tuple(lines)))
            lines = []
    if rest or lines:
        raise ValueError(f"this reply is not over: {rest or lines!r}")
    return replies


def codes_of(replies: list[WireReply]) -> list[int]:
    """Their codes in order."""
    return [reply.code for reply in replies]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far a session is, as both servers know it.

    Attributes:
        host_name: how the client calls itself, "" before HELO and EHLO.
        extended: whether the last one of these was EHLO.
        mail_from: the sender of the mail under way, "" for the null sender, None for no mail.
        rcpt_tos: its recipients.
        in_text: whether the next line is text.
        skip: bytes still to come that will not be taken for commands.
        in_auth: whether the next line is the response to a challenge.
        authenticated: whether the client has authenticated.
        kept: what the handler keeps on the session, and on the envelope.
        closed: whether the server ended the connection.
    """

    host_name: str = ""
    extended: bool = False
    mail_from: str | None = None
    rcpt_tos: tuple[str, ...] = ()
    in_text: bool = False
    skip: int = 0
    in_auth: bool = False
    authenticated: bool = False
    kept: tuple[tuple[str, ...], int] = ((), 0)
    closed: bool = False


class ReceivedMail(NamedTuple):
    """A mail that a server acknowledged.

    Attributes:
        mail_from: "" for the null sender.
        rcpt_tos: in order.
        mail_options: in order.
        rcpt_options: of each recipient, as `MailEnvelope.rcpt_options`; aiosmtpd takes none.
        content: the text, dots undone.
    """

    mail_from: str
    rcpt_tos: tuple[str, ...]
    mail_options: tuple[str, ...]
    rcpt_options: tuple[str, ...]
    content: bytes

    @classmethod
    def of(cls, info: MailInfo, content: bytes) -> ReceivedMail:
        """One of our mail store."""
        return cls(info.mail_from, info.rcpt_tos, info.mail_options, info.rcpt_options, content)


class HookNote(NamedTuple):
    """One call of a hook as the handler saw it.

    Attributes:
        hook: its name.
        arguments: what it got after server, session and envelope.
        session: what it saw of the session.
        envelope: what it saw of the envelope.
    """

    hook: str
    arguments: tuple[object, ...]
    session: tuple[object, ...]
    envelope: tuple[object, ...]
