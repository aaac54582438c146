"""The sockets of a server, as Linux lists them (proc(5): /proc/net/tcp and /proc/PID/fd)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")

_ESTABLISHED: Final = "01"
"""Not CLOSE_WAIT, where the client has ended its side (linux/tcp_states.h): RoadRunner keeps such a socket until Go's
garbage collector runs, long after its session."""

_LISTEN: Final = "0A"


@dataclass(frozen=True, slots=True)
class _Socket:
    """A line of /proc/net/tcp.

    Attributes:
        port: the local one.
        state: two hexadecimal digits.
        inode: names the socket in its process's /proc/PID/fd.
    """

    port: int
    state: str
    inode: str


def open_connections(ports: Collection[int], proc: Path = PROC) -> Counter[int]:
    """How many clients are connected to each of the local ports; those that ended their side are not.

    Raises:
        OSError: this system does not list its sockets.
    """
    found = Counter(dict.fromkeys(ports, 0))
    found.update(sock.port for sock in _sockets(proc) if sock.port in found and sock.state == _ESTABLISHED)
    return found


def listens(pid: int, ports: Collection[int], proc: Path = PROC) -> bool:
    """Whether a process listens on one of the ports, itself: others may share them (SO_REUSEPORT).

    Raises:
        OSError: this system does not list its sockets, or that process's are not for this user to see.
    """
    inodes = {sock.inode for sock in _sockets(proc) if sock.port in ports and sock.state == _LISTEN}
    return bool(inodes) and any(_inode(entry) in inodes for entry in (proc / str(pid) / "fd").iterdir())


def _sockets(proc: Path) -> Iterator[_Socket]:
    files = [file for name in ("tcp", "tcp6") if (file := proc / "net" / name).exists()]
    if not files:
        raise FileNotFoundError(f"there is no {proc}/net/tcp: sockets are listed on Linux only")
    for file in files:
        for line in file.read_text().splitlines()[1:]:
            fields = line.split()
            yield _Socket(int(fields[1].rpartition(":")[2], 16), fields[3], fields[9])


def _inode(entry: Path) -> str:
    """The socket behind a file descriptor, "" for anything else."""
    try:
        target = str(entry.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""
    return target.removeprefix("socket:[").removesuffix("]") if target.startswith("socket:[") else ""
