"""TCP sockets as Linux lists them: all of a network in `net/tcp` and `net/tcp6`, a process's in its `fd` (proc(5))."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")

TABLES: Final = ("tcp", "tcp6")
"""The lists; a system without IPv6 lacks the second."""

ESTABLISHED: Final = "01"
"""States are those of linux/tcp_states.h."""

CLOSE_WAIT: Final = "08"
"""The client has ended its side. RoadRunner keeps such a socket until Go's garbage collector runs, long after its
session."""

LISTEN: Final = "0A"


@dataclass(frozen=True, slots=True)
class Socket:
    """A line of the list: addresses and state as they stand there.

    Attributes:
        queue: of a listener, the connections that wait to be accepted.
        inode: names the socket in its process's `fd`; 0 for a connection that nobody has accepted.
    """

    local: str
    remote: str
    state: str
    queue: int
    inode: int

    @property
    def port(self) -> int:
        """Its own."""
        return int(self.local.rpartition(":")[2], 16)


def sockets(net: Path, table: str) -> Iterator[Socket]:
    """The sockets of one of the `TABLES`, listeners first; no more is read than is asked for.

    Raises:
        OSError: there is no such list.
    """
    with (net / table).open() as lines:
        next(lines, None)  # the names of the columns
        for line in lines:
            _, local, remote, state, queues, _, _, _, _, inode, *_ = line.split()
            yield Socket(local, remote, state, int(queues.partition(":")[2], 16), int(inode))


def inodes(process: Path) -> set[int]:
    """The sockets of a process, given as its directory in /proc.

    Raises:
        OSError: it is gone, or its open files are not for this user to see.
    """
    found = set[int]()
    for file in (process / "fd").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # closed meanwhile, or all of them
            target = str(file.readlink())
            if target.startswith("socket:["):
                found.add(int(target.removeprefix("socket:[").removesuffix("]")))
    return found


def open_connections(ports: Collection[int], proc: Path = PROC) -> Counter[int]:
    """How many clients are connected to each of the local ports; those that ended their side are not.

    Raises:
        OSError: this system does not list its sockets.
    """
    found = Counter(dict.fromkeys(ports, 0))
    found.update(sock.port for sock in _all(proc) if sock.state == ESTABLISHED and sock.port in found)
    return found


def listens(pid: int, ports: Collection[int], proc: Path = PROC) -> bool:
    """Whether a process listens on one of the ports, itself: others may share them (SO_REUSEPORT).

    Raises:
        OSError: this system does not list its sockets, or that process's are not for this user to see.
    """
    listeners = {sock.inode for sock in _all(proc) if sock.state == LISTEN and sock.port in ports}
    return bool(listeners) and not listeners.isdisjoint(inodes(proc / str(pid)))


def _all(proc: Path) -> Iterator[Socket]:
    net = proc / "net"
    tables = [table for table in TABLES if (net / table).exists()]
    if not tables:
        raise FileNotFoundError(f"there is no {net}/tcp: sockets are listed on Linux only")
    for table in tables:
        yield from sockets(net, table)
