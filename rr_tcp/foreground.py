"""A server in the foreground of a program, until somebody wants the program to end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Final, NoReturn

from rr_tcp.errors import ServerError
from rr_tcp.server import RoadRunnerServer, how_it_ended

ENDED: Final = (0, -signal.SIGTERM)
"""Exit codes of a server that ended as it was told; the second before it had come so far as to listen for signals."""

_POLL: Final = 0.1  # seconds between two looks at the server and at the signals


class Interrupted(Exception):  # noqa: N818 - no error: somebody wants us to end
    """A signal asked for the end."""


class Signals:
    """Counts the signals that ask for the end. They only set a mark: an exception could lose a child being started."""

    def __init__(self) -> None:
        self.count = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._received)

    def check(self) -> None:
        """Raises `Interrupted` after the first."""
        if self.count:
            raise Interrupted

    def _received(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1


def run_server(
    server: RoadRunnerServer,
    signals: Signals,
    *,
    probes: Sequence[Callable[[], None]],
    ready_timeout: float,
    stop_timeout: float,
    on_ready: Callable[[], None],
    on_poll: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Starts the server, and leaves nothing of it behind.

    Args:
        server: what is started.
        signals: those of this program.
        probes: each returns when its service answers and raises `ProbeError` until then.
        ready_timeout: seconds until all of them pass.
        stop_timeout: seconds until a server that was told to end is killed; above its `endure.grace_period`.
        on_ready: called once, when they passed.
        on_poll: called again and again from then on, some times a second.

    Raises:
        Interrupted: a signal asked for the end, and the server ended in order.
        ServerError: it did not start, ended by itself, or did not end in order.
    """
    signals.check()
    server.start()
    try:
        server.wait_ready([partial(_checked, probe, signals) for probe in probes], timeout=ready_timeout)
        on_ready()
        while (code := server.poll()) is None:
            signals.check()
            on_poll()
            time.sleep(_POLL)
    except BaseException as error:
        if not (isinstance(error, ServerError) and server.poll() is not None):  # else it tells of the end already
            _stop(server, signals, stop_timeout)
        raise
    raise ServerError(f"the server {how_it_ended(code)}, and nobody here told it to; its log above may say why")


def local_address(host: str) -> str:
    """Where this machine reaches what listens on `host`, an IP literal with or without the brackets of IPv6."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bare := host.strip("[]"), bare)  # noqa: S104 - compared only


def _checked(probe: Callable[[], None], signals: Signals) -> None:
    signals.check()
    probe()


def _stop(server: RoadRunnerServer, signals: Signals, timeout: float) -> None:
    """Ends the server in order; at once on a signal that comes while it ends."""
    before = signals.count
    server.terminate()
    deadline = time.monotonic() + timeout
    while (code := server.poll()) is None and signals.count == before and time.monotonic() < deadline:
        time.sleep(_POLL)
    if code is None:
        server.kill()
        server.wait()
    if code not in ENDED:
        how = "was killed before it had ended in order" if code is None else how_it_ended(code)
        raise ServerError(f"the server {how}; nothing that was acknowledged is lost")
