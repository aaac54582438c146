"""The mails of one event on their way into the mail store."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from rr_tcp import Connection, SessionDataError
from services.smtp.errors import MailStoreError
from services.smtp.events import Message
from services.smtp.mailstore import Mail, MailInfo, MailStore
from services.smtp.state import SmtpState, Transaction

log = logging.getLogger(__name__)

EVENT_BUDGET: Final = 10.0
"""Seconds from the first mail of an event until its further ones are refused for now. With one wait for a locked store
on top it ends before RoadRunner's `exec_ttl`, which would take the answers to the mails that are stored with it."""


class Delivery:
    """Stores the mails of one event, and gives up early: who stores keeps a worker that other clients wait for.

    Args:
        connection: from which the mails come.
        store: where they go.
        limit: how many it may be.
        clock: the time in UTC.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        connection: Connection[SmtpState],
        store: MailStore,
        *,
        limit: int,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._store = store
        self._limit = limit
        self._clock = clock
        self._monotonic = monotonic
        self._deadline: float | None = None
        self._taken = 0
        self._failed = False

    @property
    def full(self) -> bool:
        """Whether the event has had as many mails as it may."""
        return self._taken >= self._limit

    def take_text(self, message: Message) -> bytes:
        """The text of a mail, which leaves the connection's bulk data.

        Raises:
            SessionDataError: the session store returned another one than it was given.
        """
        content = self._connection.read_bulk()
        if len(content) != message.size:
            raise SessionDataError(
                f"the session store returned {len(content)} bytes of a mail of {message.size}: the mail is not "
                "accepted. See that the store evicts nothing and that nothing else writes to it"
            )
        self._connection.clear_bulk()
        self._taken += 1
        return content

    def store(self, transaction: Transaction, content: bytes) -> bool:
        """Stores a mail; False when that failed, or did so before in this event, or the event takes too long."""
        now = self._monotonic()
        if self._deadline is None:
            self._deadline = now + EVENT_BUDGET
        if self._failed or now > self._deadline:
            reason = "the store failed for one before it" if self._failed else "its event takes too long"
            log.error(
                "connection %s: mail %s is refused for now (451): %s", self._connection.uuid, transaction.id, reason
            )
            return False
        info = self._info(transaction, content)
        try:
            self._store.add(Mail(info, content))
        except MailStoreError as error:
            self._failed = True
            log.error("connection %s: mail %s is refused for now (451): %s", self._connection.uuid, info.id, error)
            return False
        log.info(
            "connection %s: mail %s stored, %d bytes, %d recipients",
            self._connection.uuid,
            info.id,
            info.size,
            len(info.rcpt_tos),
        )
        return True

    def _info(self, transaction: Transaction, content: bytes) -> MailInfo:
        return MailInfo(
            id=transaction.id,
            mail_from=transaction.mail_from,
            rcpt_tos=tuple(transaction.rcpt_tos),
            size=len(content),
            received_at=self._clock(),
            peer=self._connection.remote_addr,
            sha256=hashlib.sha256(content).hexdigest(),
            helo=self._connection.state.helo,
            mail_options=tuple(transaction.mail_options),
            rcpt_options=tuple(transaction.rcpt_options),
        )
