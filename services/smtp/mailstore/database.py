"""One SQLite file that many processes share, whatever happens to its files meanwhile."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from services.smtp.errors import MailStoreError, MailStoreFullError, NoMailStoreError
from services.smtp.mailstore import schema
from services.smtp.mailstore.files import (
    Files,
    Names,
    files_of,
    flush,
    make_file,
    named,
    names_of,
    refuse_log_alone,
    sync_directory,
)

log = logging.getLogger(__name__)

BUSY_TIMEOUT: Final = 5.0
"""Seconds that a call waits for another process's write, which takes milliseconds. It has to end before RoadRunner's
`exec_ttl` ends the worker."""

CLAIM_TIMEOUT: Final = 1.0
"""Seconds until a file without a log that another process has open is given up. A process that opens or closes the file
takes milliseconds; one that holds a log which was removed lets go of it at its next mail."""

_LOG_SIZE: Final = 16 * 1024 * 1024
"""Bytes of the log that stay on the disk after a large mail went through it."""

_SETTINGS: Final = f"""
PRAGMA synchronous = NORMAL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;
PRAGMA journal_size_limit = {_LOG_SIZE};
"""
"""NORMAL: the log and the file are flushed before and after the log is copied to the file, so that no power cut damages
either. That the disk has a commit is what `Database.writing` waits for; macOS needs to be told twice."""

_KIND: Final = 0xFF
"""The low byte of SQLite's extended error codes is the kind of error."""


class _Held(NamedTuple):
    """What is open.

    Attributes:
        connection: SQLite's.
        names: of the files that it has.
        files: which they are.
        log: descriptor of the log.
    """

    connection: sqlite3.Connection
    names: Names
    files: Files
    log: int


class Database:
    """A connection to the file that is opened when it is needed, and again when it has to be.

    The file has a write-ahead log: readers and one writer work at a time in any number of processes, and a process that
    is killed in the middle of a transaction leaves nothing of it. The file must be on a local disk: the log needs
    shared memory.

    Whoever wrote flushes the log, before it says so to anybody, and after its turn to write is over. `synchronous=FULL`
    would flush it within that turn: then one process at a time would wait for the disk, and all others for that one.
    What others wrote to the log before is flushed with it, so a power cut takes no commit that a flushed one stands on.

    Args:
        path: the file.
        create: whether it is made when it does not exist, with its directory.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self._create = create
        self._held: _Held | None = None
        self._log_in_doubt = False

    @property
    def connection(self) -> sqlite3.Connection | None:
        """The connection, while one is open."""
        return self._held.connection if self._held else None

    @contextlib.contextmanager
    def session(self, purpose: str) -> Iterator[sqlite3.Connection]:
        """The open connection, for reading; what SQLite raises becomes a `MailStoreError`, and the next call reopens.

        Args:
            purpose: completes the error "the mail store cannot be ...".
        """
        with self._use(purpose) as held:
            yield held.connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The open connection in a transaction of its own, which is undone when the block raises.

        When the block is left without an error, the disk has what was written.
        """
        with self._use("written") as held:
            held.connection.execute("BEGIN IMMEDIATE")
            try:
                yield held.connection
                held.connection.execute("COMMIT")
            except BaseException:
                if held.connection.in_transaction:
                    held.connection.execute("ROLLBACK")
                raise
            self._flush(held)

    def _flush(self, held: _Held) -> None:
        try:
            flush(held.log)
        except OSError as error:
            self._log_in_doubt = True
            try:
                self._empty_log(held.connection)
            except sqlite3.Error:
                raise self._failed(error, "written") from error
            log.warning("the log of the mail store %s could not be flushed: %s. Its mails are safe", self.path, error)

    def _empty_log(self, connection: sqlite3.Connection) -> None:
        """Moves all commits to the file, for good, so that the log begins anew.

        After a flush that failed, the next one says nothing of what the first one should have written: Linux tells an
        error once, and takes the pages for written. What is in the log is committed all the same, and every later
        commit stands on it. SQLite, which has a descriptor of its own, may learn of the error in its first try.
        """
        empty = "PRAGMA wal_checkpoint(TRUNCATE)"
        try:
            busy, *_ = connection.execute(empty).fetchone()
        except sqlite3.OperationalError:
            busy, *_ = connection.execute(empty).fetchone()
        if busy:
            raise sqlite3.OperationalError("a flush of its log failed, and another process keeps it from being emptied")
        self._log_in_doubt = False

    @contextlib.contextmanager
    def _use(self, purpose: str) -> Iterator[_Held]:
        try:
            held = self._opened()
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error, purpose) from error
        try:
            yield held
        except sqlite3.Error as error:
            raise self._failed(error, purpose) from error

    def close(self) -> None:
        """Closes the connection; the next call opens it again."""
        if self._held is not None:
            self._held.connection.close()
            os.close(self._held.log)
            self._held = None

    def _failed(self, error: sqlite3.Error | OSError, purpose: str) -> MailStoreError:
        self.close()
        if _is_full(error):
            return MailStoreFullError(
                f"the mail store {self.path} is full: {error}. Make space on its disk, or remove mails "
                "(`python -m services.smtp prune`)"
            )
        return MailStoreError(
            f"the mail store {self.path} cannot be {purpose}: {error}. See that its directory exists on a local "
            "disk with space left and that this user may write to it"
        )

    def _opened(self) -> _Held:
        held = self._held
        if held is not None and named(held.names) != held.files and (now := files_of(self.path)) != held.files:
            self._let_go(held, now)
        if self._held is None:
            self._held = self._open()
        return self._held

    def _let_go(self, held: _Held, now: Files) -> None:
        """Closes a connection to files that are not the store's any more: what goes on in them is found by nobody."""
        if now.main != held.files.main and now.log is not None and now.log == held.files.log:
            # The connection stays open: it knows whose log this is.
            raise MailStoreError(
                f"the mail store {self.path.absolute()} was removed or replaced, and its log is there without it: "
                "restore the file, or move the log away if its mails are not needed"
            )
        if now.main == held.files.main and not now.in_use:
            self._save_removed_log(held.connection)
        self.close()

    def _save_removed_log(self, connection: sqlite3.Connection) -> None:
        """Moves acknowledged mails to the file from a log that nobody finds, or reads right, any more."""
        busy, frames, moved = connection.execute("PRAGMA wal_checkpoint").fetchone()
        if busy or moved != frames:
            raise MailStoreError(
                f"the log of the mail store {self.path.absolute()} (its -wal or -shm file) was removed while it is in "
                "use, and the mails in it cannot be moved to the file while another process reads it: end that process"
            )
        log.warning(
            "the log of the mail store %s (its -wal or -shm file) was removed while it is in use; no mail is lost. "
            "Leave these files alone while the service runs",
            self.path.absolute(),
        )

    def _open(self) -> _Held:
        path = self.path.resolve()
        if not path.exists():
            refuse_log_alone(path)
            if not self._create:
                raise NoMailStoreError(
                    f"there is no mail store {self.path.absolute()}: it is made with the first connection. If "
                    "mail was received, set MAIL_STORE to the service's and run in its working directory"
                )
            make_file(path, _fill)
        before = files_of(path)
        _claim(path)
        connection = _connect(path, timeout=BUSY_TIMEOUT)
        try:
            connection.executescript(_SETTINGS)
            self._check(connection)
            names, files = names_of(self.path), self._check_files(path, before)
            if self._log_in_doubt:
                self._empty_log(connection)
            return _Held(connection, names, files, os.open(names.log, os.O_RDONLY))
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
        """Sees that the file is a mail store of this version, or makes it one."""
        application_id, version, journal = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version", "journal_mode")
        )
        known = application_id == schema.APPLICATION_ID and 1 <= version <= schema.SCHEMA_VERSION
        if not known or journal != "wal":
            raise MailStoreError(
                f"{self.path.absolute()} is no mail store of this version (application id {application_id:#x}, schema "
                f"{version}, journal {journal}; expected {schema.APPLICATION_ID:#x}, up to {schema.SCHEMA_VERSION}, "
                "wal): name another file in MAIL_STORE, or move this one away"
            )
        if version < schema.SCHEMA_VERSION:
            log.info("the mail store %s is brought from schema %d to %d", self.path, version, schema.SCHEMA_VERSION)
            schema.migrate(connection)


def _connect(path: Path, *, timeout: float) -> sqlite3.Connection:
    # mode=rw: a file that vanished in between is an error, not an empty store
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=timeout, isolation_level=None)


def _fill(new: Path) -> None:
    with contextlib.closing(sqlite3.connect(new)) as connection:
        connection.executescript(f"{_SETTINGS} PRAGMA synchronous = FULL;")  # it has no log yet
        schema.create(connection)


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
            if _kind(error) != sqlite3.SQLITE_BUSY:
                raise
        if time.monotonic() > deadline:
            raise MailStoreError(
                f"the log of the mail store {path} (its -wal or -shm file) was removed while another process has the "
                "store open: end all processes that use it, they save what is in the log, and try again"
            )
        time.sleep(0.01)


def _is_full(error: sqlite3.Error | OSError) -> bool:
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    return _kind(error) == sqlite3.SQLITE_FULL


def _kind(error: sqlite3.Error) -> int | None:
    """SQLite's primary error code; None for an error of the Python module itself."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & _KIND
