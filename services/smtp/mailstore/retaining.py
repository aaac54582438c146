"""A mail store that keeps to the retention settings by itself, whoever receives mail with it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final

from services.smtp.errors import MailStoreError, MailStoreFullError
from services.smtp.mailstore.interface import PRUNED_AT_ONCE, MailEnvelope, MailInfo, MailSink

log = logging.getLogger(__name__)

EVERY: Final = 10
"""Mails that a worker stores between two prunings."""

STEP: Final = 30
"""Mails that a pruning removes at most: more than `EVERY`, so that pruning outruns storing, and few enough for the
client that waits meanwhile."""

INTERVAL: Final = 60.0
"""Seconds after which the next connection is reason enough: mails grow old also where few come."""


class RetainingSink:
    """A `MailSink` in front of another one, which it prunes now and then, a few mails at a time.

    Pruning that fails is logged and costs nothing else: the mail before it is stored.

    Args:
        store: where mails go.
        keep: as for `MailSink.prune`; so for the others.
        older: mails that were received longer ago go.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        store: MailSink,
        *,
        keep: int | None,
        older: timedelta | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._keep = keep
        self._older = older
        self._monotonic = monotonic
        self._stored = 0
        self._pruned_at: float | None = None

    def open(self) -> None:
        """See `MailSink.open`."""
        self._store.open()
        if self._pruned_at is None or self._monotonic() >= self._pruned_at + INTERVAL:
            self._prune()

    def add(self, envelope: MailEnvelope, pieces: Iterable[bytes]) -> MailInfo:
        """See `MailSink.add`. A store that is full is pruned for the next try, which the client is told to make."""
        try:
            info = self._store.add(envelope, pieces)
        except MailStoreFullError:
            self._prune()
            raise
        self._stored += 1
        if self._stored % EVERY == 0:
            self._prune()
        return info

    def prune(self, *, keep: int | None = None, older: timedelta | None = None, limit: int = PRUNED_AT_ONCE) -> int:
        """See `MailSink.prune`."""
        return self._store.prune(keep=keep, older=older, limit=limit)

    def close(self) -> None:
        """See `MailSink.close`."""
        self._store.close()

    def _prune(self) -> None:
        self._pruned_at = self._monotonic()
        if self._keep is None and self._older is None:
            return
        try:
            removed = self._store.prune(keep=self._keep, older=self._older, limit=STEP)
        except MailStoreError as error:
            log.error("the mail store could not be pruned: %s", error)
        else:
            if removed:
                log.info("%d mails were removed that were too many or too old", removed)
