"""The files of a mail store: which ones have its names now, and how they are made so that they outlast a power cut."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from services.smtp.errors import MailStoreError


class Files(NamedTuple):
    """Which files have the store's names: device and inode, None where there is none.

    Attributes:
        main: the database.
        log: its write-ahead log, which holds the mails that are not in the database yet.
        log_index: of the log, in memory that the processes share. Who has another one knows nothing of their mails.
    """

    main: tuple[int, int] | None = None
    log: tuple[int, int] | None = None
    log_index: tuple[int, int] | None = None

    @property
    def in_use(self) -> bool:
        """Whether there are a log and its index: SQLite makes them for the first process, and the last removes them."""
        return self.log is not None and self.log_index is not None


def files_of(path: Path) -> Files:
    """The files that a store has now. `path` may be a symbolic link: SQLite puts the log beside the file itself."""
    real = path.resolve()
    return Files(_identity(real), _identity(_log_of(real)), _identity(_index_of(real)))


def make_file(path: Path, fill: Callable[[Path], None]) -> None:
    """Makes a database, with its directory, unless another process does it first.

    It is filled under another name and gets its own once it is whole. The lock that keeps other processes away
    meanwhile is on the directory: it needs no file of its own, and no hard link, which not every file system has.
    Whoever opens the file calls `sync_directory` then: only that makes its name durable, whichever process made it.

    Args:
        path: the file.
        fill: makes the database under the name that it is given.

    Raises:
        MailStoreError: the log of another database is there, which would be taken for the new one's.
    """
    _make_directory(path.parent)
    with _locked(path.parent):
        if path.exists():
            return
        refuse_log_alone(path)
        new = path.with_name(f".{path.name}.new")
        for rest in (new, _log_of(new), _index_of(new)):  # of a process that was killed right here
            rest.unlink(missing_ok=True)
        new.touch(mode=0o600)
        fill(new)
        new.rename(path)


def refuse_log_alone(path: Path) -> None:
    """Raises `MailStoreError` when the log is there and its database is not: acknowledged mails may be in it."""
    for name in (_log_of(path), _index_of(path)):
        if name.exists() and not path.exists():  # the second look is for a database that was made meanwhile
            raise MailStoreError(
                f"there is no mail store {path.absolute()}, and {name.name} is there without it: restore the file, or "
                f"move the log {name.name} away if its mails are not needed"
            )


def sync_directory(directory: Path) -> None:
    """Makes the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_directory(directory: Path) -> None:
    """Makes a directory and those above it, for their owner alone, each with a durable name."""
    missing = []
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    for new in reversed(missing):
        new.mkdir(mode=0o700, exist_ok=True)
        sync_directory(new.parent)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _index_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-shm")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
