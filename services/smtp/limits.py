"""How much a client may ask of the service. Each limit has its reason; `SmtpSettings` can replace each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

COMMAND_LINE: Final = 512
"""Bytes of a command line with its CRLF (RFC 5321 4.5.3.1.4)."""

ENVID: Final = 100
"""Bytes of the parameter ENVID with its keyword (RFC 3461 section 4.4)."""

ORCPT: Final = 500
"""Bytes of the parameter ORCPT with its keyword (RFC 3461 section 4.2)."""

AUTH_PARAMETER: Final = 500
"""Bytes by which the parameter AUTH makes MAIL longer (RFC 4954 section 3)."""

AUTH_LINE: Final = 12288
"""Bytes of a response to a challenge with its CRLF (RFC 4954 section 4). AUTH itself, which may carry the first one,
may be as long: the RFC asks clients to keep to `COMMAND_LINE`, and those with long passwords do not."""

COMMAND_LINES: Final[Mapping[bytes, int]] = {
    b"MAIL": COMMAND_LINE + 26 + 17 + 10 + len(" RET=FULL ") + ENVID + AUTH_PARAMETER,
    b"RCPT": COMMAND_LINE + len(" NOTIFY=SUCCESS,FAILURE,DELAY ") + ORCPT,
    b"AUTH": AUTH_LINE,
    b"VRFY": COMMAND_LINE + 10,
}
"""Bytes of the command lines that extensions make longer than `COMMAND_LINE` (RFC 5321 4.5.3.1.4), by verb: 26 for SIZE
(RFC 1870 section 3), 17 for BODY (RFC 6152 section 2), 10 for SMTPUTF8 (RFC 6531 section 3.1, which VRFY takes too).
RFC 3461 names no sum; it is that of its parameters at their longest."""


def command_line_limit(line: bytes) -> int:
    """Bytes that a command line may have with its CRLF."""
    return COMMAND_LINES.get(line[:4].upper(), COMMAND_LINE)


REPLY_LINE: Final = 512
"""Bytes of a reply line with its CRLF (RFC 5321 4.5.3.1.5)."""

LOCAL_PART: Final = 64
"""Bytes of what stands before the @ (RFC 5321 4.5.3.1.1)."""

DOMAIN: Final = 255
"""Bytes of a domain (RFC 5321 4.5.3.1.2)."""

PATH: Final = 256
"""Bytes of a path with its angle brackets and source route (RFC 5321 4.5.3.1.3)."""

LARGEST_MESSAGE: Final = 128 * 1024 * 1024
"""What SMTP_MAX_SIZE cannot be above. RoadRunner may hand over a whole mail, and what follows it, as one event, and a
worker ends at one of 256 MiB (`rr_tcp.frame.MAX_PAYLOAD`): such a mail would never get its answer."""

LARGEST_ANNOUNCED: Final = 999_999
"""What a limit that LIMITS announces cannot be above: six digits (RFC 9422 section 4)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that are policy rather than grammar.

    Attributes:
        message: bytes of one mail, as announced by SIZE. 10 MiB is what common providers accepted for decades, and a
            mail has to fit into a worker's memory once.
        text_line: bytes of one line of a mail with its CRLF, without the dot of transparency (RFC 5321 4.5.3.1.6).
        recipients: accepted per mail; the next one is told to come in another mail (452). RFC 5321 4.5.3.1.8 asks for
            100 at least, RFC 9422 section 4.2 for six digits at most.
        bad_commands: commands of one session that are unknown, malformed or out of sequence, and addresses that are
            refused for good (5xx); with the last one the session ends (421). A person at a terminal errs less, a client
            that talks another protocol more.
        auth_failures: attempts of one session to authenticate that failed; with the last one the session ends (421). A
            person mistypes a password, a program that guesses many is slowed down to a connection per this number.
        mails: MAIL commands of one session, refused ones too; the next one ends it (421). A client with more connects
            again, and nobody fills the disk over one connection without being seen in the log. Announced, so six
            digits at most (RFC 9422 section 4.1), as `recipients`.
        messages_at_once: mails that end in one event; the next one ends the session (421). A client that waits for the
            354 of each mail, as RFC 2920 section 3.1 demands, ends one per event. Each is flushed to the disk, and
            meanwhile the worker serves nobody else.
        commands_at_once: replies to one event, beside those to the recipients of a mail; more end the session (421). A
            client that pipelines waits after DATA for the reply. One that never reads can send millions of commands as
            one event, and the worker would be killed for the time that they take.
    """

    message: int = 10 * 1024 * 1024
    text_line: int = 1000
    recipients: int = 100
    bad_commands: int = 20
    auth_failures: int = 3
    mails: int = 1000
    messages_at_once: int = 20
    commands_at_once: int = 10_000
