"""Whether what was acknowledged is what was stored."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from pathlib import Path
from typing import Protocol

from bench.errors import BenchError
from bench.smtp.scenarios import Load
from services.smtp import open_mail_store


class Stored(Protocol):
    """Where a contender keeps its mails."""

    def check(self, load: Load) -> None:
        """`BenchError` unless it has every acknowledged mail once, as it was sent. Then it is emptied."""


class Nowhere:
    """Of a contender that keeps nothing."""

    def check(self, load: Load) -> None:
        """Nothing can be said."""


class InMailStore:
    """A mail store of the service.

    Args:
        url: as in MAIL_STORE.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def check(self, load: Load) -> None:
        """See `Stored.check`."""
        with contextlib.closing(open_mail_store(self._url, create=False)) as store:
            mails = list(store.mails())
            _same(load, len(mails))
            doubled = [sender for sender, count in Counter(mail.mail_from for mail in mails).items() if count > 1]
            if doubled:
                raise BenchError(f"{len(doubled)} mails are stored more than once, {doubled[0]} for one")
            changed = [mail for mail in mails if (mail.size, mail.sha256) != (load.size, load.sha256)]
            if changed:
                raise BenchError(f"{len(changed)} mails are stored with another text, {changed[0].mail_from} for one")
            while store.prune(keep=0, limit=1000):
                pass


class InMaildir:
    """A Maildir, as aiosmtpd's Mailbox makes it.

    Args:
        path: the directory.
    """

    def __init__(self, path: Path) -> None:
        self._new = path / "new"

    def check(self, load: Load) -> None:
        """See `Stored.check`; the handler adds to the text, so only the number is looked at."""
        _same(load, sum(1 for _ in self._new.iterdir()))
        shutil.rmtree(self._new)
        self._new.mkdir(mode=0o700)


def _same(load: Load, stored: int) -> None:
    if stored != load.acknowledged:
        raise BenchError(f"{load.acknowledged} mails were acknowledged and {stored} are stored")
