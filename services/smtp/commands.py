"""Command lines: what each asks for, and whether it may ask that now.

To add a command: its phases go into `sequence.SEQUENCE`, its method into `Commands.outcome`, and where the code around
the engine is to decide on it, an event into `events`, with what `SmtpEngine.accept` makes of that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NoReturn, TypeAlias

from services.smtp import replies
from services.smtp.auth import NO_AUTH, AuthPolicy, Exchange, decode_response, parse_auth
from services.smtp.body import BodyState
from services.smtp.errors import RemoteProtocolError
from services.smtp.events import Authenticate, Decision, Hello, Mail, Noop, Quit, Rcpt, Reset, Verify
from services.smtp.extensions import announced
from services.smtp.grammar import parse_chunk, parse_command, parse_hello, parse_mail, parse_rcpt, parse_verify
from services.smtp.help import help_reply
from services.smtp.replies import Reply
from services.smtp.sequence import check_auth, check_sequence
from services.smtp.settings import SmtpSettings
from services.smtp.state import SmtpState, Transaction

Outcome: TypeAlias = Decision | Reply
"""What a command line comes to: a decision to be taken, or the reply when there is nothing to decide."""

_BDAT = re.compile(rb"BDAT(?![A-Z])", re.IGNORECASE)


_SUBMITTER: Final = "AUTH="


class Commands:
    """The commands of one session.

    Args:
        state: the session.
        settings: host name and limits.
        new_id: makes the id of a mail, unique for ever.
        auth: what the listener has of AUTH.
    """

    def __init__(
        self, state: SmtpState, settings: SmtpSettings, new_id: Callable[[], str], auth: AuthPolicy = NO_AUTH
    ) -> None:
        self._state = state
        self._settings = settings
        self._limits = settings.limits
        self._new_id = new_id
        self._auth = auth

    def outcome(self, line: bytes) -> Outcome:
        """What a command line, or the response to a challenge, comes to; given without its CRLF.

        Raises:
            RemoteProtocolError: it is refused; nothing has changed.
        """
        if self._state.auth is not None:
            return self._respond(self._state.auth, line)
        if line[:4].upper() == b"BDAT" and _BDAT.match(line):
            self._refuse_chunk(line)
        verb, argument = parse_command(line)
        check_auth(verb, self._state, self._auth)
        check_sequence(verb, self._state)
        match verb:
            case "HELO" | "EHLO":
                return self._hello(argument, extended=verb == "EHLO")
            case "MAIL":
                return self._mail(argument)
            case "RCPT":
                return self._rcpt(argument)
            case "AUTH":
                return self._authenticate(argument)
            case "NOOP":
                return Noop(argument)
            case "VRFY":
                return self._verify(argument)
            case "HELP":
                return help_reply(argument, auth=self._auth.known)
            case _:
                return self._bare(verb, argument)

    def _bare(self, verb: str, argument: str) -> Outcome:
        """The commands that take no argument."""
        if argument:
            raise RemoteProtocolError(replies.NO_ARGUMENT)
        match verb:
            case "DATA":
                self._state.body = BodyState(self._settings.bare_newlines)
                return replies.START_MAIL_INPUT
            case "RSET":
                self._state.reset()
                return Reset()
            case _:
                return Quit()

    def _hello(self, argument: str, *, extended: bool) -> Hello:
        name = parse_hello(argument)
        lines = announced(self._settings, self._state, self._auth) if extended else ()
        return Hello(name, extended, replies.hello(self._settings.hostname, lines))

    def _mail(self, argument: str) -> Mail:
        self._state.mails += 1
        self._state.refused = True  # until it is accepted
        if self._state.mails > self._limits.mails:
            raise RemoteProtocolError(replies.TOO_MANY_MAILS, closing=True)
        command = parse_mail(argument)
        if command.options and not self._state.esmtp:
            raise RemoteProtocolError(replies.PARAMETERS_NEED_EHLO)
        if command.size is not None and command.size > self._limits.message:
            raise RemoteProtocolError(replies.MESSAGE_TOO_BIG)
        return Mail(Transaction(self._new_id(), command.address, self._judge_submitter(command.options)))

    def _judge_submitter(self, options: tuple[str, ...]) -> list[str]:
        """The parameters; who is said to have submitted the mail counts only when it is said by a user.

        Of anybody else it is as if the null address had been said (RFC 4954 section 5).
        """
        if not any(option.startswith(_SUBMITTER) for option in options):
            return list(options)
        if not self._auth.mechanisms:
            raise RemoteProtocolError(replies.UNKNOWN_PARAMETER)
        if self._state.authenticated:
            return list(options)
        return [f"{_SUBMITTER}<>" if option.startswith(_SUBMITTER) else option for option in options]

    def _rcpt(self, argument: str) -> Rcpt:
        mail = self._state.mail
        self._state.refused = True  # has no meaning any more once there is a recipient
        command = parse_rcpt(argument, smtputf8=mail.smtputf8)
        if command.options and not self._state.esmtp:
            raise RemoteProtocolError(replies.PARAMETERS_NEED_EHLO)
        if len(mail.rcpt_tos) >= self._limits.recipients:
            raise RemoteProtocolError(replies.TOO_MANY_RECIPIENTS)
        return Rcpt(command.address, command.options)

    def _verify(self, argument: str) -> Verify:
        command = parse_verify(argument)
        if command.smtputf8 and not self._state.esmtp:
            raise RemoteProtocolError(replies.PARAMETERS_NEED_EHLO)
        return Verify(command.address)

    def _refuse_chunk(self, line: bytes) -> NoReturn:
        """Refuses BDAT and sees to it that the bytes of its chunk are not taken for commands.

        RFC 3030 section 2 has the reply follow the chunk. Here it comes at once: a chunk need not end in a line feed,
        and RoadRunner keeps such a one back until more follows, which a client that waits for its reply never sends.
        """
        size = parse_chunk(line)
        if size is None or size > self._limits.message:
            raise RemoteProtocolError(replies.NO_CHUNK_SIZE, closing=True)
        self._state.skip = size
        raise RemoteProtocolError(replies.NO_CHUNKING)

    def _authenticate(self, argument: str) -> Authenticate:
        if not self._state.esmtp:
            raise RemoteProtocolError(replies.NEED_EHLO)
        if not self._auth.mechanisms:
            raise RemoteProtocolError(replies.ENCRYPTION_REQUIRED)
        if self._state.authenticated:
            raise RemoteProtocolError(replies.ALREADY_AUTHENTICATED)
        self._state.auth = exchange = parse_auth(argument, self._auth.mechanisms)
        return Authenticate(exchange)

    @staticmethod
    def _respond(exchange: Exchange, line: bytes) -> Authenticate:
        exchange.responses.append(decode_response(line))
        return Authenticate(exchange)
