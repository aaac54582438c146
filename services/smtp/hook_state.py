"""aiosmtpd's Session and Envelope from the saved state, and back into it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from aiosmtpd.smtp import Envelope, Session

from services.smtp.attributes import decode_attributes, encode_attributes
from services.smtp.errors import HandlerFaultError
from services.smtp.state import SmtpState, Transaction

_SESSION_FIELDS: Final = frozenset({"host_name", "extended_smtp", "authenticated"})
_ENVELOPE_FIELDS: Final = frozenset(
    {"mail_from", "mail_options", "rcpt_tos", "rcpt_options", "content", "original_content"}
)
# What the state has fields for. Everything else is an attribute to save once a hook has changed it, `session.peer` too.


def make_session(state: SmtpState, peer: tuple[str, int]) -> Session:
    """The Session, on the running event loop."""
    session = Session(asyncio.get_running_loop())
    session.peer = peer  # type: ignore[assignment]  # aiosmtpd declares str and sets asyncio's tuple of host and port
    session.host_name = state.helo or None
    session.extended_smtp = state.esmtp
    session.authenticated = True if state.authenticated else None
    vars(session).update(decode_attributes(state.session_attributes))
    return session


def make_envelope(state: SmtpState) -> Envelope:
    """The Envelope of the mail under way, or an empty one."""
    envelope = Envelope()
    if (transaction := state.transaction) is not None:
        envelope.mail_from = transaction.mail_from
        envelope.smtp_utf8 = transaction.smtputf8
        envelope.mail_options = list(transaction.mail_options)
        envelope.rcpt_tos = list(transaction.rcpt_tos)
        envelope.rcpt_options = list(transaction.rcpt_options)
    vars(envelope).update(decode_attributes(state.envelope_attributes))
    return envelope


def session_attributes(session: Session, peer: tuple[str, int]) -> bytes:
    """What hooks added to the Session or changed there; `HandlerFaultError` when it cannot be saved.

    Args:
        session: as the hook left it.
        peer: as it was made with.
    """
    fresh = {**vars(Session(asyncio.get_running_loop())), "peer": peer}
    return encode_attributes("session", _added(vars(session), fresh, _SESSION_FIELDS))


def session_host_name(session: Session) -> str:
    """How the client calls itself, "" while that is not known; `HandlerFaultError` when it is no string."""
    host_name = session.host_name
    return "" if host_name is None else _string("session.host_name", host_name)


def envelope_attributes(envelope: Envelope) -> bytes:
    """What hooks added to the Envelope; `HandlerFaultError` when it cannot be saved."""
    return encode_attributes("envelope", _added(vars(envelope), vars(Envelope()), _ENVELOPE_FIELDS))


def envelope_transaction(envelope: Envelope, known: Transaction, options: Sequence[str] = ()) -> Transaction | None:
    """The mail that the Envelope describes, None before MAIL.

    Args:
        envelope: as the hook left it.
        known: the mail before that.
        options: the parameters of the RCPT that the hook was asked about; they go with the addresses that it added.

    Raises:
        HandlerFaultError: a hook left something else than addresses there.
    """
    if envelope.mail_from is None:
        return None
    left = Transaction(
        id=known.id,
        mail_from=_strings("mail_from", [envelope.mail_from])[0],
        mail_parameters=known.mail_parameters,
    )
    parameters = _by_address(known)
    for address in _strings("rcpt_tos", envelope.rcpt_tos):
        left.add_recipient(address, parameters[address].pop(0) if parameters.get(address) else options)
    mail_options = _strings("mail_options", envelope.mail_options)
    rcpt_options = _strings("rcpt_options", envelope.rcpt_options)
    left.hook_mail_options = None if mail_options == left.mail_options else mail_options
    left.hook_rcpt_options = None if rcpt_options == left.rcpt_options else rcpt_options
    return left


def _by_address(transaction: Transaction) -> dict[str, list[list[str]]]:
    """The parameters with which each address came, once for each time that it came."""
    parameters: dict[str, list[list[str]]] = {}
    for address, options in zip_longest(transaction.rcpt_tos, transaction.rcpt_parameters, fillvalue=""):
        parameters.setdefault(address, []).append([options] if options else [])
    return parameters


def _added(values: Mapping[str, Any], fresh: Mapping[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if name not in fields and not (name in fresh and value is fresh[name])
    }


def _strings(name: str, values: object) -> list[str]:
    if not isinstance(values, list):
        raise HandlerFaultError(f"the handler left {values!r:.100} in envelope.{name}, which is a list of strings")
    return [_string(f"envelope.{name}", value) for value in values]


def _string(name: str, value: object) -> str:
    if type(value) is not str or not _is_unicode(value):
        raise HandlerFaultError(f"the handler left {value!r:.100} in {name}, which holds strings of Unicode characters")
    return value


def _is_unicode(value: str) -> bool:
    """Whether the string can be saved: surrogates, as of undecodable bytes, cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
