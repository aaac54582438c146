"""Clients that only ask whether somebody is there, and keep how long each answer took."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Self

from tests.e2e.clients import RawClient
from tests.e2e.targets import Address

PAUSE: Final = 0.01
"""Seconds between an answer and the next question."""


class Pulse:
    """Connections that send NOOP again and again from the block's begin to its end; none of them may be lost.

    Args:
        address: the SMTP service.
        count: of the connections.
    """

    def __init__(self, address: Address, count: int = 2) -> None:
        self._address = address
        self._count = count
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(count)
        self._running: list[Future[None]] = []
        self._beats: list[tuple[float, float]] = []
        self.findings: list[str] = []

    def __enter__(self) -> Self:
        self._running = [self._threads.submit(self._run) for _ in range(self._count)]
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._threads.shutdown()
        for running in self._running:
            running.result()

    def seconds(self, since: float, until: float) -> list[float]:
        """How long the answers took that were asked for between two readings of the monotonic clock."""
        return [seconds for asked, seconds in self._beats if since <= asked < until]

    def _run(self) -> None:
        try:
            with RawClient(self._address) as client:
                client.reply()
                while not self._stop.is_set():
                    asked = time.monotonic()
                    reply = client.command(b"NOOP")
                    self._beats.append((asked, time.monotonic() - asked))
                    if reply[:3] != b"250":
                        self.findings.append(f"a connection that sends nothing but NOOP was answered {reply!r}")
                        return
                    self._stop.wait(PAUSE)
        except OSError as error:
            self.findings.append(f"a connection that sends nothing but NOOP was lost: {error}")


def p99(seconds: Sequence[float]) -> float:
    """What one in a hundred is above."""
    return statistics.quantiles(seconds, n=100, method="inclusive")[98]
