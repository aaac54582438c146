"""What every mail store does, whatever keeps the mails."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.smtp import MailGoneError, MailInfo, MailStore, MailStoreFullError, open_mail_store
from services.smtp.mailstore import Counts
from services.smtp.mailstore.interface import PIECE
from tests.services.smtp.mailstore.samples import TEXT, add, envelope, mail_id, numbers, text_of

NOW = datetime.now(UTC)


def test_what_is_added_comes_back_byte_for_byte(store: MailStore, other: MailStore) -> None:
    every_byte = bytes(range(256)) * 3
    info = add(store, text=every_byte)
    given = envelope()
    assert info == MailInfo(
        id=given.id,
        mail_from=given.mail_from,
        rcpt_tos=given.rcpt_tos,
        received_at=given.received_at,
        peer=given.peer,
        helo=given.helo,
        protocol=given.protocol,
        mail_options=given.mail_options,
        rcpt_options=given.rcpt_options,
        size=len(every_byte),
        sha256=hashlib.sha256(every_byte).hexdigest(),
    )
    for reader in (store, other):
        assert reader.get(info.id) == info
        assert list(reader.mails()) == [info]
        assert text_of(reader) == every_byte


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5])
@pytest.mark.parametrize("cut", [1000, PIECE, 10 * PIECE])
def test_a_text_is_the_same_however_it_was_cut_and_is_read_in_bounded_pieces(
    store: MailStore, size: int, cut: int
) -> None:
    text = (bytes(range(251)) * (size // 251 + 1))[:size]
    info = store.add(envelope(), (text[start : start + cut] for start in range(0, size, cut)))
    assert (info.size, info.sha256) == (size, hashlib.sha256(text).hexdigest())
    pieces = list(store.read(info.id))
    assert b"".join(pieces) == text
    assert all(0 < len(piece) <= PIECE for piece in pieces)


def test_times_are_kept_in_utc(store: MailStore) -> None:
    add(store, received_at=datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))))
    [info] = store.mails()
    assert info.received_at == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert info.received_at.tzinfo is UTC


def test_a_mail_that_is_added_again_is_kept_once(store: MailStore, other: MailStore) -> None:
    first = add(store)
    assert add(other, text=b"another text under the same id\r\n") == first
    assert [info.size for info in store.mails()] == [len(TEXT)]
    assert text_of(store) == TEXT
    assert store.count() == Counts(1, len(TEXT))


def test_mails_are_listed_in_the_order_in_which_they_were_stored(store: MailStore, other: MailStore) -> None:
    order = [(number * 7) % 10 for number in range(10)]
    for place, number in enumerate(order):
        add((store, other)[place % 2], number)
    assert numbers(store) == numbers(other) == order


def test_a_listing_goes_on_behind_any_position_also_of_a_mail_that_is_gone(store: MailStore) -> None:
    assert store.last_position() == ""
    infos = [add(store, number) for number in range(4)]
    listed = list(store.mails())
    assert [info.id for info in listed] == [info.id for info in infos]
    assert store.last_position() == listed[-1].position
    store.delete(mail_id(1))
    store.delete(mail_id(3))
    assert numbers(store, after=listed[0].position) == [2]
    assert numbers(store, after=listed[1].position) == [2]
    assert numbers(store, after=listed[3].position) == []
    assert store.last_position() == listed[-1].position
    add(store, 4)
    assert numbers(store, after=listed[3].position) == [4], "no place is given twice"


class _BrokenError(Exception):
    pass


@pytest.mark.parametrize("size", [0, 10, 2 * PIECE])
def test_a_text_that_breaks_off_is_not_stored_and_its_error_is_passed_on(store: MailStore, size: int) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * size
        raise _BrokenError

    with pytest.raises(_BrokenError):
        store.add(envelope(), pieces())
    assert (numbers(store), store.count()) == ([], Counts(0, 0))
    add(store)
    assert text_of(store) == TEXT


def test_a_mail_that_is_not_there(store: MailStore) -> None:
    assert store.get(mail_id(1)) is None
    assert not store.delete(mail_id(1))
    with pytest.raises(MailGoneError, match=f"there is no mail {mail_id(1)}"):
        list(store.read(mail_id(1)))


def test_a_deleted_mail_is_gone_and_the_others_are_not(store: MailStore, other: MailStore) -> None:
    for number in range(3):
        add(store, number)
    assert other.delete(mail_id(1))
    assert (numbers(store), store.count()) == ([0, 2], Counts(2, 2 * len(TEXT)))
    assert store.get(mail_id(1)) is None
    with pytest.raises(MailGoneError):
        list(store.read(mail_id(1)))
    assert text_of(store, 2) == TEXT


def test_a_mail_that_is_deleted_while_it_is_read_is_never_half_a_mail(store: MailStore, other: MailStore) -> None:
    """A file that is open can be read to its end."""
    add(store, text=b"x" * 4 * PIECE)
    reading = store.read(mail_id(0))
    size = len(next(reading))
    other.delete(mail_id(0))
    with contextlib.suppress(MailGoneError):
        size += sum(map(len, reading))
        assert size == 4 * PIECE


def test_a_mail_over_the_room_is_refused_until_there_is_room(url: str) -> None:
    with contextlib.closing(open_mail_store(url, room=2 * PIECE)) as store:
        add(store, 0, b"x" * PIECE)
        for text in (b"x" * (PIECE + 1), b"x" * 5 * PIECE):
            with pytest.raises(MailStoreFullError, match="MAIL_MAX_BYTES"):
                add(store, 1, text)
        assert (numbers(store), store.count()) == ([0], Counts(1, PIECE))
        add(store, 2, b"x" * PIECE)
        store.delete(mail_id(0))
        add(store, 1, b"x" * PIECE)
        assert numbers(store) == [2, 1]


def test_pruning_keeps_the_latest(store: MailStore) -> None:
    for number in range(5):
        add(store, number)
    assert store.prune() == 0
    assert store.prune(keep=5) == 0
    assert store.prune(keep=2) == 3
    assert (numbers(store), store.count()) == ([3, 4], Counts(2, 2 * len(TEXT)))
    assert store.prune(keep=0) == 2


def test_pruning_removes_what_is_too_old(store: MailStore) -> None:
    for number, days in enumerate([9, 3, 8, 1]):
        add(store, number, received_at=NOW - timedelta(days=days))
    assert store.prune(older=timedelta(days=7)) == 2
    assert numbers(store) == [1, 3]


def test_what_is_too_old_goes_even_if_it_is_among_the_latest(store: MailStore) -> None:
    for number, days in enumerate([3, 3, 9, 1]):
        add(store, number, received_at=NOW - timedelta(days=days))
    assert store.prune(keep=3, older=timedelta(days=7)) == 2
    assert numbers(store) == [1, 3]


def test_pruning_removes_the_oldest_first_and_no_more_than_it_may(store: MailStore) -> None:
    for number in range(5):
        add(store, number)
    assert [store.prune(keep=1, limit=2) for _ in range(3)] == [2, 2, 0]
    assert numbers(store) == [4]


def test_mails_outlast_the_store_object(store: MailStore) -> None:
    add(store)
    store.close()
    add(store, 1)  # opens again
    assert numbers(store) == [0, 1]
