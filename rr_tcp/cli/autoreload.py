"""`rr-tcp autoreload`: new workers for a server that runs already, whenever the code changes. For development.

`rr-tcp serve` does that for a server of its own. This is for one that something else starts, as compose.dev.yml does.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rr_tcp.cli.check import check_app
from rr_tcp.cli.loading import AppReference
from rr_tcp.cli.pool import add_rpc
from rr_tcp.cli.reload import INTERVAL, Reloader
from rr_tcp.cli.sidecar import Sidecar
from rr_tcp.cli.watch import CodeWatcher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose code."""
    parser.add_argument(
        "app", metavar="MODULE:NAME", type=AppReference.parse, help="the App that the workers run; FILE:NAME as well"
    )
    add_rpc(parser)


def run(args: argparse.Namespace) -> int:
    """Looks until a signal, or the end of the process that started it."""
    sidecar = Sidecar()
    env = {**os.environ, "RR_RPC": args.rpc, "PYTHONDONTWRITEBYTECODE": "1"}
    watcher = CodeWatcher([Path.cwd(), args.app.root])  # before the code is read, so that no change after it is missed
    reloader = Reloader(args.app, watcher, servers=check_app(args.app, env), env=env, rpc=args.rpc)
    sys.stdout.write(f"autoreload: changes of *.py below {Path.cwd()} replace the workers\n")
    sys.stdout.flush()
    while not sidecar.over(INTERVAL):
        reloader.poll()
    return 0
