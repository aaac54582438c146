"""One mail on a real queue, with something in place of the network that does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence

import pytest

from services.smtp import Claim, MailEnvelope, MailInfo, MailStoreError, open_mail_store
from services.smtp.forward.handling import handle
from services.smtp.forward.interface import Mail, Record, Report
from services.smtp.forward.progress import Progress, Result, decode_progress, encode_progress
from services.smtp.forward.schedule import Schedule
from services.smtp.mailstore.sqlite import SqliteMailStore
from tests.services.smtp.forward.harness import GROUP, TEXT, Mails, envelope
from tests.services.smtp.forward.told import DELIVERED, FAILED, LATER, Told, always, raising
from tests.support.clock import Clock
from tests.support.waiting import TIMEOUT, wait_until


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
    clock = Clock(1_000_000.0)

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
    mails.consume(Told(always(LATER)), clock=Clock(1_000_000.0), schedule=Schedule(first=100, longest=10_000))
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


def test_what_is_known_is_kept_before_the_sender_is_notified(mails: Mails, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a consumer that is killed when it has stored the notification, the next one sends nothing again."""
    mails.add("one@b.test", "two@b.test")
    claims: list[Claim] = []
    add = SqliteMailStore.add

    def stored_at_last(store: SqliteMailStore, report: MailEnvelope, pieces: Iterable[bytes]) -> MailInfo:
        def claimed_by_the_next() -> bool:
            claims.extend(other.queue(GROUP).claim(lease=600))
            return bool(claims)

        with contextlib.closing(open_mail_store(mails.url)) as other:
            wait_until(claimed_by_the_next)  # which blocks, the renewing of the lease too
        return add(store, report, pieces)

    class Notifying(Told):
        async def report(self, mail: Mail, results: Mapping[int, Result]) -> Report | None:
            del results
            return Report(envelope(mail_from=""), TEXT) if mail.info.mail_from else None

    monkeypatch.setattr(SqliteMailStore, "add", stored_at_last)
    mails.consume(Notifying(always(DELIVERED, FAILED)), lease=0.2)
    assert decode_progress(claims[0].progress).results == {0: DELIVERED, 1: FAILED}


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


def test_whoever_lost_a_mail_learns_it_when_results_are_to_be_kept(
    mails: Mails, info: pytest.LogCaptureFixture
) -> None:
    """It does not go on to the next recipients, whom the other consumer serves as well, until a renewal tells."""
    mails.add("one@b.test", "two@b.test", "three@b.test")
    went_on = []

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        del mail, targets
        wait_until(lambda: bool(mails.queue.claim(lease=600)))  # which blocks: no renewal comes in between
        await record({0: DELIVERED})
        went_on.append(True)
        return 0.0

    async def stalled() -> None:
        around = mails.around(Told(work), lease=600)
        async with around.store as store:
            claims = await store.call(around.queue.claim, lease=0.0)
            await handle(claims[0], around)

    asyncio.run(stalled())
    assert not went_on
    assert "is another consumer's now" in info.text
    assert mails.left == 1
