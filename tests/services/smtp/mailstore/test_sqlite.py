"""The mail store in one file: many processes, processes that are killed, files that are something else."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from rr_tcp.redis_nodes import CONNECT_TIMEOUT
from services.smtp import MailStoreError
from services.smtp.delivery import EVENT_BUDGET, TEXT_BUDGET
from services.smtp.mailstore import database, redis_client, table
from services.smtp.mailstore.sqlite import SqliteMailStore
from tests.services.smtp.mailstore.samples import ROOT, TEXT, add, mail_id, text_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "directory" / "mail.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteMailStore]:
    opened = SqliteMailStore(path)
    yield opened
    opened.close()


def test_mails_outlast_the_store_object(store: SqliteMailStore, path: Path) -> None:
    add(store)
    store.close()
    add(store, 1)  # opens again
    other = SqliteMailStore(path, create=False)
    assert len(list(other.mails())) == 2
    other.close()


def test_nothing_is_opened_before_it_is_needed(path: Path) -> None:
    SqliteMailStore(path)
    assert not path.parent.exists()


def test_the_file_is_for_its_owner_alone_and_has_a_log(store: SqliteMailStore, path: Path) -> None:
    store.open()
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    connection = store._database.connection
    assert connection is not None
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
        add(SqliteMailStore(path))
    assert path.read_bytes() == before


def test_a_store_of_a_newer_version_is_refused(store: SqliteMailStore, path: Path) -> None:
    add(store)
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    with pytest.raises(MailStoreError, match="schema 3"):
        add(store, 1)


def test_damage_is_an_error_that_names_the_file(store: SqliteMailStore, path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(MailStoreError, match=str(path)):
        add(store)


def test_a_directory_that_cannot_be_made_is_an_error_until_it_can(store: SqliteMailStore, path: Path) -> None:
    obstacle = path.parent.parent
    obstacle.touch()
    with pytest.raises(MailStoreError, match="cannot be written"):
        add(store)
    obstacle.unlink()
    add(store)
    assert text_of(store) == TEXT


def test_a_store_whose_file_is_taken_away_goes_on_in_a_new_one(store: SqliteMailStore, path: Path) -> None:
    """Else mails would be acknowledged that are gone with the process."""
    add(store)
    for file in path.parent.iterdir():
        file.rename(path.parent.parent / file.name)
    add(store, 1)
    other = SqliteMailStore(path, create=False)
    assert [info.id for info in other.mails()] == [mail_id(1)]
    other.close()


def test_a_store_that_another_process_keeps_locked_is_an_error_and_stores_nothing(
    store: SqliteMailStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.05)
    store.open()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(MailStoreError, match="locked"):
            add(store)
        other.execute("ROLLBACK")
    assert list(store.mails()) == []
    add(store)
    assert len(list(store.mails())) == 1


def test_a_store_that_cannot_be_written_is_an_error_and_stores_nothing(store: SqliteMailStore) -> None:
    """`query_only` stands for permissions, which do not hold for the root user that tests may run as."""
    store.open()
    assert store._database.connection is not None
    store._database.connection.execute("PRAGMA query_only = ON")
    with pytest.raises(MailStoreError, match="readonly"):
        add(store)
    assert list(store.mails()) == []


def test_a_worker_outlives_the_longest_wait_for_the_store() -> None:
    """The mails of one event may take the budget, and the last of them wait for a lock on top."""
    pool = yaml.safe_load((ROOT / ".rr.yaml").read_text())["tcp"]["pool"]
    exec_ttl = float(pool["supervisor"]["exec_ttl"].removesuffix("s"))
    longest = max(EVENT_BUDGET, TEXT_BUDGET)
    assert exec_ttl > longest + database.CLAIM_TIMEOUT + database.BUSY_TIMEOUT
    assert exec_ttl > longest + 2 * (CONNECT_TIMEOUT + redis_client.SOCKET_TIMEOUT)


def test_a_listing_is_read_in_batches_and_leaves_the_log_alone_in_between(
    store: SqliteMailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that pauses, as `mails | less` does, must not make the log grow for as long."""
    monkeypatch.setattr(table, "BATCH", 3)
    for number in range(7):
        add(store, number)
    listing = store.mails()
    seen = [next(listing)]
    assert store._database.connection is not None
    busy, frames, moved = store._database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert (busy, frames, moved) == (0, 0, 0), "a read that goes on would hold it back"
    add(store, 7)
    seen += listing
    assert [int(info.id) for info in seen] == list(range(8))


@pytest.mark.parametrize("retention", [{"keep": 10}, {"keep": 10**6}, {"older": timedelta(0)}], ids=str)
def test_a_pruning_takes_as_long_however_many_mails_there_are(
    store: SqliteMailStore, retention: dict[str, Any]
) -> None:
    """Others wait for it, and a worker prunes after every few mails."""
    steps = []
    for count in (100, 1000):
        for number in range(count):
            add(store, number)
        assert store._database.connection is not None
        ticks: list[None] = []
        store._database.connection.set_progress_handler(partial(ticks.append, None), 1)
        store.prune(limit=20, **retention)
        store._database.connection.set_progress_handler(None, 0)
        steps.append(len(ticks))
    assert steps[1] < 1.5 * steps[0]


@pytest.mark.parametrize("column", ["rcpt_tos", "received_at", "mail_options"])
def test_a_damaged_row_is_an_error_that_names_the_mail(store: SqliteMailStore, column: str) -> None:
    add(store)
    assert store._database.connection is not None
    store._database.connection.execute(f"UPDATE mail SET {column} = 'x'")  # noqa: S608 - constants
    store._database.connection.commit()
    with pytest.raises(MailStoreError, match=f"damaged at mail {mail_id(0)}"):
        list(store.mails())
    with pytest.raises(MailStoreError, match="damaged"):
        store.get(mail_id(0))


def test_a_full_disk_is_an_error_and_stores_nothing(store: SqliteMailStore) -> None:
    store.open()
    assert store._database.connection is not None
    pages = store._database.connection.execute("PRAGMA page_count").fetchone()[0]
    store._database.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(MailStoreError, match="full"):
        add(store, text=b"x" * 100_000)
    assert list(store.mails()) == []
    add(store, text=b"x" * 100_000)  # on a connection of its own, which knows nothing of the limit
    assert [info.size for info in store.mails()] == [100_000]
