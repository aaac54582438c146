"""`rr-tcp probe`: for healthchecks, which run it every few seconds. It imports little."""

from __future__ import annotations

import argparse

from rr_tcp.cli.arguments import host_port, seconds
from rr_tcp.probe import PROBES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to probe, and where."""
    parser.add_argument("protocol", choices=sorted(PROBES), help="connect says nothing of the workers")
    parser.add_argument("address", metavar="HOST:PORT", type=host_port)
    parser.add_argument("--timeout", metavar="SECONDS", type=seconds, default=3.0, help="for each step (default 3)")


def run(args: argparse.Namespace) -> int:
    """Raises `ProbeError` when the service does not answer."""
    host, port = args.address
    PROBES[args.protocol](host, port, timeout=args.timeout)
    return 0
