"""A decision of the engine put to a handler's hook, and what the hook made of it back into the session's state."""

from __future__ import annotations

import logging
from typing import NamedTuple

from aiosmtpd.smtp import Envelope, Session

from services.smtp.events import Decision, Hello, Mail, Message, Noop, Quit, Rcpt, Reset, Verify
from services.smtp.hook_state import (
    envelope_attributes,
    envelope_transaction,
    make_envelope,
    make_session,
    session_attributes,
)
from services.smtp.hooks import Hooks
from services.smtp.replies import Reply
from services.smtp.state import SmtpState, Transaction

log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """What came of a hook.

    Attributes:
        reply: to be sent.
        transaction: the mail under way as the hook left it.
    """

    reply: Reply
    transaction: Transaction | None


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
        case Rcpt(address=address):
            return HookCall("RCPT", (address, []))
        case Message():
            return HookCall("DATA", ())
        case Reset():
            return HookCall("RSET", ())
        case Noop(argument=argument):
            return HookCall("NOOP", (argument or None,))
        case Verify(address=address):
            return HookCall("VRFY", (address,))
        case Quit():
            return HookCall("QUIT", ())


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
        HandlerFaultError: the hook left something behind that cannot be saved.
    """
    session = make_session(state, peer)
    envelope = make_envelope(state)
    if isinstance(event, Hello):
        session.extended_smtp = event.extended
        envelope = Envelope()
    elif isinstance(event, Message):
        envelope.content = envelope.original_content = content
    reply = await hooks.ask(call.command, session, envelope, *call.arguments)
    if not isinstance(event, Hello):
        reply = reply.with_status()
    elif event.extended and reply.positive and not hooks.extends_ehlo:
        reply = Reply(reply.code, event.reply.lines + reply.lines)
    return Answer(reply, _adopt(state, event, session, envelope, positive=reply.positive))


def _adopt(
    state: SmtpState, event: Decision, session: Session, envelope: Envelope, *, positive: bool
) -> Transaction | None:
    """Takes over what the hook changed; returns the mail under way as the hook left it."""
    state.session_attributes = session_attributes(session)
    known = event.transaction if isinstance(event, Mail | Message) else state.transaction
    transaction = envelope_transaction(envelope, known.id) if known else None
    if isinstance(event, Message | Quit) or (isinstance(event, Hello) and not positive):
        return transaction
    state.envelope_attributes = envelope_attributes(envelope)
    if positive:
        state.helo = session.host_name or ""
        state.esmtp = bool(session.extended_smtp)
        state.transaction = None if isinstance(event, Hello) else transaction
        _warn(state, event)
    return transaction


def _warn(state: SmtpState, event: Decision) -> None:
    """Says what a hook forgot: the client only sees that the next command is refused."""
    match event:
        case Hello() if not state.helo:
            log.warning(
                "the hook for HELO or EHLO said yes but set no session.host_name: the client must send it again"
            )
        case Mail() if state.transaction is None:
            log.warning("handle_MAIL said yes but set no envelope.mail_from: there is no mail to add recipients to")
