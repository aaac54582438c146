"""The mail store in one file: many processes, processes that are killed, files that are something else."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml

from rr_tcp import ConfigurationError
from services.smtp import Mail, MailInfo, MailStoreError, open_mail_store, sqlite_store
from services.smtp.delivery import EVENT_BUDGET
from services.smtp.limits import LARGEST_MESSAGE
from services.smtp.sqlite_store import SqliteMailStore

ROOT = Path(__file__).parents[3]


def mail(mail_id: str = "0" * 32, content: bytes = b"text\r\n", received_at: datetime | None = None) -> Mail:
    info = MailInfo(
        id=mail_id,
        mail_from="from@a.test",
        rcpt_tos=("one@b.test", '"odd, \\" one"@b.test'),
        size=len(content),
        received_at=received_at or datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        peer="[::1]:1234",
        sha256=hashlib.sha256(content).hexdigest(),
        helo="c",
        mail_options=("SIZE=6", "BODY=8BITMIME"),
        rcpt_options=(),
    )
    return Mail(info, content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "directory" / "mail.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteMailStore]:
    opened = SqliteMailStore(path)
    yield opened
    opened.close()


def test_what_is_added_comes_back(store: SqliteMailStore) -> None:
    every_byte = mail(content=bytes(range(256)) * 3)
    store.add(every_byte)
    assert store.get(every_byte.info.id) == every_byte
    assert list(store.mails()) == [every_byte.info]
    assert store.get("1" * 32) is None


def test_times_are_kept_in_utc(store: SqliteMailStore) -> None:
    store.add(mail(received_at=datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))))
    [info] = store.mails()
    assert info.received_at == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert info.received_at.tzinfo is UTC


def test_a_mail_that_is_added_again_is_kept_once(store: SqliteMailStore) -> None:
    store.add(mail())
    store.add(mail(content=b"another text under the same id\r\n"))
    assert [info.size for info in store.mails()] == [6]


def test_mails_are_listed_in_the_order_in_which_they_were_stored(store: SqliteMailStore) -> None:
    ids = [f"{(number * 7) % 10:032}" for number in range(10)]
    for mail_id in ids:
        store.add(mail(mail_id))
    assert [info.id for info in store.mails()] == ids


def test_mails_outlast_the_store_object(store: SqliteMailStore, path: Path) -> None:
    store.add(mail())
    store.close()
    store.add(mail("1" * 32))  # opens again
    other = SqliteMailStore(path, create=False)
    assert len(list(other.mails())) == 2
    other.close()


def test_nothing_is_opened_before_it_is_needed(path: Path) -> None:
    SqliteMailStore(path)
    assert not path.parent.exists()


def test_the_file_is_for_its_owner_alone_and_flushed_before_add_returns(store: SqliteMailStore, path: Path) -> None:
    store.open()
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    connection = store._connection
    assert connection is not None
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert [entry.name for entry in path.parent.iterdir() if entry.name.startswith(".")] == []


def test_a_store_that_must_exist_is_not_made(path: Path) -> None:
    with pytest.raises(MailStoreError, match="there is no mail store"):
        list(SqliteMailStore(path, create=False).mails())
    assert not path.exists()


def test_a_file_that_is_no_mail_store_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir(parents=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mail (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(MailStoreError, match="is no mail store of this version"):
        SqliteMailStore(path).add(mail())
    assert path.read_bytes() == before


def test_a_store_of_a_newer_version_is_refused(store: SqliteMailStore, path: Path) -> None:
    store.add(mail())
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(MailStoreError, match="schema 2"):
        store.add(mail("1" * 32))


def test_damage_is_an_error_that_names_the_file(store: SqliteMailStore, path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(MailStoreError, match=str(path)):
        store.add(mail())


def test_a_directory_that_cannot_be_made_is_an_error_until_it_can(store: SqliteMailStore, path: Path) -> None:
    obstacle = path.parent.parent
    obstacle.touch()
    with pytest.raises(MailStoreError, match="cannot be written"):
        store.add(mail())
    obstacle.unlink()
    store.add(mail())
    assert store.get(mail().info.id) == mail()


def test_a_store_whose_file_is_taken_away_goes_on_in_a_new_one(store: SqliteMailStore, path: Path) -> None:
    """Else mails would be acknowledged that are gone with the process."""
    store.add(mail())
    for file in path.parent.iterdir():
        file.rename(path.parent.parent / file.name)
    store.add(mail("1" * 32))
    other = SqliteMailStore(path, create=False)
    assert [info.id for info in other.mails()] == ["1" * 32]
    other.close()


def test_a_store_that_another_process_keeps_locked_is_an_error_and_stores_nothing(
    store: SqliteMailStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "BUSY_TIMEOUT", 0.05)
    store.open()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(MailStoreError, match="locked"):
            store.add(mail())
        other.execute("ROLLBACK")
    assert list(store.mails()) == []
    store.add(mail())
    assert len(list(store.mails())) == 1


def test_a_store_that_cannot_be_written_is_an_error_and_stores_nothing(store: SqliteMailStore) -> None:
    """`query_only` stands for permissions, which do not hold for the root user that tests may run as."""
    store.open()
    assert store._connection is not None
    store._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(MailStoreError, match="readonly"):
        store.add(mail())
    assert list(store.mails()) == []


def test_a_worker_outlives_the_longest_wait_for_the_store() -> None:
    """The mails of one event may take the budget, and the last of them wait for a lock on top."""
    pool = yaml.safe_load((ROOT / ".rr.yaml").read_text())["tcp"]["pool"]
    exec_ttl = float(pool["supervisor"]["exec_ttl"].removesuffix("s"))
    assert exec_ttl > EVENT_BUDGET + sqlite_store.CLAIM_TIMEOUT + sqlite_store.BUSY_TIMEOUT


def test_a_listing_is_read_in_batches_and_leaves_the_log_alone_in_between(
    store: SqliteMailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that pauses, as `mails | less` does, must not make the log grow for as long."""
    monkeypatch.setattr(sqlite_store, "BATCH", 3)
    for number in range(7):
        store.add(mail(f"{number:032}"))
    listing = store.mails()
    seen = [next(listing)]
    assert store._connection is not None
    busy, frames, moved = store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert (busy, frames, moved) == (0, 0, 0), "a read that goes on would hold it back"
    store.add(mail(f"{7:032}"))
    seen += listing
    assert [int(info.id) for info in seen] == list(range(8))


@pytest.mark.parametrize("column", ["rcpt_tos", "received_at", "mail_options"])
def test_a_damaged_row_is_an_error_that_names_the_mail(store: SqliteMailStore, column: str) -> None:
    store.add(mail())
    assert store._connection is not None
    store._connection.execute(f"UPDATE mail SET {column} = 'x'")  # noqa: S608 - constants
    store._connection.commit()
    with pytest.raises(MailStoreError, match=f"damaged at mail {mail().info.id}"):
        list(store.mails())
    with pytest.raises(MailStoreError, match="damaged"):
        store.get(mail().info.id)


def test_the_largest_mail_that_settings_allow_fits_into_a_row(store: SqliteMailStore) -> None:
    store.open()
    assert store._connection is not None
    assert store._connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) > LARGEST_MESSAGE


def test_a_full_disk_is_an_error_and_stores_nothing(store: SqliteMailStore) -> None:
    store.open()
    assert store._connection is not None
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(MailStoreError, match="full"):
        store.add(mail(content=b"x" * 100_000))
    assert list(store.mails()) == []
    store.add(mail(content=b"x" * 100_000))  # on a connection of its own, which knows nothing of the limit
    assert [info.size for info in store.mails()] == [100_000]


_WRITER = """
import dataclasses, hashlib, sys
from datetime import UTC, datetime
from pathlib import Path
from services.smtp import Mail, MailInfo
from services.smtp.sqlite_store import SqliteMailStore

path, first, count, size = Path(sys.argv[1]), *map(int, sys.argv[2:])
store = SqliteMailStore(path)
for number in range(first, first + count):
    content = b"%d\\r\\n" % number * size
    info = MailInfo(
        id=f"{number:032}", mail_from="", rcpt_tos=("a@b",), size=len(content), received_at=datetime.now(UTC), peer="",
        sha256=hashlib.sha256(content).hexdigest(),
    )
    store.add(Mail(info, content))
    print(number, flush=True)
store.close()
"""


def writer(path: Path, first: int, count: int, size: int) -> subprocess.Popen[bytes]:
    """A process that adds mails and prints the number of each once it is stored."""
    command = [sys.executable, "-c", _WRITER, str(path), *map(str, (first, count, size))]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def test_processes_that_start_at_once_make_one_store_and_lose_no_mail(path: Path) -> None:
    writers = [writer(path, first, 50, 100) for first in range(0, 200, 50)]
    acknowledged = [number for process in writers for number in process.communicate(timeout=60)[0].split()]
    assert [process.returncode for process in writers] == [0, 0, 0, 0]
    store = SqliteMailStore(path, create=False)
    assert {int(info.id) for info in store.mails()} == set(map(int, acknowledged)) == set(range(200))
    store.close()


def test_a_writer_that_is_killed_has_stored_what_it_acknowledged_and_nothing_by_halves(path: Path) -> None:
    store = SqliteMailStore(path)
    acknowledged = set()
    for round_number in range(5):
        process = writer(path, 1000 * round_number, 1000, 20_000)
        assert process.stdout is not None
        with process, process.stdout as printed:
            seen = [next(printed) for _ in range(3 + round_number)]
            os.kill(process.pid, signal.SIGKILL)
            acknowledged |= set(map(int, [*seen, *printed.read().split()]))
    stored = {int(info.id): info for info in store.mails()}
    assert acknowledged <= set(stored)
    assert len(stored) <= len(acknowledged) + 5, "at most the mail in which each was killed"
    for number, info in stored.items():
        kept = store.get(info.id)
        assert kept is not None
        assert kept.content == b"%d\r\n" % number * 20_000
    store.add(mail("f" * 32))
    store.close()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/mail.db", "var/mail.db"),
        ("sqlite:////srv/my%20mail.db", "/srv/my mail.db"),
    ],
)
def test_a_url_names_a_relative_or_an_absolute_path(url: str, path: str) -> None:
    opened = open_mail_store(url)
    assert isinstance(opened, SqliteMailStore)
    assert str(opened._path) == path


@pytest.mark.parametrize(
    "url", ["", "var/mail.db", "sqlite://mail.db", "sqlite:///", "sqlite:///:memory:", "mysql:///x"]
)
def test_another_url_is_an_error_that_says_what_is_accepted(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sqlite:///relative/path\.db or sqlite:////absolute/path\.db"):
        open_mail_store(url)


def test_values_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        mail().content = b""  # type: ignore[misc]
