"""The loop that works through a queue: claims what is due, several mails at a time, and ends in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from services.smtp.errors import MailStoreError
from services.smtp.forward.handling import Surroundings, handle
from services.smtp.forward.store_thread import FIRST_PAUSE, LONGEST_PAUSE
from services.smtp.mailstore import Claim

log = logging.getLogger(__name__)

POLL: Final = 1.0
"""Seconds between two looks into a queue that has nothing due. A look is one read."""

GRACE: Final = 20.0
"""Seconds that what is under way has when the consumer is to end. Compose's `stop_grace_period` is longer."""


class Consumer:
    """Works through the queue of a group, beside any number of others.

    Args:
        around: store, queue, forwarder and the rules of retrying.
        concurrency: mails that are under way at a time.
        poll: seconds between two looks into a queue that has nothing due.
        grace: seconds that what is under way has once `stop` was called; after that it is given back.
    """

    def __init__(self, around: Surroundings, *, concurrency: int, poll: float = POLL, grace: float = GRACE) -> None:
        self._around = around
        self._concurrency = concurrency
        self._poll = poll
        self._grace = grace
        self._stopping = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._pause = FIRST_PAUSE

    def stop(self) -> None:
        """Claims no more; `run` returns when what is under way is done or given back."""
        self._stopping.set()

    async def run(self, *, once: bool = False) -> None:
        """Works until it is stopped.

        Args:
            once: only until nothing is due and nothing under way.

        Raises:
            MailStoreError: with `once`, the store fails: there is nobody to wait for its return.
        """
        try:
            while not self._stopping.is_set():
                if len(self._under_way) >= self._concurrency:
                    await self._wait()
                    continue
                claims = await self._claim(retry=not once)
                for claim in claims:
                    self._begin(handle(claim, self._around))
                if claims:
                    continue
                if once and not self._under_way:
                    break
                if not self._under_way:
                    await self._around.forwarder.rest()
                await self._wait(None if once else self._poll)
        finally:
            await self._finish()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a mail met a fault, and comes again when its lease ends", exc_info=error)

    async def _claim(self, *, retry: bool) -> list[Claim]:
        """What is due, as much as there is room for; after a failure of the store nothing, and a pause."""
        around = self._around
        free = self._concurrency - len(self._under_way)
        try:
            claims = await around.store.call(around.queue.claim, free, lease=around.lease)
        except MailStoreError:
            if not retry:
                raise
            await self._wait(self._pause, for_work=False)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return []
        self._pause = FIRST_PAUSE
        return claims

    async def _wait(self, seconds: float | None = None, *, for_work: bool = True) -> None:
        """Waits until a mail is done, the consumer is to stop, or the time is over."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        awaited = {stopping, *self._under_way} if for_work else {stopping}
        try:
            await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()

    async def _finish(self) -> None:
        """Waits for what is under way, and has the rest give their mails back."""
        if self._under_way:
            log.info("%d mails are under way: they have %g s to be done", len(self._under_way), self._grace)
            await asyncio.wait(self._under_way, timeout=self._grace)
        left = list(self._under_way)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._around.forwarder.close()
