"""The mail store in a Maildir: what mail programs see of it and do to it, and what a crash leaves of it."""

from __future__ import annotations

import contextlib
import errno
import itertools
import mailbox
import os
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.smtp import MailGoneError, MailStoreError, MailStoreFullError
from services.smtp.mailstore import Counts, table
from services.smtp.mailstore.maildir import ABANDONED, INDEX, MaildirStore
from tests.services.smtp.mailstore.samples import TEXT, add, envelope, mail_id, numbers, text_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "box"


@pytest.fixture
def store(path: Path) -> Iterator[MaildirStore]:
    with contextlib.closing(MaildirStore(path)) as opened:
        yield opened


def files(path: Path, directory: str) -> list[Path]:
    return sorted((path / directory).iterdir())


def test_mail_programs_read_it(store: MaildirStore, path: Path) -> None:
    add(store, 0, b"Subject: one\r\n\r\nbody\r\n")
    add(store, 1, b"Subject: two\r\n\r\nbody\r\n")
    box = mailbox.Maildir(path, create=False)
    assert sorted(message["Subject"] for message in box) == ["one", "two"]
    assert {message.get_subdir() for message in box} == {"new"}
    assert box.list_folders() == []


def test_a_file_is_the_text_and_nothing_else(store: MaildirStore, path: Path) -> None:
    every_byte = bytes(range(256))
    add(store, 0, every_byte)
    [file] = files(path, "new")
    assert file.read_bytes() == every_byte
    assert files(path, "tmp") == files(path, "cur") == []


def test_all_is_for_its_owner_alone(store: MaildirStore, path: Path) -> None:
    add(store)
    for file in [path, *path.rglob("*")]:
        assert file.stat().st_mode & 0o077 == 0, file


def test_what_a_mail_program_has_read_and_flagged_is_still_the_mail(store: MaildirStore, path: Path) -> None:
    add(store, 0)
    add(store, 1, b"other\r\n")
    for file in files(path, "new"):
        file.rename(path / "cur" / f"{file.name}:2,")
    for file in files(path, "cur"):
        file.rename(f"{file}RS")
    assert [message.get_flags() for message in mailbox.Maildir(path, create=False)] == ["RS", "RS"]
    assert numbers(store) == [0, 1]
    assert text_of(store, 1) == b"other\r\n"
    assert store.delete(mail_id(0))
    assert [file.name.split(".")[1] for file in files(path, "cur")] == [mail_id(1)]


def test_dovecots_names_are_known(store: MaildirStore, path: Path) -> None:
    add(store)
    [file] = files(path, "new")
    file.rename(path / "cur" / f"{file.name},S=6,W=7:2,S")
    assert text_of(store) == TEXT


def test_what_a_mail_program_removed_is_gone_and_breaks_nothing(store: MaildirStore, path: Path) -> None:
    queue = store.queue("relay", start="all")
    for number in range(3):
        add(store, number)
    next(file for file in files(path, "new") if mail_id(1) in file.name).unlink()
    assert numbers(store) == [0, 2]
    assert store.get(mail_id(1)) is None
    with pytest.raises(MailGoneError):
        list(store.read(mail_id(1)))
    claims = queue.claim(3)
    with pytest.raises(MailGoneError):
        list(store.read(claims[1].info.id))
    for claim in claims:
        queue.settle(claim)
    assert not store.delete(mail_id(1))


def test_pruning_forgets_what_a_mail_program_removed(store: MaildirStore, path: Path) -> None:
    for number in range(3):
        add(store, number)
    for file in files(path, "new")[:2]:
        file.unlink()
    assert store.count() == Counts(3, 3 * len(TEXT))
    assert store.prune() == 0
    assert store.count() == Counts(1, len(TEXT))


def test_files_of_others_are_left_alone(store: MaildirStore, path: Path) -> None:
    add(store)
    strange = [path / "new" / "1.2.host", path / "cur" / "x:2,S", path / "tmp" / "draft"]
    for file in strange:
        file.write_bytes(b"not ours")
    assert numbers(store) == [0]
    assert store.prune(keep=0, older=timedelta(0)) == 1
    assert all(file.exists() for file in strange)


def test_a_text_that_somebody_changed_is_an_error(store: MaildirStore, path: Path) -> None:
    add(store)
    files(path, "new")[0].write_bytes(b"cut")
    with pytest.raises(MailStoreError, match=r"has 3 bytes, the mail .* had 6"):
        list(store.read(mail_id(0)))


def watch_flushes(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """What is flushed from now on: each time the file, and what was in `new` then."""
    flushed: list[tuple[str, list[str]]] = []

    def watch(flush: Callable[[int], None]) -> Callable[[int], None]:
        def watched(descriptor: int) -> None:
            flush(descriptor)
            name = Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(path)
            flushed.append((str(name), [file.name for file in files(path, "new")]))

        return watched

    monkeypatch.setattr(os, "fsync", watch(os.fsync))
    monkeypatch.setattr(os, "fdatasync", watch(os.fdatasync))
    return flushed


def crash(store: MaildirStore, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Adds a mail and dies before a step: nothing after it happens, no clearing up either."""

    class _KilledError(BaseException):
        pass

    def die(*_: object) -> None:
        raise _KilledError

    with monkeypatch.context() as patch:
        patch.setattr(store, method, die)
        patch.setattr(store, "_unlink", die)
        with pytest.raises(_KilledError):
            add(store)


def test_a_mail_whose_writer_died_before_the_last_step_is_whole_and_moves_on(
    store: MaildirStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash(store, monkeypatch, "_publish")
    assert len(files(path, "tmp")) == 1
    assert text_of(store) == TEXT, "it is there already"
    with contextlib.closing(MaildirStore(path)) as next_one:
        next_one.open()
        assert files(path, "tmp") == []
        assert [file.name.split(".")[1] for file in files(path, "new")] == [mail_id(0)]
        assert text_of(next_one) == TEXT


def test_a_mail_that_is_added_again_is_for_good(
    store: MaildirStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who added it first may have died before its name was in `new`, or before the index was flushed."""
    crash(store, monkeypatch, "_publish")
    flushed = watch_flushes(path, monkeypatch)
    assert add(store).size == len(TEXT)
    [file] = files(path, "new")
    assert file.read_bytes() == TEXT
    assert [name for name, _ in flushed] == ["new", f"{INDEX}-wal"]


def test_a_mail_whose_file_is_gone_is_stored_when_it_is_added_again(store: MaildirStore, path: Path) -> None:
    add(store)
    files(path, "new")[0].unlink()
    add(store)
    assert text_of(store) == TEXT
    assert store.count() == Counts(1, len(TEXT))


def test_mails_that_two_workers_prune_at_the_same_time_are_counted_once(
    store: MaildirStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        add(store, number)
    find = store._files
    with contextlib.closing(MaildirStore(path)) as other:

        def other_is_faster() -> dict[str, str]:
            other.prune(keep=1)
            return find()

        monkeypatch.setattr(store, "_files", other_is_faster)
        store.prune(keep=1)
    assert store.count() == Counts(1, len(TEXT))


def test_a_listing_looks_for_all_files_at_once(store: MaildirStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not anew for each batch of mails, but for one that came while the listing paused."""
    monkeypatch.setattr(table, "BATCH", 2)
    for number in range(6):
        add(store, number)
    find, looks = store._files, itertools.count()

    def counted() -> dict[str, str]:
        next(looks)
        return find()

    monkeypatch.setattr(store, "_files", counted)
    listing = store.mails()
    seen = [next(listing)]
    add(store, 6)
    assert [int(info.id) for info in (*seen, *listing)] == list(range(7))
    assert next(looks) == 2


def test_what_never_entered_the_index_is_no_mail_and_goes_after_a_time(
    store: MaildirStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open()
    crash(store, monkeypatch, "_write")
    (path / "tmp" / f"1.{mail_id(7)}.rr").write_bytes(b"half")
    for age, left in ((ABANDONED - 60, 1), (ABANDONED + 60, 0)):
        for file in files(path, "tmp"):
            then = file.stat().st_ctime - age
            os.utime(file, (then, then))
        with contextlib.closing(MaildirStore(path)) as next_one:
            next_one.open()
            assert numbers(next_one) == []
        assert len(files(path, "tmp")) == left


def test_the_text_and_its_name_are_flushed_before_it_is_acknowledged(
    store: MaildirStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text before it enters the index, the name in `new` after it was moved there."""
    store.open()
    flushed = watch_flushes(path, monkeypatch)
    add(store)
    [file] = files(path, "new")
    assert flushed == [(f"tmp/{file.name}", []), (f"{INDEX}-wal", []), ("new", [file.name])]


@pytest.mark.parametrize(("code", "error"), [(errno.ENOSPC, MailStoreFullError), (errno.EIO, MailStoreError)])
@pytest.mark.parametrize("step", ["write", "fdatasync", "fsync"])
def test_a_disk_that_fails_is_an_error_and_nothing_is_stored(
    store: MaildirStore, path: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception], step: str
) -> None:
    store.open()

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(error, match=os.strerror(code)):
            add(store)
    assert (numbers(store), files(path, "tmp"), files(path, "new")) == ([], [], [])
    add(store)
    assert numbers(store) == [0]


def test_a_name_that_cannot_be_made_takes_the_mail_out_of_the_index(
    store: MaildirStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open()

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        with pytest.raises(MailStoreError, match="broken"):
            add(store)
    assert (numbers(store), store.count()) == ([], Counts(0, 0))


def test_an_index_that_cannot_be_written_stores_nothing(store: MaildirStore, path: Path) -> None:
    store.open()
    with contextlib.closing(sqlite3.connect(path / INDEX)) as connection:
        connection.execute("CREATE TRIGGER no BEFORE INSERT ON mail BEGIN SELECT raise(ABORT, 'no more'); END")
    with pytest.raises(MailStoreError, match="no more"):
        add(store)
    assert (files(path, "tmp"), files(path, "new")) == ([], [])


def test_a_store_that_must_exist_is_not_made(path: Path) -> None:
    with pytest.raises(MailStoreError, match="there is no mail store"):
        list(MaildirStore(path, create=False).mails())
    assert not path.exists()


def test_a_maildir_that_is_there_already_becomes_a_store_and_its_mails_stay_its_own(path: Path) -> None:
    box = mailbox.Maildir(path)
    key = box.add(b"Subject: old\n\nbody\n")
    with contextlib.closing(MaildirStore(path)) as store:
        store.add(envelope(), (TEXT,))
        assert numbers(store) == [0]
    assert key in mailbox.Maildir(path)
