"""`rr-tcp reap`: closes the connections of an App that are over their limits, until it is told to end.

RoadRunner's `service` plugin runs it beside the workers and starts it again when it ends.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import time
from collections.abc import Callable

from rr_tcp.cli.arguments import seconds
from rr_tcp.cli.loading import AppReference, load_app
from rr_tcp.cli.pool import add_rpc
from rr_tcp.cli.sidecar import Sidecar
from rr_tcp.errors import ConfigurationError, RPCError, ScanUnsupportedError, SessionStoreError
from rr_tcp.logs import log_to_stderr
from rr_tcp.plugins.tcp import TcpConnections
from rr_tcp.reaper import GRACE, INTERVAL, Reaper
from rr_tcp.rpc import RPC

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose connections."""
    parser.add_argument(
        "app",
        metavar="MODULE:NAME",
        type=AppReference.parse,
        help="the App that the workers run, whose store and limits count; FILE:NAME as well",
    )
    parser.add_argument(
        "--every", metavar="SECONDS", type=seconds, default=INTERVAL, help="between two rounds (default %(default)g)"
    )
    parser.add_argument(
        "--grace",
        metavar="SECONDS",
        type=seconds,
        default=GRACE,
        help="until the session of a connection that never reported its end is removed (default %(default)g)",
    )
    add_rpc(parser)


def run(args: argparse.Namespace) -> int:
    """Goes round until a signal, or the end of the server that started it."""
    sidecar = Sidecar()
    log_to_stderr(os.environ, started_by_server=True)
    os.environ["RR_RPC"] = args.rpc  # as a worker has it
    app = load_app(args.app)
    if app.store is None:
        raise ConfigurationError(
            f"{args.app} has no session store, so it has no connections that could be looked after"
        )
    # Not the App: its shutdown callbacks are for workers, whose start-up callbacks were called.
    with contextlib.closing(app.store) as store, contextlib.closing(RPC(args.rpc)) as rpc:
        reaper = Reaper(store, app.limits, TcpConnections(rpc), ttl=app.session_ttl, grace=args.grace)
        _go_round(reaper, every=args.every, wait=lambda rest: _wait(sidecar, rest))
    return 0


class _EndedError(Exception):
    """A signal came, or the server is gone."""


def _go_round(reaper: Reaper, *, every: float, wait: Callable[[float], None]) -> None:
    """One round after the other. Trouble is told of once, until a round gets through."""
    trouble = ""
    with contextlib.suppress(_EndedError):
        while True:
            began = time.monotonic()
            try:
                done = reaper.look(on_page=lambda: wait(0))
            except ScanUnsupportedError as error:
                log.warning("no connection is looked after: %s", error)
                while True:
                    wait(every)
            except (RPCError, SessionStoreError) as error:
                if not trouble:
                    log.warning("a round was not finished, and is tried again until one is: %s", error)
                trouble = str(error)
            else:
                if trouble:
                    log.info("the rounds go on")
                trouble = ""
                if done.closed or done.lost or done.removed:
                    log.info(
                        "%d connections open, %d over a limit, %d without a session; %d sessions removed",
                        done.open,
                        done.closed,
                        done.lost,
                        done.removed,
                    )
            wait(max(0.0, every - (time.monotonic() - began)))


def _wait(sidecar: Sidecar, rest: float) -> None:
    """Returns after so many seconds; raises `_EndedError` as soon as it is time to go."""
    if sidecar.over(rest):
        raise _EndedError
