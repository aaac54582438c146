"""What becomes of each mail: one line in the log, and a word to whoever counts. Nothing of the mail's contents."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final, Protocol

from services.smtp import replies
from services.smtp.mailstore import MailInfo
from services.smtp.reasons import reason
from services.smtp.replies import Reply
from services.smtp.state import Transaction

log = logging.getLogger(__name__)

STORED: Final = "stored"
REFUSED: Final = "refused"


class MailObserver(Protocol):
    """Is told of every mail whose text came to its end, and of every refusal. It must not raise, and be quick."""

    def accepted(self, size: int, recipients: int) -> None:
        """A mail is stored.

        Args:
            size: bytes of its text.
            recipients: how many it has.
        """

    def refused(self, reply: Reply) -> None:
        """A mail is refused, for now or for good, at the end of its text."""

    def said(self, refusals: Sequence[Reply]) -> None:
        """The replies of 4xx and 5xx of one event, those to mails included."""


class Outcomes:
    """Tells what became of mails.

    Args:
        observer: who counts; nobody by default.
    """

    def __init__(self, observer: MailObserver | None = None) -> None:
        self._observer = observer

    def accepted(self, connection: str, info: MailInfo) -> None:
        """A mail is stored.

        Args:
            connection: the connection's uuid.
            info: the mail.
        """
        recipients = len(info.rcpt_tos)
        if self._observer is not None:
            self._observer.accepted(info.size, recipients)
        if log.isEnabledFor(logging.INFO):
            message = "connection %s: mail %s from <%s> stored, %d bytes, %d recipients"
            args = (connection, info.id, info.mail_from, info.size, recipients)
            fields = _fields(info.id, info.mail_from, recipients, info.size, STORED, replies.OK.code)
            _log(logging.INFO, message, args, fields)

    def refused(
        self, connection: str, transaction: Transaction, size: int | None, reply: Reply, fault: str | None = None
    ) -> None:
        """A mail is refused at the end of its text.

        Args:
            connection: the connection's uuid.
            transaction: the mail.
            size: bytes of its text, as far as they were counted; None if they were not.
            reply: what the client is told. A handler's own words stay out of the log.
            fault: what went wrong on this side, where that is why; the line is then an error.
        """
        if self._observer is not None:
            self._observer.refused(reply)
        level = logging.INFO if fault is None else logging.ERROR
        if not log.isEnabledFor(level):
            return
        mail, sender, recipients, why = transaction.id, transaction.mail_from, len(transaction.rcpt_tos), reason(reply)
        message = "connection %s: mail %s from <%s> is refused%s (%d, %s), %s bytes, %d recipients%s"
        extent = "" if reply.permanent else " for now"
        told = f": {fault}" if fault else ""
        args = (connection, mail, sender, extent, reply.code, why, "?" if size is None else size, recipients, told)
        _log(level, message, args, {**_fields(mail, sender, recipients, size, REFUSED, reply.code), "reason": why})

    def said(self, refusals: Sequence[Reply]) -> None:
        """The replies of 4xx and 5xx of one event."""
        if refusals and self._observer is not None:
            self._observer.said(refusals)


def _fields(mail: str, sender: str, recipients: int, size: int | None, result: str, code: int) -> dict[str, Any]:
    return {"mail": mail, "sender": sender, "recipients": recipients, "size": size, "result": result, "code": code}


def _log(level: int, message: str, args: tuple[Any, ...], fields: dict[str, Any]) -> None:
    """`log.info` would look through the stack for this place in half of the time of a record."""
    record = log.makeRecord(log.name, level, __file__, 0, message, args, None, _log.__name__, extra={"fields": fields})
    log.handle(record)
