"""A file that an earlier version wrote: its mails were acknowledged, so they are there after an upgrade."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.smtp import MailInfo, MailStoreError
from services.smtp.mailstore import Counts, schema
from services.smtp.mailstore.interface import PIECE
from services.smtp.mailstore.sqlite import SqliteMailStore
from tests.services.smtp.mailstore.samples import add, mail_id, numbers, text_of

VERSION_1 = """
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE mail (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    mail_from TEXT NOT NULL,
    rcpt_tos TEXT NOT NULL,      -- JSON array
    size INTEGER NOT NULL,
    received_at TEXT NOT NULL,   -- ISO 8601, UTC
    peer TEXT NOT NULL,
    sha256 TEXT NOT NULL,        -- of the content, hexadecimal
    helo TEXT NOT NULL,
    mail_options TEXT NOT NULL,  -- JSON array
    rcpt_options TEXT NOT NULL,  -- JSON array
    content BLOB NOT NULL        -- last: a listing never reads it
) STRICT;
PRAGMA application_id = 1381125452;
PRAGMA user_version = 1;
COMMIT;
"""
"""As version 1 made it; a copy, since what it made does not change any more."""

TEXTS = [b"", b"text\r\n", bytes(range(256)) * (PIECE // 128) + b"end"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with three mails of version 1."""
    path = tmp_path / "mail.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)
        for number, text in enumerate(TEXTS):
            row = (
                mail_id(number),
                "from@a.test",
                '["to@b.test"]',
                len(text),
                "2026-01-02T03:04:05.000006+00:00",
                "127.0.0.1:1",
                hashlib.sha256(text).hexdigest(),
                "c",
                '["SIZE=1"]',
                "[]",
                text,
            )
            connection.execute(f"INSERT INTO mail VALUES (NULL{', ?' * len(row)})", row)  # noqa: S608 - marks
        connection.commit()
    return path


def test_its_mails_are_there_byte_for_byte_and_new_ones_come_after_them(path: Path) -> None:
    with contextlib.closing(SqliteMailStore(path)) as store:
        assert store.count() == Counts(3, sum(map(len, TEXTS)))
        assert store.get(mail_id(1)) == MailInfo(
            id=mail_id(1),
            mail_from="from@a.test",
            rcpt_tos=("to@b.test",),
            received_at=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
            peer="127.0.0.1:1",
            helo="c",
            mail_options=("SIZE=1",),
            size=len(TEXTS[1]),
            sha256=hashlib.sha256(TEXTS[1]).hexdigest(),
        )
        add(store, 3)
        assert numbers(store) == [0, 1, 2, 3]
        assert [text_of(store, number) for number in range(3)] == TEXTS
        assert all(len(piece) <= PIECE for piece in store.read(mail_id(2)))
        assert store.delete(mail_id(2))
        assert store.count() == Counts(3, len(TEXTS[1]) + len(b"text\r\n"))


def test_a_queue_can_begin_with_its_mails(path: Path) -> None:
    with contextlib.closing(SqliteMailStore(path)) as store:
        assert [int(claim.info.id) for claim in store.queue("relay", start="all").claim(9)] == [0, 1, 2]


def test_workers_that_open_it_at_once_bring_it_up_to_date_once(path: Path) -> None:
    def opened(_: int) -> list[int]:
        with contextlib.closing(SqliteMailStore(path)) as store:
            return numbers(store)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(opened, range(8))) == [[0, 1, 2]] * 8


def test_a_worker_of_the_first_version_that_goes_on_writing_keeps_no_other_from_it(path: Path) -> None:
    """It opened the file before, and looks at the version when it opens it only."""
    with contextlib.closing(SqliteMailStore(path)) as store:
        store.open()
        with contextlib.closing(sqlite3.connect(path)) as old, old:
            columns = "id, mail_from, rcpt_tos, size, received_at, peer, sha256, helo, mail_options, rcpt_options"
            old.execute(
                f"INSERT INTO mail ({columns}, content) SELECT ?, {columns.removeprefix('id, ')}, content "  # noqa: S608 - constants
                "FROM mail WHERE id = ?",
                (mail_id(3), mail_id(1)),
            )
        add(store, 4)
        assert numbers(store) == [0, 1, 2, 3, 4]
        assert text_of(store, 3) == TEXTS[1]


def test_a_step_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_VERSION_2", (*schema._VERSION_2, "NONSENSE"))
    with pytest.raises(MailStoreError, match="NONSENSE"):
        SqliteMailStore(path).open()
    monkeypatch.undo()
    with contextlib.closing(SqliteMailStore(path)) as store:
        assert [text_of(store, number) for number in range(3)] == TEXTS
