"""The files of a mail store: which ones have its names now, and how they are made so that they outlast a power cut."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from services.smtp.errors import MailStoreError


class Names(NamedTuple):
    """The names of a store's files.

    Attributes:
        main: the database; may be a symbolic link.
        log: its write-ahead log. SQLite puts it beside the file itself.
        log_index: of the log.
    """

    main: str
    log: str
    log_index: str


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


def names_of(path: Path) -> Names:
    """The names of the files of the store `path`."""
    real = path.resolve()
    return Names(str(path), str(_log_of(real)), str(_index_of(real)))


def named(names: Names) -> Files:
    """The files that have these names now. One call for every mail: no `Path`, which takes several times as long."""
    return Files(_identity(names.main), _identity(names.log), _identity(names.log_index))


def files_of(path: Path) -> Files:
    """The files that the store `path` has now."""
    return named(names_of(path))


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
    make_directory(path.parent)
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


def flush(descriptor: int) -> None:
    """Returns when the disk has all that was written to a file, by any process."""
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync leaves it in the disk's own cache
    else:
        os.fdatasync(descriptor)


def make_directory(directory: Path) -> None:
    """Makes a directory and those above it where they are not, for their owner alone, each with a durable name."""
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


def _identity(name: str) -> tuple[int, int] | None:
    try:
        status = os.stat(name)  # noqa: PTH116 - see `named`
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
