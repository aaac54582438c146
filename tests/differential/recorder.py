"""One handler for both servers: it answers every command, and notes what it was asked and what it saw."""

from __future__ import annotations

from typing import Any, Final

from aiosmtpd.smtp import MISSING, AuthResult, LoginPassword

from tests.differential.wire import HookNote

# ruff: noqa: N802 - the names are aiosmtpd's

REFUSED: Final = "refused"
"""An address with this word in it, or a text, is refused by the hook."""

FAULT: Final = "fault"
"""With this one the hook raises."""

USER: Final = LoginPassword(b"user", b"password")
ANSWERS: Final = (b"blue", b"fish")


def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, auth_data: LoginPassword) -> AuthResult:
    """Knows one user; see aiosmtpd's authenticator."""
    assert server.session is session
    assert server.envelope is envelope
    assert mechanism in {"PLAIN", "LOGIN"}
    return AuthResult(success=auth_data == USER, handled=False, auth_data=auth_data)


class Recorder:
    """A handler with every hook for a command.

    It keeps the names of its calls on the session, until RSET, and a count of them on the envelope: attributes that
    nobody but it knows of.

    Args:
        notes: where it notes its calls; those of all workers go to one list.
    """

    def __init__(self, notes: list[HookNote]) -> None:
        self._notes = notes

    def _note(self, hook: str, session: Any, envelope: Any, *arguments: object) -> None:
        session.calls = [*getattr(session, "calls", []), hook]
        envelope.calls = getattr(envelope, "calls", 0) + 1
        mail_from = None if envelope.mail_from is None else envelope.mail_from.removeprefix("<>")
        self._notes.append(
            HookNote(
                hook,
                tuple("" if argument == "<>" else argument for argument in arguments),
                (
                    session.peer,
                    session.host_name,
                    session.extended_smtp,
                    session.ssl,
                    session.authenticated,
                    getattr(session.auth_data, "login", session.auth_data),  # of ours, without the password
                    session._login_data,
                    session.proxy_data,
                    tuple(session.calls),
                ),
                (
                    mail_from,
                    tuple(envelope.mail_options),
                    tuple(envelope.rcpt_tos),
                    tuple(envelope.rcpt_options),
                    envelope.smtp_utf8 and (mail_from is not None or hook == "MAIL"),  # a refused MAIL leaves it behind
                    envelope.content,
                    envelope.original_content,
                    envelope.calls,
                ),
            )
        )

    async def handle_HELO(self, server: Any, session: Any, envelope: Any, hostname: str) -> str:
        """See aiosmtpd."""
        self._note("HELO", session, envelope, hostname)
        if REFUSED in hostname:
            return "550 not you"
        session.host_name = hostname
        return f"250 {server.hostname}"

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        """See aiosmtpd."""
        self._note("EHLO", session, envelope, hostname, responses[0], responses[-1])
        assert server.hostname in responses[0]
        if REFUSED in hostname:
            return ["550 not you"]
        session.host_name = hostname
        return [*responses[:-1], "250-X-RECORDED", responses[-1]]

    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
        """See aiosmtpd."""
        assert server.session is session
        assert server.envelope is envelope
        self._note("NOOP", session, envelope, arg)
        return "250 noted"

    async def handle_VRFY(self, server: Any, session: Any, envelope: Any, address: str) -> str:
        """See aiosmtpd."""
        assert server.event_handler is self
        self._note("VRFY", session, envelope, address)
        return "252 noted"

    async def handle_RSET(self, server: Any, session: Any, envelope: Any) -> str:
        """See aiosmtpd."""
        assert server.loop is session.loop
        self._note("RSET", session, envelope)
        session.calls = []
        return "250 noted"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:
        """See aiosmtpd."""
        assert server.loop is session.loop
        self._note("QUIT", session, envelope)
        return "221 noted"

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        """See aiosmtpd."""
        assert server.session is session
        self._note("MAIL", session, envelope, address, tuple(options))
        if FAULT in address:
            raise LookupError(address)
        if REFUSED in address:
            return "550 not from there"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 noted"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        """See aiosmtpd."""
        assert server.session is session
        self._note("RCPT", session, envelope, address, tuple(options))
        if FAULT in address:
            raise LookupError(address)
        if REFUSED in address:
            return "450 not to there"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 noted"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """See aiosmtpd."""
        assert server.envelope is envelope
        self._note("DATA", session, envelope)
        return "554 not that" if REFUSED.encode() in envelope.content else "250 noted"

    async def auth_TWO__QUESTIONS(self, server: Any, args: list[str]) -> AuthResult:
        """A mechanism of its own. aiosmtpd has MISSING for a response that it answered itself."""
        answers = []
        for question in ("Your favourite colour?", "Your first pet?"):
            answer = await server.challenge_auth(question)
            if answer is MISSING:
                return AuthResult(success=False)
            answers.append(answer)
        known = tuple(answers) == ANSWERS
        server.session.asked = [*getattr(server.session, "asked", []), args[0]]
        return AuthResult(success=known, handled=False, auth_data=b"somebody" if known else None)
