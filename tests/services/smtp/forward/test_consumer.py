"""The consumer on a real queue, with something in place of the network that does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from services.smtp import Claim, MailQueue, MailStoreError, open_mail_store
from services.smtp.forward.consumer import Consumer
from services.smtp.forward.interface import Mail, Record
from services.smtp.forward.progress import Progress, decode_progress
from services.smtp.forward.schedule import Schedule
from services.smtp.forward.store_thread import StoreThread
from tests.services.smtp.forward.harness import Mails
from tests.services.smtp.forward.told import DELIVERED, Told, always
from tests.support.waiting import TIMEOUT


def progress_of(mails: Mails) -> Progress:
    """What the queue keeps of the one mail that is due, which it hands out for that."""
    [claim] = mails.queue.claim(5, lease=0)
    return decode_progress(claim.progress)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110 - what is waited for is not only of this loop
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(
    mails: Mails, forwarder: Told, *, lease: float = 60.0, grace: float = 20.0, store: StoreThread | None = None
) -> AsyncIterator[Consumer]:
    """A consumer that runs for the time of the block, and ends without an error."""
    around = mails.around(forwarder, lease=lease, schedule=Schedule(first=600), store=store)
    async with around.store:
        consumer = Consumer(around, concurrency=2, poll=0.01, grace=grace)
        task = asyncio.create_task(consumer.run())
        try:
            yield consumer
        finally:
            consumer.stop()
            await task


def test_what_is_done_is_settled(mails: Mails) -> None:
    ids = [mails.add() for _ in range(3)]
    told = Told(always(DELIVERED))
    mails.consume(told, concurrency=1)
    assert told.tried == [(mail_id, [0]) for mail_id in ids]
    assert mails.left == 0
    assert len(list(mails.store.mails())) == 3
    assert told.closed == 1


def test_no_more_mails_are_under_way_than_allowed(mails: Mails) -> None:
    for _ in range(20):
        mails.add()

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        await asyncio.sleep(0.005)
        return await always(DELIVERED)(mail, targets, record)

    told = Told(work)
    mails.consume(told, concurrency=3)
    assert told.most == 3
    assert mails.left == 0


def test_a_lease_is_renewed_as_long_as_a_mail_is_under_way(mails: Mails) -> None:
    mails.add()

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        seen = []
        for _ in range(40):
            await asyncio.sleep(0.02)
            seen += mails.queue.claim()
        assert seen == [], "another consumer got it"
        return await always(DELIVERED)(mail, targets, record)

    told = Told(work)
    mails.consume(told, lease=0.3)
    assert len(told.tried) == 1
    assert mails.left == 0


def test_who_is_told_to_end_finishes_what_is_under_way(mails: Mails) -> None:
    for _ in range(5):
        mails.add()
    release = asyncio.Event()

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        await release.wait()
        return await always(DELIVERED)(mail, targets, record)

    async def run() -> Told:
        told = Told(work)
        async with running(mails, told) as consumer:
            await until(lambda: len(told.tried) == 2)
            consumer.stop()
            release.set()
        return told

    told = asyncio.run(run())
    assert len(told.tried) == 2
    assert mails.left == 3
    assert told.closed == 1


def test_what_is_not_done_in_time_is_given_back_with_what_is_known(mails: Mails) -> None:
    mails.add("one@b.test", "two@b.test")

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        del mail, targets
        await record({0: DELIVERED})
        await asyncio.sleep(TIMEOUT)
        return 0.0

    async def run() -> None:
        told = Told(work)
        async with running(mails, told, grace=0.05):
            await until(lambda: bool(told.tried))

    asyncio.run(run())
    assert mails.left == 1
    assert progress_of(mails).results == {0: DELIVERED}, "and it is due at once"


def test_mail_that_comes_later_is_handed_on_and_idle_time_is_used(mails: Mails) -> None:
    async def run() -> None:
        told = Told(always(DELIVERED))
        async with running(mails, told):
            await until(lambda: told.rested > 0)
            assert told.tried == []
            mails.add()
            await until(lambda: len(told.tried) == 1)

    asyncio.run(run())
    assert mails.left == 0


class _Failing:
    """A store that is away for so many calls."""

    def __init__(self, mails: Mails, failures: int) -> None:
        self._store = open_mail_store(mails.url)
        self.failures = failures

    def fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise MailStoreError("away")

    def queue(self, group: str) -> MailQueue:
        outer, queue = self, self._store.queue(group)

        class Queue:
            def claim(self, limit: int = 1, *, lease: float) -> list[Claim]:
                outer.fail()
                return queue.claim(limit, lease=lease)

            def settle(self, claim: Claim) -> None:
                outer.fail()
                queue.settle(claim)

            def __getattr__(self, name: str) -> object:
                return getattr(queue, name)

        made: MailQueue = Queue()  # type: ignore[assignment]  # the rest is the real queue's
        return made

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("store_thread", "consumer"):
        for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
            monkeypatch.setattr(f"services.smtp.forward.{module}.{name}", 0.001)


@pytest.mark.usefixtures("_quick")
def test_a_store_that_is_away_is_waited_for_and_nothing_is_done_twice(
    mails: Mails, info: pytest.LogCaptureFixture
) -> None:
    """It goes away while a mail is under way, so that what is done cannot be settled, and while there is none."""
    failing = _Failing(mails, 5)
    mails.add()

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        failing.failures = 5
        return await always(DELIVERED)(mail, targets, record)

    async def run() -> Told:
        told = Told(work)
        store = StoreThread(failing)  # type: ignore[arg-type]  # the rest is the real store's
        async with running(mails, told, store=store):
            await until(lambda: len(told.tried) == 1 and not failing.failures)
            await until(lambda: mails.left == 0)
        return told

    told = asyncio.run(run())
    assert len(told.tried) == 1
    assert [record.levelno for record in info.records if "the mail store" in record.getMessage()] == [
        logging.ERROR,
        logging.INFO,
        logging.ERROR,
        logging.INFO,
    ]


def test_a_store_that_is_away_ends_a_single_round(mails: Mails, tmp_path: Path) -> None:
    (tmp_path / "mail.db").rename(tmp_path / "moved.db")
    with pytest.raises(MailStoreError):
        mails.consume(Told(always(DELIVERED)))
