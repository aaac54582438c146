"""The tables of a mail store's SQLite file, and how a file of an earlier version becomes one of this.

A file that an earlier version wrote is brought up to date when it is opened, in one transaction that copies no text:
the worker that does it has seconds, whatever the file's size. The texts of version 1 stay where they are.
"""

from __future__ import annotations

import sqlite3
from typing import Final

APPLICATION_ID: Final = 0x52524D4C
"""`RRML`: tells a mail store from every other SQLite file."""

SCHEMA_VERSION: Final = 2

PIECES: Final = 1 << 20
"""Pieces that one mail may have: the piece `number` of the mail `seq` has the key `seq * PIECES + number`."""

VERSION_1: Final = f"""
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
    content BLOB NOT NULL        -- the text where it is short, or version 1 stored it; else empty
) STRICT;
PRAGMA application_id = {APPLICATION_ID}
"""

_VERSION_2: Final = (
    # JSON: what version 1 did not know.
    "ALTER TABLE mail ADD COLUMN more TEXT NOT NULL DEFAULT '{}'",
    "CREATE INDEX mail_received_at ON mail (received_at)",
    # Of the mail `place / PIECES`, the piece `place % PIECES`.
    "CREATE TABLE piece (place INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT",
    # One row. `last` is the highest seq that was ever given: none is given twice.
    "CREATE TABLE total (last INTEGER NOT NULL, mails INTEGER NOT NULL, size INTEGER NOT NULL) STRICT",
    "INSERT INTO total SELECT coalesce(max(seq), 0), count(*), coalesce(sum(size), 0) FROM mail",
    # The groups of consumers; `seen` is the seq of the last mail that was handed out.
    "CREATE TABLE consumers (name TEXT PRIMARY KEY, seen INTEGER NOT NULL) STRICT",
    # Mails that a group was given and has not settled; `due`, seconds since the epoch, ends a lease or a delay.
    """
    CREATE TABLE handed_out (
        consumers TEXT NOT NULL,
        mail INTEGER NOT NULL,
        due REAL NOT NULL,
        attempts INTEGER NOT NULL,
        progress BLOB NOT NULL,
        PRIMARY KEY (consumers, mail)
    ) STRICT, WITHOUT ROWID
    """,
    "PRAGMA user_version = 2",
)


def create(connection: sqlite3.Connection) -> None:
    """Makes the tables of this version in an empty database."""
    script = ";".join([VERSION_1, *_VERSION_2])
    connection.executescript(f"PRAGMA journal_mode = WAL; BEGIN; {script}; COMMIT;")


def migrate(connection: sqlite3.Connection) -> None:
    """Brings a database of an earlier version up to date, unless another process did it meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] == 1:
            for statement in _VERSION_2:
                connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
