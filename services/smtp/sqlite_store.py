"""Mail in one SQLite file, shared by all processes of a host."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from services.smtp.errors import MailStoreError
from services.smtp.mailstore import Mail, MailInfo

APPLICATION_ID: Final = 0x52524D4C
"""`RRML`: tells a mail store from every other SQLite file."""

SCHEMA_VERSION: Final = 1

BUSY_TIMEOUT: Final = 5.0
"""Seconds that a call waits for another process's write, which takes milliseconds. It has to end before RoadRunner's
`exec_ttl` ends the worker."""

_SCHEMA: Final = f"""
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
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""

_INFO: Final = "id, mail_from, rcpt_tos, size, received_at, peer, sha256, helo, mail_options, rcpt_options"


class SqliteMailStore:
    """A `MailStore` in one file, with a write-ahead log that is flushed before `add` returns (`synchronous=FULL`).

    Readers and one writer work at a time in any number of processes; a process killed in the middle of `add` leaves
    nothing of that mail. The file must be on a local disk: the log needs shared memory.

    Args:
        path: the file.
        create: whether it is made when it does not exist, with its directory.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self._path = path
        self._create = create
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def open(self) -> None:
        """See `MailStore.open`."""
        with self._session("opened"):
            pass

    def add(self, mail: Mail) -> None:
        """See `MailStore.add`."""
        info = mail.info
        row = (
            info.id,
            info.mail_from,
            _json(info.rcpt_tos),
            info.size,
            info.received_at.astimezone(UTC).isoformat(timespec="microseconds"),
            info.peer,
            info.sha256,
            info.helo,
            _json(info.mail_options),
            _json(info.rcpt_options),
            mail.content,
        )
        with self._session("written") as connection, connection:
            connection.execute(
                f"INSERT INTO mail ({_INFO}, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608 - constants
                "ON CONFLICT (id) DO NOTHING",
                row,
            )

    def mails(self) -> Iterator[MailInfo]:
        """See `MailStore.mails`."""
        with self._session("read") as connection:
            for row in connection.execute(f"SELECT {_INFO} FROM mail ORDER BY seq"):  # noqa: S608 - constants
                yield _info(row)

    def get(self, mail_id: str) -> Mail | None:
        """See `MailStore.get`."""
        with self._session("read") as connection:
            query = f"SELECT {_INFO}, content FROM mail WHERE id = ?"  # noqa: S608 - constants
            row = connection.execute(query, (mail_id,)).fetchone()
        return None if row is None else Mail(_info(row[:-1]), row[-1])

    def close(self) -> None:
        """See `MailStore.close`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextlib.contextmanager
    def _session(self, purpose: str) -> Iterator[sqlite3.Connection]:
        """The open connection; what SQLite raises becomes a `MailStoreError`, and the next call opens it anew."""
        try:
            yield self._opened()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise MailStoreError(
                f"the mail store {self._path} cannot be {purpose}: {error}. See that its directory exists on a local "
                "disk with space left and that this user may write to it"
            ) from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and _identity(self._path) != self._identity:
            self.close()  # the file was removed or replaced: what goes on in the old one is lost with this process
        if self._connection is None:
            self._connection = self._open()
            self._identity = _identity(self._path)
        return self._connection

    def _open(self) -> sqlite3.Connection:
        if not self._path.exists():
            if not self._create:
                raise MailStoreError(
                    f"there is no mail store {self._path.absolute()}: it is made with the first connection. If "
                    "mail was received, set MAIL_STORE to the service's and run in its working directory"
                )
            self._make()
        # mode=rw: a file that vanished in between is an error, not an empty store
        connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        application_id, version, journal = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version", "journal_mode")
        )
        if (application_id, version, journal) != (APPLICATION_ID, SCHEMA_VERSION, "wal"):
            raise MailStoreError(
                f"{self._path.absolute()} is no mail store of this version (application id {application_id:#x}, schema "
                f"{version}, journal {journal}; expected {APPLICATION_ID:#x}, {SCHEMA_VERSION}, wal): name another "
                "file in MAIL_STORE, or move this one away"
            )

    def _make(self) -> None:
        """Makes the file aside and gives it its name once it is whole.

        Processes that make one file at the same time would stand in each other's way when they switch it to the log;
        so each makes its own, and the first to link it wins.
        """
        directory = self._path.parent
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=directory)
        os.close(handle)
        new = Path(name)
        try:
            with contextlib.closing(sqlite3.connect(new)) as connection:
                connection.executescript(_SCHEMA)
            with contextlib.suppress(FileExistsError):
                self._path.hardlink_to(new)
        finally:
            new.unlink()
        _sync_directory(directory)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file has this name now."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _sync_directory(directory: Path) -> None:
    """Makes the new name durable, as its mails are to be."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _json(values: tuple[str, ...]) -> str:
    return msgspec.json.encode(values).decode()


def _strings(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])


def _info(row: tuple[Any, ...]) -> MailInfo:
    mail_id, mail_from, rcpt_tos, size, received_at, peer, sha256, helo, mail_options, rcpt_options = row
    return MailInfo(
        id=mail_id,
        mail_from=mail_from,
        rcpt_tos=_strings(rcpt_tos),
        size=size,
        received_at=datetime.fromisoformat(received_at),
        peer=peer,
        sha256=sha256,
        helo=helo,
        mail_options=_strings(mail_options),
        rcpt_options=_strings(rcpt_options),
    )
