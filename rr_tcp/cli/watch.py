"""Changes of Python code, found by looking at files' times: it needs nothing of the system, and works everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})

_Snapshot = dict[Path, tuple[int, int]]  # time of the last change in nanoseconds, size in bytes


class CodeWatcher:
    """Sees changes of the `*.py` files below some directories, but for hidden ones and virtual environments.

    Args:
        roots: the directories.
    """

    def __init__(self, roots: Iterable[Path]) -> None:
        self._roots = tuple(dict.fromkeys(root.resolve() for root in roots))
        self._reported = self._latest = self._look()

    def changed(self) -> list[Path]:
        """The files that changed, came or went since they were last reported, in order.

        Empty while they still change from one call to the next: somebody is writing them.
        """
        before, self._latest = self._latest, self._look()
        if self._latest != before or self._latest == self._reported:
            return []
        differing = self._latest.items() ^ self._reported.items()
        self._reported = self._latest
        return sorted({path for path, _ in differing})

    def _look(self) -> _Snapshot:
        found: _Snapshot = {}
        for path in self._files():
            try:
                status = path.stat()
            except FileNotFoundError:  # it went between the listing and now
                continue
            found[path] = (status.st_mtime_ns, status.st_size)
        return found

    def _files(self) -> Iterator[Path]:
        for root in self._roots:
            for directory, directories, files in os.walk(root):
                directories[:] = [
                    name
                    for name in directories
                    if name not in _SKIPPED
                    and not name.startswith(".")
                    and not Path(directory, name, "pyvenv.cfg").is_file()
                ]
                yield from (Path(directory, name) for name in files if name.endswith(".py"))
