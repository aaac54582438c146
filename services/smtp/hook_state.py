"""aiosmtpd's Session and Envelope from the saved state, and back into it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiosmtpd.smtp import Envelope, Session

from services.smtp.attributes import decode_attributes, encode_attributes
from services.smtp.errors import HandlerFaultError
from services.smtp.state import SmtpState, Transaction

_SESSION_FIELDS: Final = frozenset({"peer", "ssl", "loop", "host_name", "extended_smtp"})
_ENVELOPE_FIELDS: Final = frozenset(
    {"mail_from", "mail_options", "rcpt_tos", "rcpt_options", "content", "original_content"}
)
# What the state has fields for, or what belongs to the process. Everything else is an attribute to save.


def make_session(state: SmtpState, peer: tuple[str, int]) -> Session:
    """The Session, on the running event loop."""
    session = Session(asyncio.get_running_loop())
    session.peer = peer  # type: ignore[assignment]  # aiosmtpd declares str and sets asyncio's tuple of host and port
    session.host_name = state.helo or None
    session.extended_smtp = state.esmtp
    vars(session).update(decode_attributes(state.session_attributes))
    return session


def make_envelope(state: SmtpState) -> Envelope:
    """The Envelope of the mail under way, or an empty one."""
    envelope = Envelope()
    if (transaction := state.transaction) is not None:
        envelope.mail_from = transaction.mail_from
        envelope.mail_options = list(transaction.mail_options)
        envelope.rcpt_tos = list(transaction.rcpt_tos)
        envelope.rcpt_options = list(transaction.rcpt_options)
    vars(envelope).update(decode_attributes(state.envelope_attributes))
    return envelope


def session_attributes(session: Session) -> bytes:
    """What hooks added to the Session; `HandlerFaultError` when it cannot be saved."""
    return encode_attributes("session", _added(vars(session), vars(Session(session.loop)), _SESSION_FIELDS))


def envelope_attributes(envelope: Envelope) -> bytes:
    """What hooks added to the Envelope; `HandlerFaultError` when it cannot be saved."""
    return encode_attributes("envelope", _added(vars(envelope), vars(Envelope()), _ENVELOPE_FIELDS))


def envelope_transaction(envelope: Envelope, mail_id: str) -> Transaction | None:
    """The mail that the Envelope describes, None before MAIL.

    Raises:
        HandlerFaultError: a hook left something else than addresses there.
    """
    if envelope.mail_from is None:
        return None
    return Transaction(
        id=mail_id,
        mail_from=_strings("mail_from", [envelope.mail_from])[0],
        mail_options=_strings("mail_options", envelope.mail_options),
        rcpt_tos=_strings("rcpt_tos", envelope.rcpt_tos),
        rcpt_options=_strings("rcpt_options", envelope.rcpt_options),
    )


def _added(values: Mapping[str, Any], fresh: Mapping[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if name not in fields and not (name in fresh and value is fresh[name])
    }


def _strings(name: str, values: object) -> list[str]:
    if not isinstance(values, list) or not all(type(value) is str for value in values):
        raise HandlerFaultError(f"the handler left {values!r:.100} in envelope.{name}, which holds strings only")
    return values
