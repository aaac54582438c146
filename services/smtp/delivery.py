"""The mails of one event on their way into the mail store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final

from rr_tcp import Connection, SessionDataError
from services.smtp import replies
from services.smtp.errors import MailStoreError, MailStoreFullError
from services.smtp.events import Message
from services.smtp.mailstore import MailEnvelope, MailSink
from services.smtp.outcomes import Outcomes
from services.smtp.replies import Reply
from services.smtp.state import SmtpState, Transaction
from services.smtp.trace import protocol_name

EVENT_BUDGET: Final = 10.0
"""Seconds from the first mail of an event until its further ones are refused for now. With one wait for a locked store
on top it ends before RoadRunner's `exec_ttl`, which would take the answers to the mails that are stored with it."""

TEXT_BUDGET: Final = 12.0
"""Seconds from the first mail of an event until a text that is still on its way, piece by piece, is given up: a slow
network makes minutes of a large mail. What ends a mail can then be tried twice before `exec_ttl`."""


class Delivery:
    """Stores the mails of one event, and gives up early: who stores keeps a worker that other clients wait for.

    Args:
        connection: from which the mails come.
        store: where they go.
        limit: how many it may be.
        clock: the time in UTC.
        outcomes: is told what becomes of each.
        tls: clients reach the listener through TLS only.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        connection: Connection[SmtpState],
        store: MailSink,
        *,
        limit: int,
        clock: Callable[[], datetime],
        outcomes: Outcomes,
        tls: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._store = store
        self._limit = limit
        self._clock = clock
        self._outcomes = outcomes
        self._tls = tls
        self._monotonic = monotonic
        self._began: float | None = None
        self._taken = 0
        self._failed: Reply | None = None

    @property
    def full(self) -> bool:
        """Whether the event has had as many mails as it may."""
        return self._taken >= self._limit

    def take_text(self, message: Message) -> bytes:
        """The text of a mail, whole, which leaves the connection's bulk data.

        Raises:
            SessionDataError: the session store returned another one than it was given.
        """
        try:
            return b"".join(self._text(message))
        finally:
            self._drop_text()

    def deliver(self, message: Message) -> Reply | None:
        """Stores a mail, piece by piece, whose text then leaves the connection's bulk data; see `store`.

        Raises:
            SessionDataError: the session store returned another text than it was given; nothing is stored.
        """
        try:
            return self.store(message.transaction, self._text(message), message.size)
        finally:
            self._drop_text()

    def store(self, transaction: Transaction, text: Iterable[bytes], size: int) -> Reply | None:
        """Stores a mail of `size` bytes; what the client is told when that cannot be done now, None when it is done.

        After one failure in an event, and when it takes too long, the others are refused without being tried. A text
        that takes too long is given up.
        """
        now = self._monotonic()
        if self._began is None:
            self._began = now
        if self._failed is not None:
            return self._refuse(transaction, size, self._failed, "the store failed for one before it")
        if now > self._began + EVENT_BUDGET:
            return self._refuse(transaction, size, replies.NOT_STORED, "its event takes too long")
        try:
            info = self._store.add(self._envelope(transaction), self._in_time(text, self._began + TEXT_BUDGET))
        except MailStoreError as error:
            full = isinstance(error, MailStoreFullError)
            self._failed = replies.STORE_FULL if full else replies.NOT_STORED
            return self._refuse(transaction, size, self._failed, str(error))
        self._outcomes.accepted(self._connection.uuid, info)
        return None

    def _refuse(self, transaction: Transaction, size: int, reply: Reply, fault: str) -> Reply:
        self._outcomes.refused(self._connection.uuid, transaction, size, reply, fault)
        return reply

    def _in_time(self, text: Iterable[bytes], deadline: float) -> Iterator[bytes]:
        """The text, as long as there is time for it."""
        for piece in text:
            if self._monotonic() > deadline:
                raise MailStoreError(
                    f"its text was not stored within {TEXT_BUDGET:g} s. See that both stores are near, and lower "
                    "SMTP_MAX_SIZE for as long as they are slow"
                )
            yield piece

    def _text(self, message: Message) -> Iterator[bytes]:
        """The text in pieces; the last one is followed by an error unless together they are what came."""
        size = 0
        for piece in self._connection.iter_bulk():
            size += len(piece)
            yield piece
        if size != message.size:
            raise SessionDataError(
                f"the session store returned {size} bytes of a mail of {message.size}: the mail is not accepted. "
                "See that the store evicts nothing and that nothing else writes to it"
            )

    def _drop_text(self) -> None:
        self._connection.clear_bulk()
        self._taken += 1

    def _envelope(self, transaction: Transaction) -> MailEnvelope:
        state = self._connection.state
        return MailEnvelope(
            id=transaction.id,
            mail_from=transaction.mail_from,
            rcpt_tos=tuple(transaction.rcpt_tos),
            received_at=self._clock(),
            peer=self._connection.remote_addr,
            helo=state.helo,
            protocol=protocol_name(
                extended=state.esmtp, authenticated=state.authenticated, tls=self._tls, utf8=transaction.smtputf8
            ),
            mail_options=tuple(transaction.mail_parameters),
            rcpt_options=tuple(transaction.rcpt_parameters),
        )
