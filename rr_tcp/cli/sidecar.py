"""A process beside the workers, which RoadRunner's `service` plugin starts: it ends on a signal, or with the server."""

from __future__ import annotations

import os
import select
import signal
from typing import Final

_ENDS: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_STDERR: Final = 2


class Sidecar:
    """Waits between two steps of such a process.

    Signals are blocked from here on and looked for while it waits, so that what is under way is finished.

    A server that was killed stops nothing that it started. Whoever it started sees that it has another parent then, or,
    if the server was gone before it came so far as to look, that nobody reads the pipe that is its stderr.

    Attributes:
        server: the pid of the server.
    """

    def __init__(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        self.server: Final = os.getppid()
        self._stderr = select.poll()
        self._stderr.register(_STDERR, 0)  # POLLERR is told of in any case (poll(2))

    def over(self, rest: float) -> bool:
        """Waits for so many seconds; whether it is time to go, since somebody says so or the server is gone."""
        return signal.sigtimedwait(_ENDS, rest) is not None or os.getppid() != self.server or self._unread()

    def _unread(self) -> bool:
        return any(events & select.POLLERR for _, events in self._stderr.poll(0))
