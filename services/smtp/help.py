"""What HELP answers (RFC 5321 4.1.1.8)."""

from __future__ import annotations

import functools
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
    "AUTH": "AUTH <mechanism> [initial-response]",
    "RSET": "RSET, forgets the mail under way",
    "NOOP": "NOOP [anything]",
    "VRFY": "VRFY <address> [SMTPUTF8]",
    "HELP": "HELP [command]",
    "QUIT": "QUIT",
}
"""Each command of the service in a line."""

_AUTH: Final = "AUTH"
_WITH_AUTH: Final[Mapping[str, str]] = {"MAIL": " [AUTH=xtext]"}  # what else a command takes then; without it, 555


@functools.lru_cache(maxsize=64)
def help_reply(topic: str, *, auth: bool) -> Reply:
    """The answer to HELP.

    Args:
        topic: a command's name, in any case, or nothing.
        auth: whether the service has AUTH.

    Raises:
        RemoteProtocolError: there is no such command.
    """
    if not topic:
        verbs = " ".join(verb for verb in SYNTAX if auth or verb != _AUTH)
        return Reply.of(214, "2.0.0", f"Commands: {verbs}", "Lines end in CR LF; see RFC 5321")
    if topic.upper() not in SYNTAX or (topic.upper() == _AUTH and not auth):
        raise RemoteProtocolError(replies.UNKNOWN_TOPIC)
    more = _WITH_AUTH.get(topic.upper(), "") if auth else ""
    return Reply.of(214, "2.0.0", SYNTAX[topic.upper()] + more)
