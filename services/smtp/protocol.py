r"""The sans-I/O ESMTP server engine (RFC 5321) with its extensions (`extensions`).

    engine = SmtpEngine(state, settings, new_id=lambda: uuid4().hex)
    engine.receive_data(data)
    while (event := engine.next_event()) is not None:
        ...  # keep a BodyChunk; answer everything else by engine.accept() or engine.reply(...)
    send(engine.data_to_send())

Once `next_event` returned None, `state` is all there is: it can be saved, and another process goes on with it. That
holds between any two bytes.

The rules, on top of the table `sequence.SEQUENCE`:

* A command line ends in CR LF. A bare LF ends the session (421): what follows it may be a command for one side and none
  for the other. A bare CR, or any other control character, makes the line no command; the session goes on.
* A line that is too long is skipped to its end, and answered once.
* Every command gets exactly one reply, in order; DATA gets a second one at the end of the text.
* A refused command changes nothing, except that it counts: after `limits.bad_commands` malformed, unknown or misplaced
  ones, or addresses that are refused for good, the session ends.
* AUTH begins an exchange, in which a line is a response and no command (`auth`). Whatever ends it, nothing of it is
  left.
* HELO, EHLO, RSET and the end of the text end the mail under way: nothing of it is left for the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from services.smtp import replies
from services.smtp.auth import NO_AUTH, AuthPolicy, Challenge
from services.smtp.body import BodyState, Position, decode
from services.smtp.commands import Commands
from services.smtp.errors import LocalProtocolError, RemoteProtocolError
from services.smtp.events import (
    Authenticate,
    BodyChunk,
    BodyDiscarded,
    Decision,
    Event,
    Hello,
    Mail,
    Message,
    MessageRefused,
    Noop,
    Quit,
    Rcpt,
    Reset,
    Verify,
)
from services.smtp.lines import Input
from services.smtp.replies import Reply
from services.smtp.settings import SmtpSettings
from services.smtp.state import SmtpState

_PIECES: Final = BodyChunk, BodyDiscarded, MessageRefused
"""Events that need no answer. Made once: a union would be made for every event."""

_ADDRESSES: Final = Rcpt, Verify
"""Events whose refusal tells that an address is none."""


class SmtpEngine:
    """One SMTP session.

    Args:
        state: the session, changed in place; `SmtpState()` for a new one.
        settings: host name and limits.
        new_id: makes the id of a mail, unique for ever.
        auth: what the listener has of AUTH.

    Attributes:
        refusals: the replies of 4xx and 5xx so far.
    """

    def __init__(
        self, state: SmtpState, settings: SmtpSettings, *, new_id: Callable[[], str], auth: AuthPolicy = NO_AUTH
    ) -> None:
        self.state = state
        self._settings = settings
        self._limits = settings.limits
        self._input = Input(state)
        self._commands = Commands(state, settings, new_id, auth)
        self._pending: Decision | None = None
        self._output: list[bytes] = []
        self.refusals: list[Reply] = []

    @property
    def closing(self) -> bool:
        """Whether the connection is to be closed once `data_to_send` is sent."""
        return self.state.closed

    @property
    def unsent(self) -> int:
        """How many replies `data_to_send` has to return."""
        return len(self._output)

    def data_to_send(self) -> bytes:
        """The replies since the last call."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    def greet(self) -> None:
        """Writes the greeting, the first reply of a session."""
        self._send(replies.greeting(self._settings.hostname))

    def receive_data(self, data: bytes) -> None:
        """Takes the next piece of the client's bytes; `LocalProtocolError` unless `next_event` returned None before."""
        if self._pending is not None:
            raise LocalProtocolError("answer the last event, then take all events with next_event(), before more data")
        self._input.feed(data)

    def next_event(self) -> Event | None:
        """What happened next, or None when the engine needs more bytes or the session is over.

        Raises:
            LocalProtocolError: the last event waits for `accept` or `reply`.
        """
        if self._pending is not None:
            raise LocalProtocolError(f"answer {type(self._pending).__name__} by accept() or reply() first")
        event: Event | None = None
        while event is None and self._has_input():
            event = self._next_command() if self.state.body is None else self._next_text(self.state.body)
        if event is not None and not isinstance(event, _PIECES):
            self._pending = event
        return event

    def accept(self) -> None:
        """Carries out the last event as SMTP has it, and answers with the reply that belongs to it."""
        match event := self._answered():
            case Hello():
                self.state.reset()
                self.state.helo = event.name
                self.state.esmtp = event.extended
                self._send(event.reply)
            case Mail():
                self.state.transaction = event.transaction
                self.state.refused = False
                self._send(replies.SENDER_OK)
            case Rcpt():
                self.state.mail.add_recipient(event.address, event.options)
                self._send(replies.RECIPIENT_OK)
            case Message():
                self._send(replies.accepted(event.transaction.id))
            case Verify():
                self._send(replies.CANNOT_VERIFY)
            case Quit():
                self._send(replies.GOODBYE, closing=True)
            case Reset() | Noop():
                self._send(replies.OK)
            case Authenticate():
                raise LocalProtocolError("whether the credentials are right is for somebody to say, by authenticate()")

    def challenge(self, challenge: Challenge) -> None:
        """Answers AUTH, or a response, by asking for another response; the exchange stays in the state."""
        event = self._answered()
        if not isinstance(event, Authenticate):
            raise LocalProtocolError(f"{type(event).__name__} has no challenge")
        event.exchange.challenges.append(challenge.text)
        self.state.auth = event.exchange
        self._send(replies.auth_challenge(challenge.text))

    def authenticate(self, user: str) -> None:
        """Answers AUTH, or a response: the client is who it says. Nothing of the exchange is left."""
        self.state.authenticated = True
        self.state.user = user
        self.reply(replies.AUTHENTICATED)

    def reply(self, reply: Reply) -> None:
        """Answers the last event and changes nothing: whoever chose the reply has changed `state` as it wants it.

        The session ends after QUIT, and with a 421 as that is what it says. An authentication is over, and counts when
        a 5xx says that it failed. A recipient that is refused for good counts as a bad command: a client that goes on
        trying looks for addresses (Postfix's `smtpd_hard_error_limit` counts them as well).
        """
        event = self._answered()
        if isinstance(event, Mail):
            self.state.refused = not reply.positive
        elif isinstance(event, Authenticate) and reply.permanent:
            self.state.auth_failures += 1
            if self.state.auth_failures >= self._limits.auth_failures:
                reply = replies.TOO_MANY_FAILED_AUTHS
        elif isinstance(event, _ADDRESSES) and reply.permanent:
            self.state.bad_commands += 1
            if self.state.bad_commands >= self._limits.bad_commands:
                reply = replies.TOO_MANY_BAD_COMMANDS
        self._send(reply, closing=isinstance(event, Quit) or reply.code == 421)

    def end(self, reply: Reply) -> None:
        """Ends the session with a reply that no command asked for, a 421 (RFC 5321 3.8)."""
        self._send(reply, closing=True)

    def _answered(self) -> Decision:
        if self._pending is None:
            raise LocalProtocolError("there is no event to answer")
        event, self._pending = self._pending, None
        if isinstance(event, Message):
            self.state.reset()
        elif isinstance(event, Authenticate):
            self.state.auth = None
        return event

    def _send(self, reply: Reply, *, closing: bool = False) -> None:
        self._output.append(reply.encode())
        if reply.refuses:
            self.refusals.append(reply)
        self.state.closed |= closing

    def _has_input(self) -> bool:
        if self.state.closed:
            self._input.drop()  # what comes after the last reply is nothing
        body = self.state.body
        return bool(self._input) or (body is not None and body.position is Position.END)

    # The text of a mail.

    def _next_text(self, body: BodyState) -> Event | None:
        if body.position is Position.END:
            return self._end_of_text(body)
        text, self._input.index = decode(body, self._input.data, self._input.index, self._limits)
        if body.defects:
            return BodyDiscarded()
        return BodyChunk(text) if text else None

    def _end_of_text(self, body: BodyState) -> Event:
        refusal = body.refusal
        transaction = self.state.mail
        if refusal is None:
            self.state.body = None
            return Message(transaction, body.size)
        self.state.reset()
        self._send(refusal)
        return MessageRefused(transaction, body.size, refusal)

    # Commands.

    def _next_command(self) -> Decision | None:
        try:
            line = self._input.next_line()
            if line is None:
                return None
            outcome = self._commands.outcome(line)
        except RemoteProtocolError as error:
            self._refuse(error)
            return None
        if isinstance(outcome, Reply):
            self._send(outcome)
            return None
        return outcome

    def _refuse(self, error: RemoteProtocolError) -> None:
        """Sends a refusal, which ends an exchange; what is malformed, unknown or misplaced also counts."""
        self.state.auth = None
        if error.counted:
            self.state.bad_commands += 1
            if self.state.bad_commands >= self._limits.bad_commands and not error.closing:
                error = RemoteProtocolError(replies.TOO_MANY_BAD_COMMANDS, closing=True)
        self._send(error.reply, closing=error.closing)
