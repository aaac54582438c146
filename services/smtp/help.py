"""What HELP answers (RFC 5321 4.1.1.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.smtp import replies
from services.smtp.errors import RemoteProtocolError
from services.smtp.replies import Reply

SYNTAX: Final[Mapping[str, str]] = {
    "HELO": "HELO <host>",
    "EHLO": "EHLO <host>",
    "MAIL": "MAIL FROM:<address> [SIZE=bytes] [BODY=7BIT|8BITMIME] [SMTPUTF8] [RET=FULL|HDRS] [ENVID=xtext]",
    "RCPT": "RCPT TO:<address> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] [ORCPT=type;xtext]",
    "DATA": "DATA, then after 354 the mail; a line with only a dot ends it",
    "RSET": "RSET, forgets the mail under way",
    "NOOP": "NOOP [anything]",
    "VRFY": "VRFY <address> [SMTPUTF8]",
    "HELP": "HELP [command]",
    "QUIT": "QUIT",
}
"""Each command of the service in a line."""

_ALL: Final = Reply.of(214, "2.0.0", f"Commands: {' '.join(SYNTAX)}", "Lines end in CR LF; see RFC 5321")


def help_reply(topic: str) -> Reply:
    """The answer to HELP with a command's name, in any case, or with nothing.

    Raises:
        RemoteProtocolError: there is no such command.
    """
    if not topic:
        return _ALL
    if topic.upper() not in SYNTAX:
        raise RemoteProtocolError(replies.UNKNOWN_TOPIC)
    return Reply.of(214, "2.0.0", SYNTAX[topic.upper()])
