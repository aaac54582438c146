"""Every reply of the service, in one place (RFC 5321 4.2, enhanced status codes of RFC 3463 and RFC 2034)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from services.smtp.errors import HandlerFaultError
from services.smtp.limits import REPLY_LINE

_REPLY_LINE = re.compile(r"([245][0-5][0-9])(?:([ -])([\t\x20-\x7e]*))?")
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?: |$)")


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply, of one or many lines.

    Attributes:
        code: the three digits.
        lines: the text of each line, with its enhanced status code where the reply has one; at least one line.
    """

    code: int
    lines: tuple[str, ...]
    _encoded: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.lines) == 1:  # nearly all of them
            text = f"{self.code} {self.lines[0]}\r\n"
        else:
            text = "".join(f"{line}\r\n" for line in self.wire_lines())
        object.__setattr__(self, "_encoded", text.encode("ascii"))  # once: most are constants that are sent often

    @classmethod
    def of(cls, code: int, status: str, *lines: str) -> Reply:
        """A reply whose lines all begin with an enhanced status code (RFC 2034 section 4)."""
        return cls(code, tuple(f"{status} {line}" for line in lines))

    @classmethod
    def parse(cls, line: object) -> Reply:
        """A hook's reply, e.g. `"550 5.1.1 No such user"`.

        Raises:
            HandlerFaultError: it is no single reply line of printable ASCII with a code of 2xx, 4xx or 5xx. Line ends
                are refused above all: they would be replies to commands that the client has not sent yet. 3xx would
                make the client send what is no command, and none of the hooks is asked at such a place.
        """
        return cls.parse_lines([line])

    @classmethod
    def parse_lines(cls, lines: object) -> Reply:
        """A hook's reply of many lines, e.g. `["250-mx.example", "250 HELP"]`; raises as `parse`."""
        if not isinstance(lines, list) or not lines:
            raise HandlerFaultError(f"a hook must return reply lines, e.g. '250 OK', not {lines!r:.100}")
        parsed = [_parse_line(line) for line in lines]
        codes = {code for code, _, _ in parsed}
        separators = [separator for _, separator, _ in parsed]
        if len(codes) != 1 or "-" in separators[-1:] or any(separator != "-" for separator in separators[:-1]):
            raise HandlerFaultError(
                f"the lines of one reply must have one code, and all but the last a hyphen after it: {lines!r:.200}"
            )
        return cls(codes.pop(), tuple(text for _, _, text in parsed))

    @property
    def positive(self) -> bool:
        """Whether the command was carried out."""
        return 200 <= self.code < 300

    @property
    def refuses(self) -> bool:
        """Whether it says that something was not done: 4xx for now, 5xx for good (RFC 5321 4.2.1)."""
        return self.code >= 400

    @property
    def permanent(self) -> bool:
        """Whether what it refuses need not be tried again: 5xx."""
        return self.code >= 500

    def with_status(self) -> Reply:
        """A hook's reply with an enhanced status code: its own, or `x.0.0`.

        ENHANCEDSTATUSCODES promises one, of the reply's class (RFC 2034 section 4).

        Raises:
            HandlerFaultError: a line gets too long by it.
        """
        kind = str(self.code // 100)
        if all(_ENHANCED.match(line) and line.startswith(kind) for line in self.lines):
            return self
        reply = Reply.of(self.code, f"{kind}.0.0", *self.lines)
        for line in reply.wire_lines():
            _check_length(line)
        return reply

    def encode(self) -> bytes:
        """The reply as it goes to the client."""
        return self._encoded

    def wire_lines(self) -> list[str]:
        """Its lines as they go to the client, e.g. `250-SIZE 1000`, without line ends."""
        *others, last = self.lines
        return [*(f"{self.code}-{line}" for line in others), f"{self.code} {last}"]

    def __str__(self) -> str:
        return f"{self.code} {' / '.join(self.lines)}"


def _parse_line(line: object) -> tuple[int, str, str]:
    if isinstance(line, bytes):
        line = line.decode("latin-1")
    match = _REPLY_LINE.fullmatch(line) if isinstance(line, str) else None
    if match is None:
        raise HandlerFaultError(
            "a hook must return a reply line of 2xx, 4xx or 5xx in printable ASCII without line ends, e.g. '250 OK', "
            f"not {line!r:.100}"
        )
    _check_length(match[0])
    return int(match[1]), match[2] or " ", match[3] or ""


def _check_length(line: str) -> None:
    if len(line) + 2 > REPLY_LINE:
        raise HandlerFaultError(
            f"a hook's reply line takes {len(line)} bytes, enhanced status code included; the limit is {REPLY_LINE - 2}"
        )


# The session.


def greeting(hostname: str) -> Reply:
    """Sent when the client connects."""
    return Reply(220, (f"{hostname} ESMTP ready",))


def hello(hostname: str, extensions: tuple[str, ...] = ()) -> Reply:
    """The answer to HELO, and with what the service can do, to EHLO."""
    return Reply(250, (hostname, *extensions))


OK: Final = Reply.of(250, "2.0.0", "OK")
CANNOT_VERIFY: Final = Reply.of(252, "2.0.0", "Cannot verify the user, but will accept mail and attempt delivery")
GOODBYE: Final = Reply.of(221, "2.0.0", "Goodbye")

SERVER_ERROR: Final = Reply.of(421, "4.3.0", "Internal error, closing the connection; try again later")
TOO_MANY_CONNECTIONS: Final = Reply.of(421, "4.7.0", "Too many connections from your address, try again later")
SESSION_EXPIRED: Final = Reply.of(421, "4.4.2", "The session has expired, closing the connection")
TOO_MANY_BAD_COMMANDS: Final = Reply.of(421, "4.7.0", "Too many bad commands, closing the connection")
TOO_MANY_MAILS: Final = Reply.of(421, "4.7.0", "Too many mails in one session, connect again for more")
TOO_MANY_AT_ONCE: Final = Reply.of(
    421, "4.7.0", "Too many mails at once, connect again and wait for each reply to DATA"
)
TOO_MANY_COMMANDS_AT_ONCE: Final = Reply.of(
    421, "4.7.0", "Too many commands at once, connect again and wait for replies"
)
BARE_LINE_FEED: Final = Reply.of(421, "4.7.0", "Lines must end in CR LF, not in a bare LF; closing the connection")
NO_SMTP_CLIENT: Final = Reply.of(421, "4.7.0", "This is an SMTP server, closing the connection")

# Lines and verbs.

CONTROL_CHARACTER: Final = Reply.of(500, "5.5.2", "Commands are printable ASCII ended by CR LF")
NOT_UTF8: Final = Reply.of(500, "5.5.2", "Neither ASCII nor UTF-8")
LINE_TOO_LONG: Final = Reply.of(500, "5.5.2", "Command line too long")
UNKNOWN_COMMAND: Final = Reply.of(500, "5.5.1", "Command not recognized, try HELP")
NOT_IMPLEMENTED: Final = Reply.of(502, "5.5.1", "Command not implemented")
NO_STARTTLS: Final = Reply.of(502, "5.5.1", "No TLS at this port; where it is offered, it starts with the connection")
NO_EXPN: Final = Reply.of(502, "5.5.1", "No mailing lists here to expand")
NO_CHUNKING: Final = Reply.of(502, "5.5.1", "CHUNKING is not offered, send RSET and then the mail by DATA")
NO_CHUNK_SIZE: Final = Reply.of(421, "4.5.4", "No telling where this BDAT ends, closing the connection")

# Sequence.

NEED_HELLO: Final = Reply.of(503, "5.5.1", "Send EHLO or HELO first")
NEED_MAIL: Final = Reply.of(503, "5.5.1", "Send MAIL first, none was accepted")
NEED_RCPT: Final = Reply.of(503, "5.5.1", "Send RCPT first")
NO_VALID_RECIPIENTS: Final = Reply.of(554, "5.5.1", "No valid recipients")
NESTED_MAIL: Final = Reply.of(503, "5.5.1", "A mail is under way, end it with DATA or RSET")

# Arguments.

HELLO_SYNTAX: Final = Reply.of(501, "5.5.4", "Syntax: HELO or EHLO, a space, the client's host name")
NO_ARGUMENT: Final = Reply.of(501, "5.5.4", "The command takes no argument")
VRFY_SYNTAX: Final = Reply.of(501, "5.5.4", "Syntax: VRFY <address> [SMTPUTF8]")
MAIL_SYNTAX: Final = Reply.of(501, "5.5.4", "Syntax: MAIL FROM:<address> [parameters], see HELP MAIL")
RCPT_SYNTAX: Final = Reply.of(501, "5.5.4", "Syntax: RCPT TO:<address> [parameters], see HELP RCPT")
UNKNOWN_TOPIC: Final = Reply.of(504, "5.5.4", "HELP knows the commands that HELP without an argument lists")
BAD_SENDER: Final = Reply.of(501, "5.1.7", "Malformed sender address, expected <local-part@domain> or <>")
BAD_RECIPIENT: Final = Reply.of(501, "5.1.3", "Malformed recipient address, expected <local-part@domain>")
NON_ASCII_SENDER: Final = Reply.of(550, "5.6.7", "An address beyond ASCII needs MAIL with SMTPUTF8")
NON_ASCII_RECIPIENT: Final = Reply.of(553, "5.6.7", "An address beyond ASCII needs MAIL, or VRFY, with SMTPUTF8")
BAD_PARAMETER: Final = Reply.of(501, "5.5.4", "Malformed or repeated parameter")
UNKNOWN_PARAMETER: Final = Reply.of(555, "5.5.4", "Parameter not recognized or not implemented")
PARAMETERS_NEED_EHLO: Final = Reply.of(555, "5.5.4", "Parameters need an extended session, send EHLO")

PARAMETER_SYNTAX: Final[Mapping[str, Reply]] = {
    "SIZE": Reply.of(501, "5.5.4", "SIZE is a number of bytes, of up to 20 digits"),
    "BODY": Reply.of(501, "5.5.4", "BODY is 7BIT or 8BITMIME"),
    "SMTPUTF8": Reply.of(501, "5.5.4", "SMTPUTF8 takes no value"),
    "RET": Reply.of(501, "5.5.4", "RET is FULL or HDRS"),
    "ENVID": Reply.of(501, "5.5.4", "ENVID is printable text as xtext, 100 bytes with the keyword at most"),
    "AUTH": Reply.of(501, "5.5.4", "AUTH is an address without angle brackets as xtext, or <>"),
    "NOTIFY": Reply.of(501, "5.5.4", "NOTIFY is NEVER alone, or of SUCCESS, FAILURE and DELAY, parted by commas"),
    "ORCPT": Reply.of(501, "5.5.4", "ORCPT is a type, a semicolon, an address as xtext; 500 bytes at most"),
}
"""By keyword, the reply to a value that the parameter cannot have."""

# The mail.

SENDER_OK: Final = Reply.of(250, "2.1.0", "Sender OK")
RECIPIENT_OK: Final = Reply.of(250, "2.1.5", "Recipient OK")
TOO_MANY_RECIPIENTS: Final = Reply.of(452, "4.5.3", "Too many recipients, send the rest in another mail")
START_MAIL_INPUT: Final = Reply(354, ("End data with <CR><LF>.<CR><LF>",))
MESSAGE_TOO_BIG: Final = Reply.of(552, "5.3.4", "Message too big")
BARE_NEWLINE_IN_TEXT: Final = Reply.of(554, "5.6.0", "Message refused: it has a CR or LF that is no CR LF")
NUL_IN_TEXT: Final = Reply.of(554, "5.6.0", "Message refused: it has a NUL character")
TEXT_LINE_TOO_LONG: Final = Reply.of(500, "5.6.0", "Message refused: it has a line over 998 characters")
NOT_STORED: Final = Reply.of(451, "4.3.0", "The mail could not be stored; try again later")
STORE_FULL: Final = Reply.of(452, "4.3.1", "No room for the mail now; try again later")
HANDLER_FAILED: Final = Reply.of(451, "4.3.0", "Local error in processing; try again later")


def accepted(mail_id: str) -> Reply:
    """The mail is stored."""
    return Reply.of(250, "2.0.0", f"OK, stored as {mail_id}")


# Authentication (RFC 4954 section 6).

AUTHENTICATED: Final = Reply.of(235, "2.7.0", "Authentication succeeded")
AUTH_UNAVAILABLE: Final = Reply.of(454, "4.7.0", "Temporary authentication failure; try again later")
AUTH_LINE_TOO_LONG: Final = Reply.of(500, "5.5.6", "Authentication exchange line is too long")
AUTH_SYNTAX: Final = Reply.of(501, "5.5.4", "Syntax: AUTH mechanism [initial response]")
BAD_BASE64: Final = Reply.of(501, "5.5.2", "The response is no base64; authentication ended")
MALFORMED_PLAIN: Final = Reply.of(501, "5.5.2", "Malformed PLAIN message: NULs and UTF-8 as in RFC 4616")
AUTH_CANCELLED: Final = Reply.of(501, "5.7.0", "Authentication cancelled")
NEED_EHLO: Final = Reply.of(503, "5.5.1", "Send EHLO first")
ALREADY_AUTHENTICATED: Final = Reply.of(503, "5.5.1", "Already authenticated")
AUTH_IN_MAIL: Final = Reply.of(503, "5.5.1", "A mail is under way, authenticate before MAIL")
UNKNOWN_MECHANISM: Final = Reply.of(504, "5.5.4", "Authentication mechanism not recognized, see the reply to EHLO")
AUTH_REQUIRED: Final = Reply.of(530, "5.7.0", "Authentication required")
WRONG_CREDENTIALS: Final = Reply.of(535, "5.7.8", "Authentication credentials invalid")
ENCRYPTION_REQUIRED: Final = Reply.of(538, "5.7.11", "Encryption required: authenticate on the port that has TLS")
TOO_MANY_FAILED_AUTHS: Final = Reply.of(421, "4.7.0", "Too many failed authentications, closing the connection")


def auth_challenge(text: str) -> Reply:
    """Asks for a response. It has no enhanced status code: nothing but base64 may stand there (RFC 4954 section 4)."""
    return Reply(334, (text,))
