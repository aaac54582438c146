"""`rr-tcp serve`: an App in a server made for it, for development; it reloads the App when its code changes."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from rr_tcp.cli.arguments import FIRST_PORT, host_port
from rr_tcp.cli.check import START_TIMEOUT, check_app
from rr_tcp.cli.loading import AppReference
from rr_tcp.cli.pool import add_rpc
from rr_tcp.cli.reload import Reloader
from rr_tcp.cli.watch import CodeWatcher
from rr_tcp.configuration import MAX_WORKERS, Configuration
from rr_tcp.errors import ConfigurationError
from rr_tcp.foreground import Interrupted, Signals, local_address, run_server
from rr_tcp.limits import NO_LIMITS
from rr_tcp.probe import probe_connect
from rr_tcp.server import RoadRunnerServer, check_free, find_server

HOST = "127.0.0.1"

_Address = tuple[str, int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to serve, and where."""
    parser.add_argument(
        "app",
        metavar="FILE:NAME",
        type=AppReference.parse,
        help="an App or a function that returns one, e.g. chat.py:app; MODULE:NAME as well",
    )
    parser.add_argument(
        "--listen",
        metavar="SERVER=HOST:PORT",
        type=_listener,
        action="append",
        default=[],
        help=f"where a server of the App listens; repeatable (default {HOST}, ports from {FIRST_PORT} on)",
    )
    parser.add_argument("--workers", metavar="N", type=_worker_count, default=2, help="processes (default 2)")
    add_rpc(parser)


def run(args: argparse.Namespace) -> int:
    """Serves until Ctrl-C."""
    signals = Signals()
    try:
        _serve(args.app, dict(args.listen), args.workers, args.rpc, signals)
    except Interrupted:
        return 0
    except ConfigurationError:
        if signals.count:  # a terminal's Ctrl-C ends the check of the code as well
            return 0
        raise


def listeners(servers: Sequence[str], wanted: Mapping[str, _Address]) -> dict[str, _Address]:
    """Where each server of the App listens.

    Args:
        servers: all of them.
        wanted: what was given; the others get the ports from FIRST_PORT on that are not in it, in order.

    Raises:
        ConfigurationError: a name was given that is none of the App's.
    """
    if unknown := sorted(wanted.keys() - set(servers)):
        raise ConfigurationError(f"--listen {unknown[0]}=...: the App's servers are {', '.join(servers)}")
    given = {port for _, port in wanted.values()}
    ports = (port for port in range(FIRST_PORT, FIRST_PORT + len(servers) + len(given)) if port not in given)
    return {name: wanted.get(name) or (HOST, next(ports)) for name in servers}


def _serve(app: AppReference, wanted: Mapping[str, _Address], workers: int, rpc: str, signals: Signals) -> NoReturn:
    binary = find_server()
    # Without bytecode: Python tells old from new by whole seconds and sizes, and would miss a quick second edit.
    env = {**os.environ, "RR_RPC": rpc, "PYTHONDONTWRITEBYTECODE": "1"}
    watcher = CodeWatcher([Path.cwd(), app.root])  # before the code is read, so that no change after it is missed
    servers = check_app(app, env)
    listen = listeners(list(servers), wanted)
    wanted_addresses = {f"--listen {name}={_host(host)}:...": (host, port) for name, (host, port) in listen.items()}
    check_free({**wanted_addresses, **_rpc_address(rpc)}, host_setting="--listen or --rpc")
    with tempfile.TemporaryDirectory(prefix="rr-tcp-") as directory:
        config = Path(directory, ".rr.yaml")
        addresses = {name: f"{_host(host)}:{port}" for name, (host, port) in listen.items()}
        configuration = Configuration(
            app=str(app),
            listen=addresses,
            rpc=rpc,
            workers=workers,
            allocate_timeout=START_TIMEOUT,
            reap=() if any(limits != NO_LIMITS for limits in servers.values()) else None,
        )
        config.write_bytes(configuration.encode())
        reloader = Reloader(app, watcher, servers=servers, env=env, rpc=rpc)
        run_server(
            RoadRunnerServer(binary, config, cwd=Path.cwd(), env=env),
            signals,
            probes=[partial(probe_connect, local_address(host), port) for host, port in listen.values()],
            ready_timeout=START_TIMEOUT,
            stop_timeout=configuration.grace_period + 10,
            on_ready=partial(_say_ready, addresses, workers, rpc),
            on_poll=reloader.poll,
        )


def _say_ready(addresses: Mapping[str, str], workers: int, rpc: str) -> None:
    served = ", ".join(f"{name} on {address}" for name, address in addresses.items())
    sys.stdout.write(
        f"ready: {served}; {workers} workers, RPC on {rpc}; changes of *.py below {Path.cwd()} are reloaded; Ctrl-C "
        "stops\n"
    )
    sys.stdout.flush()


def _rpc_address(rpc: str) -> dict[str, _Address]:
    """Where RPC listens by what sets it; nothing for a Unix socket."""
    if not rpc.startswith("tcp://"):
        return {}
    host, port = host_port(rpc.removeprefix("tcp://"))
    return {f"--rpc tcp://{_host(host)}:...": (host, port)}


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listener(text: str) -> tuple[str, _Address]:
    name, _, address = text.partition("=")
    if not name or not address:
        raise argparse.ArgumentTypeError(f"{text!r}: use SERVER=HOST:PORT, e.g. chat=127.0.0.1:9000")
    host, port = host_port(address)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{host!r} is no IP address: RoadRunner listens on those, e.g. 127.0.0.1"
        ) from None
    return name, (host, port)


def _worker_count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text) <= MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number of processes from 1 to {MAX_WORKERS}")
    return int(text)
