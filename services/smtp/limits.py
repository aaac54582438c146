"""How much a client may ask of the service. Each limit has its reason; `SmtpSettings` can replace each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

COMMAND_LINE: Final = 512
"""Bytes of a command line with its CRLF (RFC 5321 4.5.3.1.4)."""

MAIL_COMMAND_LINE: Final = COMMAND_LINE + 26 + 17
"""Bytes of a MAIL command, which SIZE (RFC 1870 section 3) and 8BITMIME (RFC 6152 section 2) make longer."""

REPLY_LINE: Final = 512
"""Bytes of a reply line with its CRLF (RFC 5321 4.5.3.1.5)."""

LOCAL_PART: Final = 64
"""Bytes of what stands before the @ (RFC 5321 4.5.3.1.1)."""

DOMAIN: Final = 255
"""Bytes of a domain (RFC 5321 4.5.3.1.2)."""

PATH: Final = 256
"""Bytes of a path with its angle brackets and source route (RFC 5321 4.5.3.1.3)."""

LARGEST_MESSAGE: Final = 1_000_000_000 - 4 * 1024 * 1024
"""Bytes of a mail that the mail store can keep: SQLite's longest row (SQLITE_MAX_LENGTH), less the envelope, which is
never larger than a session's state. `Limits.message` must not be above it."""


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
