"""`rr-tcp watchdog`: ends the server that started it when one of its listeners accepts no more connections.

RoadRunner's `service` plugin runs it beside the workers. It ends the server in order, with SIGTERM, so that whatever
restarts what ends (Compose's `restart`, systemd, Kubernetes) starts it anew.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import time
from typing import Final

from rr_tcp.cli.arguments import seconds
from rr_tcp.cli.sidecar import Sidecar
from rr_tcp.logs import log_to_stderr
from rr_tcp.watchdog import INTERVAL, PATIENCE, Watchdog

log = logging.getLogger(__name__)

GRACE: Final = 45.0
"""Seconds until a server that was told to end is killed: above the 30 s of `endure.grace_period`, and what is left to
do when it is over."""


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
    sidecar = Sidecar()
    log_to_stderr(os.environ, started_by_server=True)
    watchdog = Watchdog(sidecar.server, patience=args.patience)
    log.info("looking after the listeners of process %d", sidecar.server)
    while not sidecar.over(INTERVAL):
        if ports := watchdog.look():
            log.error(
                "nobody accepts connections on port %s any more, though the server runs: did it run out of file "
                "descriptors? It is told to end, so that it is started again",
                ", ".join(map(str, ports)),
            )
            _end(sidecar)
            return 0
    return 0


def _end(sidecar: Sidecar) -> None:
    """Has the server end. One that ends in order tells us to end as well, and then sees to the rest itself."""
    os.kill(sidecar.server, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        if sidecar.over(INTERVAL):
            return
    os.kill(sidecar.server, signal.SIGKILL)
