"""The memory-mapped file of a session store on LMDB: who may open it, its room, its transactions, its errors.

Nothing is synced to the disk: sessions end with their connections, which do not outlive the machine. Put the file on a
memory file system (/dev/shm). The map is written through the file descriptor (`writemap` off): a full file system is
then an error of one call, not a SIGBUS that kills the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lmdb

from rr_tcp.errors import SessionStoreError
from rr_tcp.process import Forks

MAX_READERS: Final = 1024
"""Processes and threads that may read at the same time; RoadRunner's pools have at most 500 workers."""

USABLE: Final = 0.9
"""Part of the space that sessions may take. LMDB copies the pages that it changes: without the rest, a full store could
not even be emptied."""

FAILURES: Final = (lmdb.Error, OSError)
"""What LMDB and the file system raise; `Table.failed` makes it an error of the store."""

_BLOCK: Final = 512
"""Bytes in the unit of `st_blocks`."""


class FullError(SessionStoreError):
    """No room for what the call writes; nothing of it is written."""


class Table:
    """One table of keys and values, in the order of the keys, that all processes of a host share.

    LMDB's other tables would be entries of this one: each change of theirs writes one page more.

    An object belongs to the process that opened it: LMDB's locks do not survive a fork, so a child is refused.

    Args:
        directory: made with mode 0700, missing parents too.
        map_size: bytes that the data may take.

    Raises:
        SessionStoreError: the directory or the file in it cannot be used.
    """

    def __init__(self, directory: Path, map_size: int) -> None:
        self._directory = directory
        self._map_size = map_size
        self._forks = Forks.depth
        try:
            for path in (*reversed(directory.parents), directory):
                path.mkdir(mode=0o700, exist_ok=True)
            _check_private(directory)
            self._env = lmdb.open(
                str(directory),
                map_size=map_size,
                max_readers=MAX_READERS,
                max_spare_txns=1,
                mode=0o600,
                sync=False,
                metasync=False,
                readahead=False,
            )
            self._page_size = self._env.stat()["psize"]
            self.look_after()
        except FAILURES as error:
            raise SessionStoreError(
                f"the session store {directory} cannot be opened: {error}. Check that the directory can be written; "
                "after a crash of the machine remove it, sessions do not outlive their connections"
            ) from error

    def begin(self, *, write: bool = False) -> lmdb.Transaction[bytes]:
        """A transaction for a `with` block, which commits at its end, or aborts when the block raises.

        What is in the block raises `FAILURES`; around an event's two calls there is no time for more than that.
        """
        if Forks.depth != self._forks:
            raise SessionStoreError(
                f"the session store {self._directory} was opened before a fork: open it in the process that uses it"
            )
        return self._env.begin(write=write)

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[lmdb.Transaction[bytes]]:
        """As `begin`, but raises errors of the store."""
        try:
            with self.begin(write=write) as txn:
                yield txn
        except FAILURES as error:
            raise self.failed(error) from error

    def failed(self, error: Exception) -> SessionStoreError:
        """What to raise for one of `FAILURES`."""
        if isinstance(error, lmdb.MapFullError | lmdb.DiskError):
            return self._full(str(error))
        return SessionStoreError(
            f"the session store {self._directory} failed: {error}. Check the space on its file system"
        )

    def check_room(self, txn: lmdb.Transaction[bytes], more: int) -> None:
        """`FullError` when there is no room for `more` bytes."""
        stat = txn.stat(None)
        pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        if pages * self._page_size + more > self._room:
            raise self._full(f"sessions may take {self._room} bytes")

    def look_after(self) -> None:
        """Drops readers whose process is gone, which would keep old pages in use, and measures the room again."""
        self._env.reader_check()
        self._room = self._measure_room()

    def close(self) -> None:
        """Closes the file, in the process that opened it."""
        if Forks.depth == self._forks:
            self._env.close()

    def _measure_room(self) -> int:
        """Bytes that sessions may take: of the map, or of the file system if that has less."""
        file_system, file = os.statvfs(self._directory), (self._directory / "data.mdb").stat()
        available = file_system.f_bavail * file_system.f_frsize + file.st_blocks * _BLOCK
        return int(min(self._map_size, available) * USABLE)

    def _full(self, why: str) -> FullError:
        return FullError(
            f"the session store {self._directory} is full: {why}. Give it more space (/dev/shm has 64 MB in a "
            "container unless shm_size says more), or lower the number of clients, the size of what they may send, or "
            "the sessions' time to live"
        )


def _check_private(directory: Path) -> None:
    """Refuses a directory that others could have made, or can change: whoever can may read and forge every session."""
    status = directory.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(
            f"it belongs to user {status.st_uid} with mode {status.st_mode & 0o777:o}; it must be yours, and nobody "
            "else's to write. Name another directory"
        )
