"""The watchdog: tells when a listener of a server accepts no more connections while the server lives on.

RoadRunner's TCP plugin (v5.1.9) leaves a listener's loop for good on any error of accept, which running out of file
descriptors is; the socket stays open, the kernel goes on taking connections for it, and nobody answers them. What runs
the server sees a healthy process. So somebody else has to look, and to end it, for whatever restarts what ends.

What is looked at is the kernel's own list of sockets (`/proc/net/tcp`, Linux): a connection that no process has
accepted has no inode there. So a pool that is merely busy is never mistaken for a listener that is gone, and nothing is
sent to anybody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from rr_tcp.errors import ServerError
from rr_tcp.sockets import CLOSE_WAIT, ESTABLISHED, LISTEN, PROC, TABLES, Socket, inodes, sockets

INTERVAL: Final = 1.0
"""Seconds between two looks."""

PATIENCE: Final = 5.0
"""Seconds that a connection may wait to be accepted, which takes a server no time worth mentioning."""

_WAITING: Final = frozenset({ESTABLISHED, CLOSE_WAIT})
"""States of a connection that can be accepted: established, and ended by its client meanwhile."""


class Watchdog:
    """Watches all TCP listeners of a process.

    Args:
        pid: of the server.
        patience: seconds that a connection may wait to be accepted.
        clock: seconds that never jump.
        proc: where the kernel's tables are.
    """

    def __init__(
        self,
        pid: int,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        proc: Path = PROC,
    ) -> None:
        self._process = proc / str(pid)
        self._patience = patience
        self._clock = clock
        self._owned: dict[int, bool] = {}
        self._waiting: dict[tuple[str, str], float] = {}

    def look(self) -> list[int]:
        """The ports on which connections have waited to be accepted for too long; mostly none.

        Raises:
            ServerError: the process is gone, or its sockets cannot be seen from here.
        """
        waiting: dict[tuple[str, str], float] = {}
        ports = set[int]()
        for table in TABLES:
            for socket in self._unaccepted(table):
                key = socket.local, socket.remote
                waiting[key] = self._waiting.get(key, self._clock())
                if self._clock() - waiting[key] >= self._patience:
                    ports.add(socket.port)
        self._waiting = waiting
        return sorted(ports)

    def _unaccepted(self, table: str) -> Iterator[Socket]:
        """Connections that wait for the server. The kernel lists listeners first: mostly, they are all that is read."""
        ports = set[int]()
        for socket in self._sockets(table):
            if socket.state == LISTEN:
                if socket.queue and self._owns(socket.inode):
                    ports.add(socket.port)
            elif not ports:
                return
            elif socket.inode == 0 and socket.state in _WAITING and socket.port in ports:
                yield socket

    def _sockets(self, table: str) -> Iterator[Socket]:
        try:
            yield from sockets(self._process / "net", table)
        except OSError as error:
            if table == "tcp6" and self._process.exists():  # a system without IPv6
                return
            raise ServerError(f"the sockets of the server cannot be seen: {error}") from error

    def _owns(self, inode: int) -> bool:
        """Whether a listener is the server's; others may share its network."""
        if inode not in self._owned:
            try:
                self._owned[inode] = inode in inodes(self._process)
            except OSError as error:
                raise ServerError(f"the open files of the server cannot be seen: {error}") from error
        return self._owned[inode]
