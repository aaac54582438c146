"""A decision of the engine put to a handler's hook, and what the hook made of it back into the session's state."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, NamedTuple

from aiosmtpd.smtp import Envelope, Session

from services.smtp import replies
from services.smtp.errors import HandlerFaultError, LocalProtocolError
from services.smtp.events import Authenticate, Decision, Hello, Mail, Message, Noop, Quit, Rcpt, Reset, Verify
from services.smtp.hook_state import (
    envelope_attributes,
    envelope_transaction,
    make_envelope,
    make_session,
    session_attributes,
    session_host_name,
)
from services.smtp.hooks import Hooks
from services.smtp.replies import Reply
from services.smtp.state import SmtpState, Transaction

log = logging.getLogger(__name__)


_WITHOUT_ARGUMENTS: Final[Mapping[type, str]] = {Message: "DATA", Reset: "RSET", Quit: "QUIT"}


class Answer(NamedTuple):
    """What came of a hook.

    Attributes:
        reply: to be sent.
        transaction: the mail as a hook that accepted it left it, None where there is none, or none that can be used.
        fault: what ends the session after the reply.
    """

    reply: Reply
    transaction: Transaction | None = None
    fault: HandlerFaultError | None = None


class HookCall(NamedTuple):
    """A hook's name without `handle_`, and its arguments after server, session and envelope."""

    command: str
    arguments: tuple[object, ...]


def hook_call(event: Decision, hooks: Hooks) -> HookCall:
    """Which hook decides on an event."""
    match event:
        case Hello(name=name, extended=True):
            return HookCall("EHLO", (name, event.reply.wire_lines()) if hooks.extends_ehlo else (name,))
        case Hello(name=name):
            return HookCall("HELO", (name,))
        case Mail(transaction=transaction):
            return HookCall("MAIL", (transaction.mail_from, list(transaction.mail_options)))
        case Rcpt(address=address, options=options):
            return HookCall("RCPT", (address, list(options)))
        case Authenticate(exchange=exchange):  # `auth_hooks` calls it, which knows how to go on with it
            return HookCall("AUTH", (exchange.arguments,))
        case Noop(argument=argument):
            return HookCall("NOOP", (argument or None,))
        case Verify(address=address):
            return HookCall("VRFY", (address,))
        case Message() | Reset() | Quit():
            return HookCall(_WITHOUT_ARGUMENTS[type(event)], ())


async def consult(
    hooks: Hooks, call: HookCall, state: SmtpState, event: Decision, *, peer: tuple[str, int], content: bytes = b""
) -> Answer:
    """Calls a hook and carries out what it decided, all but the reply.

    Args:
        hooks: the handler's.
        call: what `hook_call` said of the event.
        state: the session; the hook's changes go there.
        event: what is to be decided.
        peer: the client's host and port.
        content: the text of the mail, for a `Message`.

    Raises:
        HandlerFaultError: the hook left something behind that cannot be saved; what it decided is not carried out.
            After `handle_DATA` it is part of the answer instead: what the hook did with the mail is done, and a client
            that is not told so sends it again.
    """
    session = make_session(state, peer)
    envelope = make_envelope(state)
    if isinstance(event, Hello):
        session.extended_smtp = event.extended
        envelope = Envelope()
    elif isinstance(event, Mail):
        envelope.smtp_utf8 = event.transaction.smtputf8
    elif isinstance(event, Message):
        envelope.content = envelope.original_content = content
    reply = await hooks.ask(call.command, session, envelope, *call.arguments)
    if reply is None:
        reply = _carry_out(event, session, envelope)
    if isinstance(event, Message):
        transaction = fault = None
        try:
            transaction = envelope_transaction(envelope, event.transaction) if reply.positive else None
            adopt_session(state, session, peer, positive=reply.positive)
        except HandlerFaultError as error:
            fault = error
        return Answer(reply, transaction, fault)
    if isinstance(event, Hello) and event.extended and reply.positive and not hooks.extends_ehlo:
        announced = (line for line in event.reply.lines if line not in reply.lines)
        reply = Reply(reply.code, (*announced, *reply.lines))
    if not isinstance(event, Quit):
        adopt_session(state, session, peer, positive=reply.positive)
        _adopt_envelope(state, event, envelope, positive=reply.positive)
        if reply.positive:
            _warn(state, event)
    return Answer(reply)


def _carry_out(event: Decision, session: Session, envelope: Envelope) -> Reply:
    """What SMTP has, done to session and envelope for a hook that left it to that; the reply to it."""
    match event:
        case Hello():
            session.host_name = event.name
            return event.reply
        case Mail(transaction=transaction):
            envelope.mail_from = transaction.mail_from
            envelope.mail_options.extend(transaction.mail_options)
            return replies.SENDER_OK
        case Rcpt():
            envelope.rcpt_tos.append(event.address)
            envelope.rcpt_options.extend(event.options)
            return replies.RECIPIENT_OK
        case Message():
            return replies.accepted(event.transaction.id)
        case Authenticate():
            raise LocalProtocolError("`auth_hooks` has its own way to go on without the hook")
        case Verify():
            return replies.CANNOT_VERIFY
        case Quit():
            return replies.GOODBYE
        case Reset() | Noop():
            return replies.OK


def adopt_session(state: SmtpState, session: Session, peer: tuple[str, int], *, positive: bool) -> None:
    """Takes over the attributes in any case, who the client is when the hook said yes.

    Args:
        state: where to.
        session: as a hook left it.
        peer: the client's host and port.
        positive: what the hook said.

    Raises:
        HandlerFaultError: something of it cannot be saved.
    """
    state.session_attributes = session_attributes(session, peer)
    host_name = session_host_name(session)
    if positive:
        state.helo = host_name
        state.esmtp = bool(session.extended_smtp)
        state.authenticated = bool(session.authenticated)


def _adopt_envelope(state: SmtpState, event: Decision, envelope: Envelope, *, positive: bool) -> None:
    """Takes over the attributes, unless a new beginning was refused, and the mail under way when the hook said yes."""
    if isinstance(event, Hello) and positive:
        state.reset()
    if positive or not isinstance(event, Hello):
        state.envelope_attributes = envelope_attributes(envelope)
    if not positive or isinstance(event, Hello):
        return
    known = event.transaction if isinstance(event, Mail) else state.transaction
    options = event.options if isinstance(event, Rcpt) else ()
    state.transaction = None if known is None else envelope_transaction(envelope, known, options)


def _warn(state: SmtpState, event: Decision) -> None:
    """Says what a hook forgot: the client only sees that the next command is refused."""
    match event:
        case Hello() if not state.helo:
            log.warning(
                "the hook for HELO or EHLO said yes but set no session.host_name: the client must send it again"
            )
        case Mail() if state.transaction is None:
            log.warning("handle_MAIL said yes but set no envelope.mail_from: there is no mail to add recipients to")
