"""Mail in one SQLite file, shared by all processes of a host."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from services.smtp.errors import MailStoreError
from services.smtp.mailstore import Mail, MailInfo
from services.smtp.store_file import Files, files_of, make_file, refuse_log_alone, sync_directory

log = logging.getLogger(__name__)

APPLICATION_ID: Final = 0x52524D4C
"""`RRML`: tells a mail store from every other SQLite file."""

SCHEMA_VERSION: Final = 1

BUSY_TIMEOUT: Final = 5.0
"""Seconds that a call waits for another process's write, which takes milliseconds. It has to end before RoadRunner's
`exec_ttl` ends the worker."""

CLAIM_TIMEOUT: Final = 1.0
"""Seconds until a file without a log that another process has open is given up. A process that opens or closes the file
takes milliseconds; one that holds a log which was removed lets go of it at its next mail."""

BATCH: Final = 1000
"""Mails that a listing reads at a time: no read goes on while they are printed, for as long as one goes on the log only
grows."""

_DURABLE: Final = "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;"
"""Each commit waits until the disk has it; macOS needs to be told twice."""

_SCHEMA: Final = f"""
{_DURABLE}
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
        self._held = Files()

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
        query = f"SELECT seq, {_INFO} FROM mail WHERE seq > ? ORDER BY seq LIMIT {BATCH}"  # noqa: S608 - constants
        last = 0
        while True:
            with self._session("read") as connection:
                rows = connection.execute(query, (last,)).fetchall()
            yield from (self._info(row[1:]) for row in rows)
            if len(rows) < BATCH:
                return
            last = rows[-1][0]

    def get(self, mail_id: str) -> Mail | None:
        """See `MailStore.get`."""
        with self._session("read") as connection:
            query = f"SELECT {_INFO}, content FROM mail WHERE id = ?"  # noqa: S608 - constants
            row = connection.execute(query, (mail_id,)).fetchone()
        return None if row is None else Mail(self._info(row[:-1]), row[-1])

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
        if self._connection is not None and (now := files_of(self._path)) != self._held:
            self._let_go(self._connection, now)
        if self._connection is None:
            self._connection, self._held = self._open()
        return self._connection

    def _let_go(self, connection: sqlite3.Connection, now: Files) -> None:
        """Closes a connection to files that are not the store's any more: what goes on in them is found by nobody."""
        if now.main != self._held.main and now.log is not None and now.log == self._held.log:
            # The connection stays open: it knows whose log this is.
            raise MailStoreError(
                f"the mail store {self._path.absolute()} was removed or replaced, and its log is there without it: "
                "restore the file, or move the log away if its mails are not needed"
            )
        if now.main == self._held.main and not now.in_use:
            self._save_removed_log(connection)
        self.close()

    def _save_removed_log(self, connection: sqlite3.Connection) -> None:
        """Moves acknowledged mails to the file from a log that nobody finds, or reads right, any more."""
        busy, frames, moved = connection.execute("PRAGMA wal_checkpoint").fetchone()
        if busy or moved != frames:
            raise MailStoreError(
                f"the log of the mail store {self._path.absolute()} (its -wal or -shm file) was removed while it is in "
                "use, and the mails in it cannot be moved to the file while another process reads it: end that process"
            )
        log.warning(
            "the log of the mail store %s (its -wal or -shm file) was removed while it is in use; no mail is lost. "
            "Leave these files alone while the service runs",
            self._path.absolute(),
        )

    def _open(self) -> tuple[sqlite3.Connection, Files]:
        path = self._path.resolve()
        if not path.exists():
            refuse_log_alone(path)
            if not self._create:
                raise MailStoreError(
                    f"there is no mail store {self._path.absolute()}: it is made with the first connection. If "
                    "mail was received, set MAIL_STORE to the service's and run in its working directory"
                )
            make_file(path, _fill)
        before = files_of(path)
        _claim(path)
        connection = _connect(path, timeout=BUSY_TIMEOUT)
        try:
            connection.executescript(_DURABLE)
            self._check(connection)
            return connection, self._check_files(path, before)
        except BaseException:
            connection.close()
            raise

    def _check_files(self, path: Path, before: Files) -> Files:
        """The files that a connection holds which was opened since."""
        held = files_of(path)
        if held.main != before.main or not held.in_use:
            raise MailStoreError(f"the mail store {path} was removed or replaced while it was opened: try again")
        if self._create:
            sync_directory(path.parent)  # before a mail is acknowledged, whichever process made the file
        return held

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

    def _info(self, row: Sequence[Any]) -> MailInfo:
        mail_id, mail_from, rcpt_tos, size, received_at, peer, sha256, helo, mail_options, rcpt_options = row
        try:
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
        except (msgspec.DecodeError, ValueError) as error:
            raise MailStoreError(
                f"the mail store {self._path.absolute()} is damaged at mail {mail_id}: {error}. Restore the file from "
                "a copy, or delete that row"
            ) from error


def _connect(path: Path, *, timeout: float) -> sqlite3.Connection:
    # mode=rw: a file that vanished in between is an error, not an empty store
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=timeout)


def _fill(new: Path) -> None:
    with contextlib.closing(sqlite3.connect(new)) as connection:
        connection.executescript(_SCHEMA)


def _claim(path: Path) -> None:
    """Sees that no process has the file open while it has no log: that process would hold a log that was removed.

    SQLite would give the file a second log, and two logs destroy it, as do two indexes of one. Exclusive access, which
    is given back at once, says that there is nobody.
    """
    deadline = time.monotonic() + CLAIM_TIMEOUT
    while not files_of(path).in_use:
        try:
            with contextlib.closing(_connect(path, timeout=0)) as connection:
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                connection.execute("PRAGMA user_version").fetchone()
                return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:  # the low byte is the kind
                raise
        if time.monotonic() > deadline:
            raise MailStoreError(
                f"the log of the mail store {path} (its -wal or -shm file) was removed while another process has the "
                "store open: end all processes that use it, they save what is in the log, and try again"
            )
        time.sleep(0.01)


def _json(values: tuple[str, ...]) -> str:
    return msgspec.json.encode(values).decode()


def _strings(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])
