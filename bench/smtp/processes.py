"""What processes cost: processor time and memory, from Linux's /proc (man 5 proc)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from bench.errors import BenchError

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PARENT: Final = 1
_TIMES: Final = slice(11, 15)
"""utime, stime, cutime and cstime: in ticks; the last two are of children that ended."""
_FORGET_PEAK: Final = "5"
"""Written to clear_refs it sets the peak of the resident memory to what is resident now."""


def tree(roots: Iterable[int]) -> set[int]:
    """Processes and all their descendants."""
    parents = {pid: int(fields[_PARENT]) for pid, fields in _all()}
    found = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """Processor time so far of processes and their descendants, user and system, to 1/100 s each."""
    of_all, wanted = dict(_all()), tree(roots)
    return sum(sum(map(int, of_all[pid][_TIMES])) for pid in wanted & of_all.keys()) / _TICKS


def forget_peaks(pids: Iterable[int]) -> None:
    """Lets the peaks of the resident memory begin anew."""
    for pid in pids:
        try:
            (_PROC / str(pid) / "clear_refs").write_text(_FORGET_PEAK)
        except OSError as error:
            raise BenchError(f"the peak of a worker's memory cannot be reset: {error}. Run as its user") from error


def peak_bytes(pids: Iterable[int]) -> int:
    """The largest resident memory that one of the processes had (VmHWM)."""
    return max(_peak(pid) for pid in pids)


def _peak(pid: int) -> int:
    try:
        status = (_PROC / str(pid) / "status").read_text()
    except FileNotFoundError as error:
        raise BenchError(f"the worker {pid} ended while it was measured") from error
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _all() -> Iterator[tuple[int, list[str]]]:
    """The fields of each process's stat behind its name, which may contain anything: state, parent and so on."""
    for directory in _PROC.iterdir():
        if directory.name.isdecimal():
            try:
                stat = (directory / "stat").read_text(errors="replace")
            except OSError:  # it ended
                continue
            yield int(directory.name), stat.rpartition(")")[2].split()
