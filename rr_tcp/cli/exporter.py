"""`rr-tcp exporter`: what RoadRunner's service plugin starts, to bring the pool's state to the metrics page."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
from typing import Final

from rr_tcp.cli.arguments import seconds
from rr_tcp.cli.pool import add_rpc
from rr_tcp.cli.sidecar import Sidecar
from rr_tcp.errors import RPCError, RPCServiceError
from rr_tcp.logs import log_to_stderr
from rr_tcp.observability.pool import PoolExporter
from rr_tcp.observability.reporter import PATIENCE
from rr_tcp.rpc import RPC

log = logging.getLogger(__name__)

INTERVAL: Final = 2.0
"""Seconds between two looks: several to each of Prometheus."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How often."""
    parser.add_argument(
        "--interval",
        metavar="SECONDS",
        type=seconds,
        default=INTERVAL,
        help=f"between two looks (default {INTERVAL:g})",
    )
    add_rpc(parser)


def run(args: argparse.Namespace) -> int:
    """Exports until SIGTERM or SIGINT, or until the server that started it is gone; ends with exit code 0 then."""
    sidecar = Sidecar()
    log_to_stderr(os.environ, started_by_server=True)
    with contextlib.closing(RPC(args.rpc)) as rpc:
        exporter, failures, rest = PoolExporter(rpc, server=sidecar.server), 0, 0.0
        while not sidecar.over(rest):
            rest = args.interval
            try:
                exporter.export()
                failures = 0
            except RPCServiceError:
                raise  # no metrics plugin: it will be so the next time too
            except RPCError as error:  # the server starts, or ends
                failures += 1
                if failures == PATIENCE:
                    log.warning("the pool's metrics are not set: %s", error)
    return 0
