"""The consumer on a real queue, with something in place of the network that does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import pytest

from services.smtp import Claim, MailInfo, MailQueue, MailStoreError, open_mail_store
from services.smtp.forward.consumer import Consumer
from services.smtp.forward.handling import handle
from services.smtp.forward.interface import Mail, Record, Report
from services.smtp.forward.progress import Progress, Result, decode_progress, encode_progress
from services.smtp.forward.schedule import Schedule
from services.smtp.forward.store_thread import StoreThread
from tests.services.smtp.forward.harness import TEXT, Mails
from tests.support.waiting import TIMEOUT, wait_until

DELIVERED, LATER, FAILED = Result("delivered", 250), Result("later", 450), Result("failed", 550)

Work = Callable[[Mail, Sequence[int], Record], Awaitable[float]]


class Told:
    """A forwarder that does as it is told.

    Args:
        work: done for each mail.

    Attributes:
        tried: what it was asked to do, as ids of mails and numbers of targets.
        reported: what it could have made reports of.
        most: mails that were under way at a time.
        rested, closed: how often it was asked to.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self.tried: list[tuple[str, list[int]]] = []
        self.reported: list[dict[int, Result]] = []
        self.most = 0
        self.rested = self.closed = 0
        self._now = 0

    def targets(self, info: MailInfo) -> Sequence[str]:
        return info.rcpt_tos

    async def forward(self, mail: Mail, targets: Sequence[int], record: Record) -> float:
        self.tried.append((mail.info.id, list(targets)))
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            return await self._work(mail, targets, record)
        finally:
            self._now -= 1

    async def report(self, mail: Mail, results: Mapping[int, Result]) -> Report | None:
        del mail
        self.reported.append(dict(results))
        return None

    async def rest(self) -> None:
        self.rested += 1

    async def close(self) -> None:
        self.closed += 1


def always(*results: Result, wanted: float = 0.0) -> Work:
    """Each attempt has these results, by the number of the target."""

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        del mail
        await record({number: results[number] for number in targets})
        return wanted

    return work


def raising(error: Exception) -> Work:
    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        del mail, targets, record
        raise error

    return work


class Clock:
    """Seconds since the epoch, which pass as a test wants."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


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


def test_only_what_is_left_is_tried_again(mails: Mails) -> None:
    mail_id = mails.add("one@b.test", "two@b.test", "three@b.test")

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        second = LATER if len(told.tried) < 3 else DELIVERED
        return await always(DELIVERED, second, FAILED)(mail, targets, record)

    told = Told(work)
    mails.consume(told)
    assert told.tried == [(mail_id, [0, 1, 2]), (mail_id, [1]), (mail_id, [1])]
    assert mails.left == 0


def test_what_is_known_is_kept_as_soon_as_it_is_known(mails: Mails) -> None:
    """Of a consumer that is killed right after the first result, the next one repeats nothing."""
    mails.add("one@b.test", "two@b.test")
    claims: list[Claim] = []

    def claimed_by_the_next() -> bool:
        claims.extend(mails.queue.claim(lease=600))
        return bool(claims)

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        del mail, targets
        await record({0: DELIVERED})
        wait_until(claimed_by_the_next)  # which blocks: this consumer is as good as dead
        return 0.0

    mails.consume(Told(work), lease=0.2, schedule=Schedule(first=600))
    assert decode_progress(claims[0].progress).results == {0: DELIVERED}


def test_a_mail_is_given_up_after_a_time_that_counts_from_the_first_attempt(
    mails: Mails, info: pytest.LogCaptureFixture
) -> None:
    """However long it lay in the store before. Those who were delivered stay delivered."""
    mail_id = mails.add("one@b.test", "two@b.test")
    clock = Clock()

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        clock.now += 40
        return await always(DELIVERED, LATER)(mail, targets, record)

    told = Told(work)
    mails.consume(told, clock=clock, schedule=Schedule(first=0, longest=0, give_up=100))
    assert told.tried == [(mail_id, [0, 1]), (mail_id, [1]), (mail_id, [1])]
    assert told.reported == [{0: DELIVERED}, {1: Result("failed", 450, "given up, delivery time expired")}]
    assert f"mail {mail_id} for two@b.test: failed 450 given up, delivery time expired" in info.text
    assert mails.left == 0


def test_the_next_attempt_is_when_the_schedule_or_the_other_side_says(
    mails: Mails, info: pytest.LogCaptureFixture
) -> None:
    mails.add()
    mails.add()
    mails.consume(Told(always(LATER)), schedule=Schedule(first=60))
    assert info.text.count("is tried again in 60 s") == 2
    mails.add()
    mails.consume(Told(always(LATER, wanted=500)), schedule=Schedule(first=60))
    assert info.text.count("is tried again in 500 s") == 1
    assert mails.left == 3


def test_tries_are_counted_over_restarts(mails: Mails, info: pytest.LogCaptureFixture) -> None:
    mails.add()
    [claim] = mails.queue.claim(lease=0)
    mails.queue.postpone(claim, 0, progress=encode_progress(Progress(since=1_000_000.0, tries=3)))
    mails.consume(Told(always(LATER)), clock=Clock(), schedule=Schedule(first=100, longest=10_000))
    assert "try 4: later 450" in info.text
    assert "is tried again in 800 s" in info.text


@pytest.mark.parametrize("error", [ValueError("a fault"), MailStoreError("unreadable")], ids=["fault", "store"])
def test_a_fault_met_with_one_mail_leaves_it_for_later_and_the_others_alone(
    mails: Mails, info: pytest.LogCaptureFixture, error: Exception
) -> None:
    faulty, sound = mails.add("faulty@b.test"), mails.add()

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        return await (raising(error) if mail.info.id == faulty else always(DELIVERED))(mail, targets, record)

    told = Told(work)
    mails.consume(told, schedule=Schedule(first=600))
    assert [mail_id for mail_id, _ in told.tried] == [faulty, sound]
    assert f"mail {faulty} is tried again in 600 s" in info.text
    assert mails.left == 1


def test_a_mail_that_was_deleted_is_done_with(mails: Mails) -> None:
    mail_id = mails.add()

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        mails.store.delete(mail_id)
        text = b"".join([piece async for piece in mail.read()])
        assert not text, "there was none to be read"
        return await always(DELIVERED)(mail, targets, record)

    told = Told(work)
    mails.consume(told)
    assert len(told.tried) == 1
    assert mails.left == 0


def test_the_text_can_be_read_more_than_once(mails: Mails) -> None:
    mails.add()
    texts = []

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        texts.extend([b"".join([piece async for piece in mail.read()]) for _ in range(2)])
        return await always(DELIVERED)(mail, targets, record)

    mails.consume(Told(work))
    assert texts == [TEXT, TEXT]


def test_progress_of_a_later_version_is_left_to_it(mails: Mails, info: pytest.LogCaptureFixture) -> None:
    mails.add()
    [claim] = mails.queue.claim(lease=0)
    mails.queue.postpone(claim, 0, progress=b'{"since":1,"version":9}')
    told = Told(always(DELIVERED))
    mails.consume(told, schedule=Schedule(longest=600))
    assert told.tried == []
    assert mails.left == 1
    assert "is left for later, for a version that knows more" in info.text


def test_what_a_killed_consumer_did_not_report_is_reported_before_anything_else(mails: Mails) -> None:
    mails.add("one@b.test", "two@b.test")
    [claim] = mails.queue.claim(lease=0)
    mails.queue.postpone(claim, 0, progress=encode_progress(Progress(since=5, results={0: FAILED})))

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        assert told.reported == [{0: FAILED}]
        return await always(LATER, LATER)(mail, targets, record)

    told = Told(work)
    mails.consume(told, schedule=Schedule(first=600))
    assert told.tried[0][1] == [1]


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


def test_a_mail_that_was_lost_to_another_consumer_is_left_alone(mails: Mails, info: pytest.LogCaptureFixture) -> None:
    mails.add()
    ended = []

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        del mail, targets, record
        [_] = [claim for _ in range(2) for claim in mails.queue.claim(lease=600)]
        try:
            await asyncio.sleep(TIMEOUT)
        except asyncio.CancelledError:
            ended.append(True)
            raise
        return 0.0

    async def stalled() -> None:
        """The lease ends before it is first renewed, as after a long sleep of the machine."""
        around = mails.around(Told(work), lease=0.3)
        async with around.store as store:
            claims = await store.call(around.queue.claim, lease=0.0)
            await handle(claims[0], around)

    asyncio.run(stalled())
    assert ended == [True]
    assert "is another consumer's now" in info.text
    assert mails.left == 1


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
