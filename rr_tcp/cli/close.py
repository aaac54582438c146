"""`rr-tcp close`: closes one client's connection."""

from __future__ import annotations

import argparse
import contextlib
import sys
import uuid

from rr_tcp.cli.pool import add_rpc
from rr_tcp.plugins.tcp import TcpConnections
from rr_tcp.rpc import RPC


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which connection."""
    parser.add_argument("uuid", type=_uuid, help="the connection's, as services and logs name it")
    add_rpc(parser)


def run(args: argparse.Namespace) -> int:
    """Says no more than RoadRunner does."""
    with contextlib.closing(RPC(args.rpc)) as rpc:
        TcpConnections(rpc).close(args.uuid)
    sys.stdout.write(
        f"{args.uuid} is not open now. Whether it was, RoadRunner does not tell: its answer is the same for a "
        "connection that it does not know.\n"
    )
    return 0


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no UUID: use the connection's, e.g. 6f9b9a0e-0000-4000-8000-000000000000"
        ) from None
