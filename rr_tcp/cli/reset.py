"""`rr-tcp reset`: replaces all workers, and checks by their pids that it happened."""

from __future__ import annotations

import argparse
import sys

from rr_tcp.cli.arguments import seconds
from rr_tcp.cli.pool import RESET_TIMEOUT, add_rpc, replace_workers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How long to wait."""
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        default=RESET_TIMEOUT,
        help=f"for the reset, and again until the new workers are there (default {RESET_TIMEOUT:g})",
    )
    add_rpc(parser)


def run(args: argparse.Namespace) -> int:
    """Raises `ServerError` when not every worker was replaced."""
    replaced = replace_workers(args.rpc, timeout=args.timeout)
    sys.stdout.write(
        f"workers {_list(replaced.old)} -> {_list(replaced.new)}\n"
        f"connections stayed open; no event was handled for {replaced.seconds:.2f} s\n"
    )
    return 0


def _list(pids: list[int]) -> str:
    return " ".join(map(str, pids)) or "none"
