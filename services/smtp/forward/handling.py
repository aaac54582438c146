"""One mail, from the moment that it is claimed until it is settled or given back."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from services.smtp.errors import ClaimLostError, MailGoneError, MailStoreError, ProgressError, ReportError
from services.smtp.forward.interface import Forwarder, Mail
from services.smtp.forward.progress import Progress, Result, decode_progress, encode_progress, result
from services.smtp.forward.schedule import Schedule
from services.smtp.forward.store_thread import StoreThread
from services.smtp.mailstore import Claim, MailQueue

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all mails of a consumer share.

    Attributes:
        store: the mail store.
        queue: of the consumer's group.
        forwarder: hands mails on.
        schedule: when they are tried again.
        lease: seconds that a claim lasts; it is renewed three times in it.
        clock: seconds since the epoch.
        chance: a number from 0 to 1, another one at each call.
    """

    store: StoreThread
    queue: MailQueue
    forwarder: Forwarder
    schedule: Schedule
    lease: float
    clock: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random


async def handle(claim: Claim, around: Surroundings) -> None:
    """Hands on a claimed mail as far as it goes, and tells the queue.

    When this is cancelled, what is known by then is kept, and the mail is due at once.
    """
    if not claim.progress:
        progress = Progress(since=around.clock())
    else:
        try:
            progress = decode_progress(claim.progress)
        except ProgressError as error:
            log.error("mail %s is left for later, for a version that knows more: %s", claim.info.id, error)
            await around.store.insist(around.queue.postpone, claim, around.schedule.longest, progress=claim.progress)
            return
    handling = asyncio.ensure_future(_Handling(claim, progress, around).run())
    keeping = asyncio.ensure_future(_keep(claim, around))
    try:
        await asyncio.wait({handling, keeping}, return_when=asyncio.FIRST_COMPLETED)
        if handling.done():
            handling.result()
        else:
            _log_lost(claim)
    except ClaimLostError:
        _log_lost(claim)
    except asyncio.CancelledError:
        await _cancel(handling)
        await _release(claim, progress, around)
        raise
    finally:
        await _cancel(keeping, handling)


def _log_lost(claim: Claim) -> None:
    log.warning("mail %s is another consumer's now, or was deleted: it is left alone", claim.info.id)


async def _keep(claim: Claim, around: Surroundings) -> None:
    """Renews the claim; ends when it is lost."""
    kept = True
    while kept:
        await asyncio.sleep(around.lease / 3)
        try:
            kept = await around.store.call(around.queue.renew, claim, lease=around.lease)
        except MailStoreError:  # logged; nobody else can claim it as long as that lasts
            continue


async def _cancel(*tasks: asyncio.Future[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _release(claim: Claim, progress: Progress, around: Surroundings) -> None:
    """Gives back a mail that nobody had the time for."""
    try:
        released = await around.store.call(around.queue.postpone, claim, 0, progress=encode_progress(progress))
    except MailStoreError:  # logged; its lease ends by itself
        return
    if released:
        log.info("mail %s is given back unfinished", claim.info.id)


class _Handling:
    """The work on one mail."""

    def __init__(self, claim: Claim, progress: Progress, around: Surroundings) -> None:
        self._claim = claim
        self._id = claim.info.id
        self._progress = progress
        self._around = around
        self._targets = around.forwarder.targets(claim.info)
        self._mail = Mail(claim.info, partial(around.store.read, self._id))

    @property
    def _pending(self) -> list[int]:
        return self._progress.pending(len(self._targets))

    async def run(self) -> None:
        try:
            await self._report()  # what a consumer that was killed left
            wanted = await self._attempt() if self._pending else 0.0
            await self._end(wanted)
        except ReportError as error:
            log.error("mail %s: its sender is notified later, as the store takes no mail now: %s", self._id, error)
            await self._postpone(self._around.schedule.first)
        except MailGoneError:
            log.info("mail %s was deleted: there is nothing to hand on", self._id)
            await self._around.store.insist(self._around.queue.settle, self._claim)

    async def _attempt(self) -> float:
        """Tries each pending target once; returns the seconds until which no further attempt is wanted."""
        attempted = self._pending
        try:
            return await self._around.forwarder.forward(self._mail, attempted, self._record)
        except (MailGoneError, ClaimLostError):
            raise
        except MailStoreError as error:
            await self._leave(attempted, str(error))
        except Exception as error:  # a fault met with one mail must not end the delivery of all others
            log.exception("mail %s met a fault, and is tried again later", self._id)
            await self._leave(attempted, f"{type(error).__name__} in the consumer, see its log")
        return 0.0

    async def _leave(self, attempted: list[int], reason: str) -> None:
        """Leaves for later what an attempt had not come to when it broke off."""
        broken = result("later", text=reason)
        await self._record({number: broken for number in attempted if number in self._pending})

    async def _record(self, results: Mapping[int, Result]) -> None:
        for number, found in results.items():
            level = logging.WARNING if found.state == "failed" else logging.INFO
            name = self._targets[number]
            log.log(level, "mail %s for %s, try %d: %s", self._id, name, self._progress.tries + 1, found)
        self._progress.note(results)
        if self._pending and any(found.final for found in results.values()):
            await self._save()  # otherwise the queue is told in a moment anyway

    async def _save(self) -> None:
        """Keeps what is known. Whoever has lost the mail by then does nothing more for it.

        Raises:
            ClaimLostError: it is another consumer's now.
        """
        around = self._around
        data = encode_progress(self._progress)
        if not await around.store.insist(around.queue.renew, self._claim, lease=around.lease, progress=data):
            raise ClaimLostError

    async def _end(self, wanted: float) -> None:
        """Tells the queue, when all targets have been tried."""
        around, progress, now = self._around, self._progress, self._around.clock()
        left = progress.since + around.schedule.give_up - now
        if self._pending and left <= 0:
            for number, found in progress.give_up(len(self._targets), "given up, delivery time expired").items():
                log.warning("mail %s for %s: %s", self._id, self._targets[number], found)
        await self._report()
        if not self._pending:
            await around.store.insist(around.queue.settle, self._claim)
            return
        progress.tries += 1
        await self._postpone(around.schedule.delay(progress.tries, left=left, at_least=wanted, chance=around.chance()))

    async def _postpone(self, delay: float) -> None:
        around = self._around
        data = encode_progress(self._progress)
        if await around.store.insist(around.queue.postpone, self._claim, delay, progress=data):
            log.info("mail %s is tried again in %.0f s", self._id, delay)

    async def _report(self) -> None:
        """Notifies the sender of what has become final, once.

        The notification is stored before it is marked as made, under an id that follows from what it is of: a consumer
        that is killed in between makes the same one again, and the store has it once.
        """
        around = self._around
        results = self._progress.unreported()
        if not results:
            return
        report = await around.forwarder.report(self._mail, results)
        if report is not None:
            await self._save()  # what the id follows from, and what must not be sent again if this is as far as it goes
            try:
                await around.store.call(around.store.store.add, report.envelope, (report.text,))
            except MailStoreError as error:  # it may be full until this very mail is settled, and could be pruned
                raise ReportError(str(error)) from error
            log.info("mail %s: its sender is notified by mail %s", self._id, report.envelope.id)
        self._progress.mark_reported(results)
