"""`rr-tcp workers`: the worker processes, once or as a live table."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from rr_tcp.cli.arguments import seconds
from rr_tcp.cli.pool import PLUGIN, add_rpc, list_workers
from rr_tcp.plugins.informer import Informer, WorkerState
from rr_tcp.rpc import RPC

_CLEAR = "\x1b[H\x1b[2J"  # ECMA-48: cursor home, erase the display
_ROW = "{:>8}  {:<10}  {:>10}  {:>10}  {:>7}  {:>8}\n"
_HEADER = _ROW.format("PID", "STATE", "EXECUTIONS", "MEMORY", "CPU", "AGE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to show them."""
    parser.add_argument("--once", action="store_true", help="show the table once; so it is when stdout is no terminal")
    parser.add_argument("--interval", metavar="SECONDS", type=seconds, default=1.0, help="between two (default 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON array, once")
    add_rpc(parser)


def run(args: argparse.Namespace) -> int:
    """Shows the table; live until Ctrl-C."""
    with contextlib.closing(RPC(args.rpc)) as rpc:
        if args.json:
            sys.stdout.write(encode(list_workers(rpc), datetime.now(UTC)))
        elif args.once or not sys.stdout.isatty():
            sys.stdout.write(table(list_workers(rpc), datetime.now(UTC)))
        else:
            with contextlib.suppress(KeyboardInterrupt):
                _live(rpc, args.interval)
    return 0


def table(workers: Sequence[WorkerState], now: datetime) -> str:
    """One line per worker, below a header."""
    rows = [
        _ROW.format(
            worker.pid,
            worker.status,
            worker.executions,
            f"{worker.memory / 2**20:.1f} MiB",
            f"{worker.cpu:.1f} %",
            age(now - worker.created),
        )
        for worker in workers
    ]
    return _HEADER + "".join(rows)


def encode(workers: Sequence[WorkerState], now: datetime) -> str:
    """A JSON array with one object per worker: memory in bytes, CPU in percent of one, age in seconds."""
    rows: list[dict[str, Any]] = [
        {
            "pid": worker.pid,
            "state": worker.status,
            "executions": worker.executions,
            "memory": worker.memory,
            "cpu": worker.cpu,
            "created": worker.created,
            "age": round((now - worker.created).total_seconds(), 3),
        }
        for worker in workers
    ]
    return msgspec.json.encode(rows).decode() + "\n"


def age(span: timedelta) -> str:
    """The two largest units, e.g. `3m07s`."""
    minutes, secs = divmod(max(0, int(span.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{secs:02}s" if minutes else f"{secs}s"


def _live(rpc: RPC, interval: float) -> None:
    while True:
        workers = Informer(rpc).workers(PLUGIN)
        body = table(workers, datetime.now(UTC)) if workers else "RoadRunner is replacing workers\n"
        sys.stdout.write(f"{_CLEAR}{body}\nCtrl-C ends this\n")
        sys.stdout.flush()
        time.sleep(interval)
