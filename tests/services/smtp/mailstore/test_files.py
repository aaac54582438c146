"""The files of the mail store: what happens to acknowledged mail when somebody removes them, and how they are made."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.smtp import MailStoreError
from services.smtp.mailstore import database, schema
from services.smtp.mailstore.database import Database
from services.smtp.mailstore.files import flush
from services.smtp.mailstore.sqlite import SqliteMailStore
from tests.services.smtp.mailstore.samples import ROOT, TEXT, add, mail_id, text_of

_WORKER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from services.smtp import MailEnvelope, MailStoreError
from services.smtp.mailstore import database
from services.smtp.mailstore.sqlite import SqliteMailStore

database.CLAIM_TIMEOUT = 0.1
store = SqliteMailStore(Path(sys.argv[1]))
for line in sys.stdin:
    try:
        store.add(
            MailEnvelope(id=line.strip(), mail_from="", rcpt_tos=("a@b",), received_at=datetime.now(UTC), peer=""), ()
        )
        print("stored", flush=True)
    except MailStoreError as error:
        print(error, flush=True)
store.close()
"""


class Worker:
    """A process that adds mails when it is told to; it closes the store when the test ends its input."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", _WORKER, str(path)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def add(self, mail_id: str) -> str:
        """Returns `stored`, or the error."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{mail_id}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self, *, kill: bool) -> None:
        if kill:
            self.process.kill()
        self.process.communicate(timeout=30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mail.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteMailStore]:
    opened = SqliteMailStore(path)
    yield opened
    opened.close()


def log_of(path: Path) -> Path:
    return path.with_name("mail.db-wal")


def index_of(path: Path) -> Path:
    return path.with_name("mail.db-shm")


def ids(path: Path) -> set[str]:
    with contextlib.closing(SqliteMailStore(path, create=False)) as reader:
        return {info.id for info in reader.mails()}


@pytest.mark.parametrize("kills", [(True, True, True), (False, False, False), (False, True, False)])
@pytest.mark.parametrize("removed", [["mail.db-wal"], ["mail.db-shm"], ["mail.db-wal", "mail.db-shm"]])
def test_a_log_that_is_removed_while_it_is_in_use_costs_no_acknowledged_mail(
    path: Path, removed: list[str], kills: tuple[bool, ...]
) -> None:
    """Whoever notices moves the mails to the file, and no process writes a second log while another has the first."""
    numbers = itertools.count()
    acknowledged, errors = set(), []

    def add(worker: Worker) -> None:
        mail_id = f"{next(numbers):032}"
        answer = worker.add(mail_id)
        if answer == "stored":
            acknowledged.add(mail_id)
        else:
            errors.append(answer)

    with contextlib.ExitStack() as stack:
        one, other, late = workers = [Worker(path) for _ in kills]
        for worker in workers:
            stack.enter_context(worker.process)
            stack.callback(worker.process.kill)
        for worker in (one, other, one, other):
            add(worker)
        for name in removed:
            (path.parent / name).unlink()
        for worker in (one, other, late, one, late, other):
            add(worker)
        [error] = errors  # the first to notice must not go on before the second has noticed too
        assert "was removed while another process has the store open" in error
        for worker, kill in zip(workers, kills, strict=True):
            worker.end(kill=kill)
    assert ids(path) == acknowledged
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_log_that_a_reader_holds_back_keeps_its_mails(store: SqliteMailStore, path: Path) -> None:
    """They cannot be moved while a read of an older state goes on; then nothing may be acknowledged either."""
    add(store)
    with contextlib.closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM mail").fetchall()
        add(store, 1)
        log_of(path).unlink()
        with pytest.raises(MailStoreError, match="while another process reads it"):
            add(store, 2)
        reader.execute("ROLLBACK")
    add(store, 3)
    assert ids(path) == {mail_id(0), mail_id(1), mail_id(3)}


def test_a_file_that_is_removed_without_its_log_is_an_error_and_no_new_one_is_made(
    store: SqliteMailStore, path: Path
) -> None:
    """The log would be taken for the new file's: mails would be acknowledged into a file that nobody can read."""
    add(store)
    kept = path.rename(path.with_name("kept"))
    for other in (store, SqliteMailStore(path), store):
        with pytest.raises(MailStoreError, match="if its mails are not needed"):
            add(other, 1)
    assert not path.exists()
    kept.rename(path)
    add(store, 2)
    assert ids(path) == {mail_id(0), mail_id(2)}


def test_a_file_that_is_replaced_under_its_log_is_an_error(store: SqliteMailStore, path: Path) -> None:
    add(store)
    kept = path.rename(path.with_name("kept"))
    path.write_bytes(kept.read_bytes())
    for _ in range(2):
        with pytest.raises(MailStoreError, match="was removed or replaced"):
            add(store, 1)
    kept.rename(path)
    add(store, 2)
    assert ids(path) == {mail_id(0), mail_id(2)}


@pytest.mark.parametrize("rest", [log_of, index_of])
def test_what_is_left_of_another_store_is_not_made_part_of_a_new_one(path: Path, rest: type[Path]) -> None:
    rest(path).write_bytes(b"of an earlier file")
    for create in (True, False):
        with pytest.raises(MailStoreError, match="is there without it: restore the file"):
            SqliteMailStore(path, create=create).open()
    assert rest(path).read_bytes() == b"of an earlier file"
    rest(path).unlink()
    with contextlib.closing(SqliteMailStore(path)) as store:
        add(store)


def test_a_file_that_is_replaced_while_it_is_opened_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(SqliteMailStore(path)) as store:
        add(store)
    check = Database._check

    def replace_first(database: Database, connection: sqlite3.Connection) -> None:
        check(database, connection)
        path.rename(path.with_name("kept")).read_bytes()
        path.touch()

    monkeypatch.setattr(Database, "_check", replace_first)
    with pytest.raises(MailStoreError, match="replaced while it was opened"):
        add(SqliteMailStore(path))


def fail_to_flush(_: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def ids_in_file_alone(path: Path) -> set[str]:
    """The mails that there would be without the log. To open and close the file here would end SQLite's locks on it."""
    copy = path.with_name("copy.db")
    subprocess.run(["/bin/cp", path, copy], check=True)
    found = ids(copy)
    copy.unlink()
    return found


def test_mails_leave_a_log_that_cannot_be_flushed(
    store: SqliteMailStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk may lack what was to be flushed, though no later flush says so, and with it all that comes after it."""
    add(store)
    with monkeypatch.context() as patch:
        patch.setattr(database, "flush", fail_to_flush)
        add(store, 1)
    assert ids_in_file_alone(path) == {mail_id(0), mail_id(1)}
    assert log_of(path).stat().st_size == 0


def test_nothing_is_acknowledged_on_top_of_what_the_disk_may_lack(
    store: SqliteMailStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.05)
    add(store)
    with contextlib.closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM mail").fetchall()
        with monkeypatch.context() as patch:
            patch.setattr(database, "flush", fail_to_flush)
            with pytest.raises(MailStoreError, match=os.strerror(errno.EIO)):
                add(store, 1)
        with pytest.raises(MailStoreError, match="a flush of its log failed"):
            add(store, 2)
        reader.execute("ROLLBACK")
    add(store, 3)
    assert ids_in_file_alone(path) == {mail_id(0), mail_id(1)}
    assert ids(path) == {mail_id(0), mail_id(1), mail_id(3)}


def test_every_directory_that_got_a_new_name_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut takes the file's name, and with it mails that were acknowledged."""
    flush, flushed = os.fsync, set()

    def watched(descriptor: int) -> None:
        flush(descriptor)
        flushed.add((os.fstat(descriptor).st_dev, os.fstat(descriptor).st_ino))

    monkeypatch.setattr(os, "fsync", watched)
    path = tmp_path / "one" / "two" / "mail.db"

    def expected(*directories: Path) -> set[tuple[int, int]]:
        return {(directory.stat().st_dev, directory.stat().st_ino) for directory in directories}

    with contextlib.closing(SqliteMailStore(path)) as store:
        store.open()
        assert flushed == expected(tmp_path, tmp_path / "one", tmp_path / "one" / "two")
        assert [directory.stat().st_mode & 0o777 for directory in (path.parent, path.parent.parent)] == [0o700, 0o700]
        flushed.clear()
        with contextlib.closing(SqliteMailStore(path)) as second:
            second.open()
        assert flushed == expected(path.parent), "whoever made the file may have been killed before it came to this"


def test_what_is_written_is_flushed_before_anybody_is_told_and_while_others_may_write(
    store: SqliteMailStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.open()
    log = path.with_name("mail.db-wal")
    flushed: list[int] = []

    def watched(descriptor: int) -> None:
        assert os.path.sameopenfile(descriptor, opened.fileno()), "the log that SQLite writes to"
        with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # raises while somebody else writes
            flushed.extend(other.execute("SELECT count(*) FROM mail").fetchone())
            other.execute("ROLLBACK")

    monkeypatch.setattr(database, "flush", watched)
    with log.open("rb") as opened:
        add(store, 0)
        assert flushed == [1]
        add(store, 0)  # the first attempt may have died before its flush
        assert flushed == [1, 1]
        store.delete(mail_id(0))
        assert flushed == [1, 1, 0]


def test_a_flush_is_one_of_the_disk_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's own way to say so; macOS has another one, see `flush`."""
    asked: list[int] = []
    monkeypatch.setattr(os, "fdatasync", asked.append)
    with (tmp_path / "file").open("wb") as file:
        flush(file.fileno())
        assert asked == [file.fileno()]


def test_the_log_and_the_file_are_flushed_when_one_is_copied_to_the_other(store: SqliteMailStore) -> None:
    store.open()
    assert store._database.connection is not None
    for name, value in (("synchronous", 1), ("fullfsync", 1), ("checkpoint_fullfsync", 1)):
        assert store._database.connection.execute(f"PRAGMA {name}").fetchone() == (value,)


def test_a_store_has_its_name_only_once_it_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that saw it before would take it for a file that is no mail store."""
    whole = schema.VERSION_1
    monkeypatch.setattr(schema, "VERSION_1", f"{whole} NONSENSE;")
    store = SqliteMailStore(path)
    with pytest.raises(MailStoreError, match="NONSENSE"):
        store.open()
    assert not path.exists()
    assert len(list(path.parent.iterdir())) == 1, "what there is has another name"
    monkeypatch.setattr(schema, "VERSION_1", whole)
    add(store)
    store.close()
    assert [entry.name for entry in path.parent.iterdir()] == ["mail.db"]


def test_a_file_system_without_hard_links_will_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with contextlib.closing(SqliteMailStore(path)) as store:
        add(store)
        assert text_of(store) == TEXT


def test_a_symbolic_link_names_a_file_that_is_still_to_be_made(tmp_path: Path) -> None:
    link, target = tmp_path / "mail.db", tmp_path / "disk" / "real.db"
    link.symlink_to(target)
    with contextlib.closing(SqliteMailStore(link)) as store:
        add(store)
        add(store, 1)
        assert link.is_symlink()
        assert ids(target) == ids(link) == {mail_id(0), mail_id(1)}
