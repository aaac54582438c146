"""The state machine: which command is allowed in which phase (RFC 5321 4.1.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.smtp import replies
from services.smtp.auth import AuthPolicy
from services.smtp.errors import RemoteProtocolError
from services.smtp.replies import Reply
from services.smtp.state import Phase, SmtpState

_ALWAYS: Final[Mapping[Phase, Reply]] = {}

SEQUENCE: Final[Mapping[str, Mapping[Phase, Reply]]] = {
    # command: the phases in which it is refused, and how; in every other phase it is allowed
    "HELO": _ALWAYS,
    "EHLO": _ALWAYS,
    "MAIL": {
        Phase.START: replies.NEED_HELLO,
        Phase.MAIL: replies.NESTED_MAIL,
        Phase.RCPT: replies.NESTED_MAIL,
    },
    "RCPT": {
        Phase.START: replies.NEED_HELLO,
        Phase.READY: replies.NEED_MAIL,
    },
    "DATA": {
        Phase.START: replies.NEED_HELLO,
        Phase.READY: replies.NEED_MAIL,
        Phase.MAIL: replies.NEED_RCPT,
    },
    "AUTH": {
        Phase.START: replies.NEED_EHLO,
        Phase.MAIL: replies.AUTH_IN_MAIL,
        Phase.RCPT: replies.AUTH_IN_MAIL,
    },
    "RSET": _ALWAYS,
    "NOOP": _ALWAYS,
    "VRFY": _ALWAYS,
    "HELP": _ALWAYS,
    "QUIT": _ALWAYS,
}
"""The commands of the service. In the phases DATA and AUTH there are no commands, in CLOSED there is no input."""

NOT_IMPLEMENTED: Final[Mapping[str, Reply]] = {
    "ETRN": replies.NOT_IMPLEMENTED,
    "EXPN": replies.NO_EXPN,
    "STARTTLS": replies.NO_STARTTLS,
    "TURN": replies.NOT_IMPLEMENTED,
}
"""Commands of SMTP that the service knows of and does not announce, and what it says to them. BDAT is another: bytes
follow it, see `Commands.outcome`."""

WITHOUT_AUTH: Final = frozenset({"AUTH", "EHLO", "HELO", "NOOP", "RSET", "QUIT"})
"""Commands for which nobody needs to have authenticated, wherever that is required (RFC 4954 section 6, 530)."""

FOREIGN: Final = frozenset({"GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"})
"""Methods of HTTP. A browser can be made to send one with SMTP commands behind it, so the first ends the session."""


def check_sequence(verb: str, state: SmtpState) -> None:
    """Returns if the command, in upper case, is allowed now; `RemoteProtocolError` carries the reply if it is not.

    Behind a MAIL or RCPT that was refused, a client that pipelines had sent what follows already: that is misplaced by
    no fault of its own (RFC 2920 section 3.1).
    """
    rules = SEQUENCE.get(verb)
    if rules is None:
        if verb in FOREIGN:
            raise RemoteProtocolError(replies.NO_SMTP_CLIENT, closing=True)
        raise RemoteProtocolError(NOT_IMPLEMENTED.get(verb, replies.UNKNOWN_COMMAND))
    misplaced = rules.get(state.phase) if rules else None
    if misplaced is None:
        return
    if state.refused and misplaced is replies.NEED_RCPT:
        raise RemoteProtocolError(replies.NO_VALID_RECIPIENTS)
    raise RemoteProtocolError(misplaced, counted=not (state.refused and misplaced is replies.NEED_MAIL))


def check_auth(verb: str, state: SmtpState, policy: AuthPolicy) -> None:
    """Returns unless the service has no AUTH, or wants it first; `RemoteProtocolError` carries the reply if so."""
    if verb == "AUTH" and not policy.known:
        raise RemoteProtocolError(replies.NOT_IMPLEMENTED)
    if not policy.required or state.authenticated or verb not in SEQUENCE.keys() - WITHOUT_AUTH:
        return
    if Phase.START not in SEQUENCE[verb] or state.phase is not Phase.START:  # else its own reply is of more help
        raise RemoteProtocolError(replies.AUTH_REQUIRED)
