"""What the queue of every mail store does: each mail to each group until it is settled, whoever dies meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rr_tcp import ConfigurationError
from services.smtp import Claim, MailQueue, MailStore
from services.smtp.mailstore import QueueStatus
from tests.services.smtp.mailstore.samples import TEXT, add, mail_id, numbers, text_of
from tests.support.waiting import wait_until

SOON = 0.1
"""Seconds of leases and delays that a test waits for."""


def ids(claims: list[Claim]) -> list[int]:
    return [int(claim.info.id) for claim in claims]


def claimed(queue: MailQueue, count: int) -> list[Claim]:
    """The next so many mails, once they are due."""
    claims: list[Claim] = []

    def all_there() -> bool:
        claims.extend(queue.claim(count - len(claims), lease=600))
        return len(claims) == count

    wait_until(all_there, f"{count} due mails")
    return claims


def test_a_group_begins_with_the_mails_that_are_stored_after_it_was_opened(store: MailStore, other: MailStore) -> None:
    add(store, 0)
    queue = store.queue("relay")
    queue.open()
    add(other, 1)
    assert ids(other.queue("relay").claim(5)) == [1]
    assert queue.claim(5) == []


def test_a_group_can_begin_with_all_that_is_there(store: MailStore) -> None:
    add(store, 0)
    add(store, 1)
    queue = store.queue("relay", start="all")
    assert ids(queue.claim(5)) == [0, 1]


def test_where_a_group_is_does_not_depend_on_who_opens_it_later(store: MailStore, other: MailStore) -> None:
    store.queue("relay").open()
    add(store, 0)
    assert ids(other.queue("relay", start="new").claim()) == [0]
    assert other.queue("relay", start="all").claim() == []


def test_mails_are_claimed_the_oldest_first_each_by_one(store: MailStore, other: MailStore) -> None:
    one, two = store.queue("relay", start="all"), other.queue("relay", start="all")
    for number in range(5):
        add(store, number)
    assert [ids(one.claim(2)), ids(two.claim(2)), ids(one.claim(2)), ids(two.claim(2))] == [[0, 1], [2, 3], [4], []]


def test_a_claim_has_the_mail_and_says_how_often_it_was_tried(store: MailStore) -> None:
    info = add(store)
    [claim] = store.queue("relay", start="all").claim()
    assert claim == Claim(info, attempts=1, progress=b"")
    assert text_of(store) == TEXT


def test_groups_know_nothing_of_one_another(store: MailStore) -> None:
    relay, webhook = store.queue("relay", start="all"), store.queue("webhook", start="all")
    add(store)
    for queue in (relay, webhook):
        [claim] = queue.claim()
        queue.settle(claim)
        assert queue.claim() == []


def test_a_settled_mail_never_comes_again_and_stays_in_the_store(store: MailStore, other: MailStore) -> None:
    queue = store.queue("relay", start="all")
    add(store, 0)
    add(store, 1)
    first, second = queue.claim(2, lease=SOON)
    queue.settle(first)
    queue.settle(first)
    assert claimed(other.queue("relay"), 1) == [Claim(second.info, attempts=2)]
    assert other.queue("relay").claim() == []
    assert numbers(store) == [0, 1]


def test_a_mail_whose_consumer_died_is_due_when_its_lease_ends(store: MailStore, other: MailStore) -> None:
    add(store)
    [dead] = store.queue("relay", start="all").claim(lease=SOON)
    claims = claimed(other.queue("relay"), 1)
    assert claims == [Claim(dead.info, attempts=2)]


def test_a_lease_that_is_renewed_goes_on_and_keeps_what_was_recorded(store: MailStore, other: MailStore) -> None:
    queue = store.queue("relay", start="all")
    add(store)
    [claim] = queue.claim(lease=600)
    assert queue.renew(claim, lease=600, progress=b"one of two")
    assert queue.renew(claim, lease=SOON)
    claims = claimed(other.queue("relay"), 1)
    assert claims == [Claim(claim.info, attempts=2, progress=b"one of two")]


def test_a_postponed_mail_comes_again_after_its_delay_before_newer_ones(store: MailStore) -> None:
    queue = store.queue("relay", start="all")
    for number in range(3):
        add(store, number)
    first, second = queue.claim(2)
    assert queue.postpone(first, SOON, progress=b"\0\xff")
    assert queue.postpone(second, 600, progress=b"")
    seen = claimed(queue, 2)
    assert sorted(ids(seen)) == [0, 2]
    assert next(claim for claim in seen if claim.info.id == mail_id(0)) == Claim(first.info, 2, b"\0\xff")


def test_who_lost_a_mail_to_another_consumer_changes_nothing_by_giving_it_back(store: MailStore) -> None:
    queue = store.queue("relay", start="all")
    add(store)
    [lost] = queue.claim(lease=0)
    [claim] = queue.claim(lease=600)
    assert not queue.postpone(lost, 0, progress=b"stale")
    assert not queue.renew(lost, lease=0)
    assert queue.claim() == []
    assert queue.renew(claim, lease=0)
    assert queue.claim() == [Claim(claim.info, attempts=3)]


def test_who_did_the_work_may_settle_it_after_its_lease_ended(store: MailStore) -> None:
    queue = store.queue("relay", start="all")
    add(store)
    [late] = queue.claim(lease=0)
    [claim] = queue.claim(lease=0)
    queue.settle(late)
    assert queue.claim() == []
    assert not queue.renew(claim)
    assert not queue.postpone(claim, 0, progress=b"")


def test_a_deleted_mail_leaves_the_queues(store: MailStore) -> None:
    queue = store.queue("relay", start="all")
    for number in range(3):
        add(store, number)
    [claim] = queue.claim(lease=0)
    store.delete(mail_id(0))
    store.delete(mail_id(1))
    assert ids(queue.claim(5)) == [2]
    assert not queue.renew(claim)
    queue.settle(claim)


def test_pruning_leaves_what_a_group_has_not_settled(store: MailStore) -> None:
    queue = store.queue("relay", start="all")
    for number in range(4):
        add(store, number)
    settled, claimed = queue.claim(2)
    queue.settle(settled)
    assert store.prune(keep=0, older=timedelta(0)) == 1
    assert numbers(store) == [1, 2, 3]
    queue.settle(claimed)
    assert store.prune(keep=0) == 1
    assert store.drop_queue("relay")
    assert store.prune(keep=0) == 2


def test_the_groups_and_what_they_have_left_are_known(store: MailStore) -> None:
    assert store.queues() == []
    add(store, 0)
    relay = store.queue("relay", start="all")
    store.queue("webhook").open()
    for number in (1, 2):
        add(store, number)
    first, _ = relay.claim(2)
    relay.settle(first)
    assert store.queues() == [QueueStatus("relay", waiting=1, open=1), QueueStatus("webhook", waiting=2, open=0)]
    assert store.drop_queue("relay")
    assert not store.drop_queue("relay")
    assert store.queues() == [QueueStatus("webhook", waiting=2, open=0)]


def test_a_group_that_was_dropped_begins_anew(store: MailStore) -> None:
    queue = store.queue("relay", start="all")
    add(store)
    queue.claim()
    store.drop_queue("relay")
    assert [claim.attempts for claim in queue.claim()] == [1]


@pytest.mark.parametrize("name", ["", "two words", "a:b", "{tag}", "x" * 65, "é"])
def test_a_name_that_some_store_could_not_have_is_refused(store: MailStore, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a queue"):
        store.queue(name)
