"""`rr-tcp watchdog`: ends the server that started it when one of its listeners accepts no more connections.

RoadRunner's `service` plugin runs it beside the workers. It ends the server in order, with SIGTERM, so that whatever
restarts what ends (Compose's `restart`, systemd, Kubernetes) starts it anew.
"""

from __future__ import annotations

import argparse
import logging
import os
import select
import signal
import sys
import time
from typing import Final

from rr_tcp.cli.arguments import seconds
from rr_tcp.logs import log_to_stderr
from rr_tcp.watchdog import INTERVAL, PATIENCE, Watchdog

log = logging.getLogger(__name__)

GRACE: Final = 45.0
"""Seconds until a server that was told to end is killed: above the 30 s of `endure.grace_period`, and what is left to
do when it is over."""

_ENDS: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How long to wait."""
    parser.add_argument(
        "--patience",
        metavar="SECONDS",
        type=seconds,
        default=PATIENCE,
        help="that a connection may wait to be accepted (default %(default)g)",
    )


def run(args: argparse.Namespace) -> int:
    """Looks until a signal comes, or the end of the server.

    Raises:
        ServerError: the server's sockets cannot be seen.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)  # they are waited for, between two looks
    log_to_stderr(os.environ)
    server = os.getppid()
    watchdog = Watchdog(server, patience=args.patience)
    log.info("looking after the listeners of process %d", server)
    while not _over(INTERVAL, server):
        if ports := watchdog.look():
            log.error(
                "nobody accepts connections on port %s any more, though the server runs: did it run out of file "
                "descriptors? It is told to end, so that it is started again",
                ", ".join(map(str, ports)),
            )
            _end(server)
            return 0
    return 0


def _over(rest: float, server: int) -> bool:
    """Waits; whether it is time to go, since somebody says so or the server is gone."""
    return signal.sigtimedwait(_ENDS, rest) is not None or os.getppid() != server or _unheard()


def _unheard() -> bool:
    """Whether nobody reads what we log any more: a server that ended while we started left us another parent."""
    poll = select.poll()
    poll.register(sys.stderr.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _end(server: int) -> None:
    """Has the server end. One that ends in order tells us to end as well, and then sees to the rest itself."""
    os.kill(server, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        if _over(INTERVAL, server):
            return
    os.kill(server, signal.SIGKILL)
