"""The mail store for an event loop: its calls block, so they run in a thread of their own, one after the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, Self, TypeVar

from services.smtp.errors import MailStoreError
from services.smtp.mailstore import MailStore

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

FIRST_PAUSE: Final = 0.5
"""Seconds after a failed call until the store is asked again; each further pause is twice as long."""

LONGEST_PAUSE: Final = 15.0
"""Seconds that no pause is longer than: a store that is back should not wait long for its consumers."""


class StoreThread:
    """Calls of a mail store from an event loop, in the order in which they are made.

    One thread makes them all: SQLite's connections belong to the thread that opened them, and no store has to be safe
    for several.

    Args:
        store: which nobody else uses.
    """

    def __init__(self, store: MailStore) -> None:
        self.store = store
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="mail-store")
        self._down = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._run(self.store.close)
        self._executor.shutdown()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a method of the store or of a queue of it.

        Raises:
            MailStoreError: as the method does. The first failure of several is logged, and the end of them.
        """
        try:
            returned = await self._run(partial(function, *args, **kwargs))
        except MailStoreError as error:
            if not self._down:
                log.error("the mail store fails, and is asked again until it works: %s", error)
            self._down = True
            raise
        if self._down:
            log.info("the mail store works again")
        self._down = False
        return returned

    async def insist(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `call`, until it works: for what must not be forgotten because the store is away for a while."""
        pause = FIRST_PAUSE
        while True:
            try:
                return await self.call(function, *args, **kwargs)
            except MailStoreError:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def read(self, mail_id: str) -> AsyncIterator[bytes]:
        """The text of a mail, as `MailStore.read`. An error here is of this mail, so far as anybody knows."""
        pieces = await self._run(partial(self.store.read, mail_id))
        while (piece := await self._run(partial(next, pieces, None))) is not None:
            yield piece

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)
