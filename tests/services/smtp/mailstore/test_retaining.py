"""A receiver's mail store keeps to the retention settings by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.smtp import MailStoreError, MailStoreFullError
from services.smtp.mailstore.retaining import EVERY, INTERVAL, STEP, RetainingSink
from services.smtp.mailstore.sqlite import SqliteMailStore
from services.smtp.mailstore.table import PRUNED_SIZE
from tests.services.smtp.harness import MemoryMailStore
from tests.services.smtp.mailstore.samples import add, envelope, mail_id, numbers
from tests.support.clock import Clock


def sink(
    store: MemoryMailStore, clock: Clock | None = None, keep: int | None = 5, older: timedelta | None = None
) -> RetainingSink:
    return RetainingSink(store, keep=keep, older=older, monotonic=clock or Clock())


def test_it_prunes_with_the_first_connection_and_again_after_a_time() -> None:
    store, clock = MemoryMailStore(), Clock()
    retaining = sink(store, clock, keep=5, older=timedelta(days=7))
    for clock.now in (0.0, 1.0, INTERVAL - 1, INTERVAL, INTERVAL + 1):
        retaining.open()
    assert store.opened == 5
    assert store.pruned == [(5, timedelta(days=7), STEP)] * 2


def test_it_prunes_after_some_mails_more_than_came() -> None:
    store = MemoryMailStore()
    retaining = sink(store)
    for number in range(3 * EVERY):
        retaining.add(envelope(number), (b"text",))
    assert len(store.pruned) == 3
    assert STEP > EVERY


def test_without_settings_nothing_is_removed() -> None:
    store = MemoryMailStore()
    retaining = sink(store, keep=None)
    retaining.open()
    for number in range(EVERY):
        retaining.add(envelope(number), (b"text",))
    assert store.pruned == []


def test_a_full_store_is_pruned_for_the_next_try() -> None:
    store = MemoryMailStore()
    store.failing = MailStoreFullError("full")
    with pytest.raises(MailStoreFullError):
        sink(store).add(envelope(), (b"text",))
    assert len(store.pruned) == 1


def test_pruning_that_fails_costs_no_mail(caplog: pytest.LogCaptureFixture) -> None:
    class Unprunable(MemoryMailStore):
        def prune(self, *, keep: int | None = None, older: timedelta | None = None, limit: int = 1) -> int:
            raise MailStoreError(f"not {keep}, {older}, {limit}")

    store = Unprunable()
    retaining = sink(store)
    for number in range(EVERY):
        retaining.add(envelope(number), (b"text",))
    assert len(store.kept) == EVERY
    assert "could not be pruned: not 5, None" in caplog.text


def test_a_pruning_frees_a_bounded_number_of_bytes_but_never_nothing(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page is freed by itself, and a client waits for it."""
    assert PRUNED_SIZE >= 1 << 20
    monkeypatch.setattr("services.smtp.mailstore.table.PRUNED_SIZE", 100)
    store = SqliteMailStore(tmp_path_factory.mktemp("mail") / "mail.db")
    for number, size in enumerate([60, 30, 30, 500, 1]):
        add(store, number, b"x" * size)
    assert [store.prune(keep=0) for _ in range(5)] == [2, 1, 1, 1, 0]
    assert numbers(store) == []
    assert store.get(mail_id(0)) is None
    store.close()
