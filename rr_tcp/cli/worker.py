"""`rr-tcp worker`: what RoadRunner starts, the process that answers events."""

from __future__ import annotations

import argparse
import os

from rr_tcp.app import create_worker
from rr_tcp.cli.loading import AppReference, load_app
from rr_tcp.logs import log_to_stderr


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which App."""
    parser.add_argument(
        "app",
        metavar="MODULE:NAME",
        type=AppReference.parse,
        help="an App or a function that returns one, e.g. workers.all:build_app; FILE:NAME as well",
    )


def run(args: argparse.Namespace) -> int:
    """Takes over stdin and stdout, and only then imports the user's code, whose print() must not reach the wire."""
    worker = create_worker()
    log_to_stderr(os.environ, started_by_server=True)
    load_app(args.app).run(worker)
    return 0
