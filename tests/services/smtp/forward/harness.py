"""Mails in a real store, and a consumer that works through them in this process."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from services.smtp import MailEnvelope, MailInfo, MailQueue, MailStore, open_mail_store
from services.smtp.forward.consumer import Consumer
from services.smtp.forward.handling import Surroundings
from services.smtp.forward.interface import Forwarder
from services.smtp.forward.schedule import Schedule
from services.smtp.forward.store_thread import StoreThread
from services.smtp.mailstore import QueueStatus

GROUP: Final = "relay"
TEXT: Final = b"Subject: test\r\n\r\n.dots\r\ntext\r\n"
AT_ONCE: Final = Schedule(first=0, longest=0)
"""Retries without a pause."""

_ids = itertools.count(1)


def envelope(
    *rcpt_tos: str,
    mail_from: str = "from@a.test",
    mail_options: tuple[str, ...] = (),
    rcpt_options: tuple[str, ...] = (),
) -> MailEnvelope:
    """All about a mail but its text; each has another id."""
    return MailEnvelope(
        id=f"{next(_ids):032x}",
        mail_from=mail_from,
        rcpt_tos=rcpt_tos or ("to@b.test",),
        received_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        peer="192.0.2.1:1234",
        helo="client.test",
        mail_options=mail_options,
        rcpt_options=rcpt_options,
    )


def info_of(mail: MailEnvelope, text: bytes = TEXT) -> MailInfo:
    """The mail as a store would have it."""
    return MailInfo(
        **{name: getattr(mail, name) for name in MailEnvelope.__dataclass_fields__}, size=len(text), sha256="0" * 64
    )


class Mails:
    """A mail store with a queue.

    Args:
        url: of the store.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.store: MailStore = open_mail_store(url)
        self.queue: MailQueue = self.store.queue(GROUP, start="all")
        self.queue.open()

    def close(self) -> None:
        self.store.close()

    def add(
        self, *rcpt_tos: str, text: bytes = TEXT, mail_from: str = "from@a.test", **options: tuple[str, ...]
    ) -> str:
        """Stores a mail and returns its id."""
        return self.store.add(envelope(*rcpt_tos, mail_from=mail_from, **options), (text,)).id

    @property
    def status(self) -> QueueStatus:
        [status] = self.store.queues()
        return status

    @property
    def left(self) -> int:
        """Mails that the queue is not done with."""
        return self.status.waiting + self.status.open

    def consume(
        self,
        forwarder: Forwarder,
        *,
        schedule: Schedule = AT_ONCE,
        concurrency: int = 4,
        lease: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Works until nothing is due."""
        asyncio.run(self._consume(forwarder, schedule, concurrency, lease, clock))

    async def _consume(
        self, forwarder: Forwarder, schedule: Schedule, concurrency: int, lease: float, clock: Callable[[], float]
    ) -> None:
        async with self.around(forwarder, schedule=schedule, lease=lease, clock=clock).store as store:
            around = self.around(forwarder, schedule=schedule, lease=lease, clock=clock, store=store)
            await Consumer(around, concurrency=concurrency).run(once=True)

    def around(
        self,
        forwarder: Forwarder,
        *,
        schedule: Schedule = AT_ONCE,
        lease: float = 60.0,
        clock: Callable[[], float] = time.time,
        store: StoreThread | None = None,
    ) -> Surroundings:
        """What a consumer needs, with a connection to the store of its own."""
        store = store or StoreThread(open_mail_store(self.url))
        return Surroundings(store, store.store.queue(GROUP), forwarder, schedule, lease, clock, lambda: 0.0)
