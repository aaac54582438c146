"""How much a client may ask of the service. Each limit has its reason; `SmtpSettings` can replace each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

COMMAND_LINE: Final = 512
"""Bytes of a command line with its CRLF (RFC 5321 4.5.3.1.4)."""

COMMAND_LINES: Final[Mapping[bytes, int]] = {
    b"MAIL": COMMAND_LINE
    + 26  # SIZE (RFC 1870 section 3)
    + 17  # BODY (RFC 6152 section 2)
    + 10  # SMTPUTF8 (RFC 6531 section 3.1)
    + len(" RET=FULL")
    + 1
    + 100,  # RET and the longest ENVID (RFC 3461 sections 4.3 and 4.4)
    b"RCPT": COMMAND_LINE
    + len(" NOTIFY=SUCCESS,FAILURE,DELAY")
    + 1
    + 500,  # and the longest ORCPT (RFC 3461 sections 4.1 and 4.2)
    b"VRFY": COMMAND_LINE + 10,  # SMTPUTF8 (RFC 6531 section 3.1 has it for MAIL, and VRFY takes it too)
}
"""Bytes of the command lines that extensions make longer than `COMMAND_LINE`, by verb."""

LONGEST_COMMAND_LINE: Final = max(COMMAND_LINES.values())
"""Bytes that no command line is longer than."""


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


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that are policy rather than grammar.

    Attributes:
        message: bytes of one mail, as announced by SIZE. 10 MiB is what common providers accepted for decades, and a
            mail has to fit into a worker's memory once.
        text_line: bytes of one line of a mail with its CRLF, without the dot of transparency (RFC 5321 4.5.3.1.6).
        recipients: accepted per mail; the next one is told to come in another mail (452). RFC 5321 4.5.3.1.8 asks for
            100 at least.
        bad_commands: commands of one session that are unknown, malformed or out of sequence; with the last one the
            session ends (421). A person at a terminal errs less, a client that talks another protocol more.
        messages: mails of one session; the next MAIL ends it (421). A client with more connects again, and nobody fills
            the disk over one connection without being seen in the log.
        messages_at_once: mails that end in one event; the next one ends the session (421). A client that waits for the
            354 of each mail, as RFC 2920 section 3.1 demands, ends one per event. Each is flushed to the disk, and
            meanwhile the worker serves nobody else.
    """

    message: int = 10 * 1024 * 1024
    text_line: int = 1000
    recipients: int = 100
    bad_commands: int = 20
    messages: int = 1000
    messages_at_once: int = 20
