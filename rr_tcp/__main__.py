"""`python -m rr_tcp`: `worker` is what RoadRunner starts, `probe` is what healthchecks call."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from rr_tcp.app import App, create_worker
from rr_tcp.errors import ConfigurationError, RRTcpError
from rr_tcp.probe import PROBES


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0 done, 1 failed with the reason on stderr, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m rr_tcp", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    worker = commands.add_parser("worker", help="answer RoadRunner's events with an App (started by RoadRunner)")
    worker.add_argument("factory", metavar="MODULE:FUNCTION", help="what returns the App, e.g. workers.all:build_app")
    worker.set_defaults(run=lambda args: run_worker(args.factory))

    probe = commands.add_parser("probe", help="exit 0 if a service answers its protocol")
    probe.add_argument("protocol", choices=sorted(PROBES))
    probe.add_argument("address", metavar="HOST:PORT")
    probe.add_argument("--timeout", type=float, default=3.0, help="seconds for each step (default 3)")
    probe.set_defaults(run=lambda args: run_probe(args.protocol, args.address, args.timeout))

    args = parser.parse_args(argv)
    try:
        args.run(args)
    except RRTcpError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 1
    return 0


def run_worker(factory: str) -> None:
    """Takes over stdin and stdout, and only then imports the user's code, whose print() must not reach the wire."""
    worker = create_worker()
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO").upper(),
        format=f"%(levelname)s [{os.getpid()}] %(name)s: %(message)s",
        stream=sys.stderr,
    )
    load_app(factory).run(worker)


def load_app(factory: str) -> App:
    """Calls `module:function`, which returns the App.

    Raises:
        ConfigurationError: there is no such function, or it returns something else.
    """
    module_name, colon, name = factory.partition(":")
    sys.path.insert(0, str(os.getcwd()))  # noqa: PTH109 - sys.path wants a string
    module = importlib.import_module(module_name)
    build = getattr(module, name, None)
    if not colon or not callable(build):
        raise ConfigurationError(f"{factory!r} names no function: use MODULE:FUNCTION, e.g. workers.all:build_app")
    app = build()
    if not isinstance(app, App):
        raise ConfigurationError(f"{factory} returned {type(app).__name__}, not an App")
    return app


def run_probe(protocol: str, address: str, timeout: float) -> None:
    """Runs one probe against `host:port`."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError(f"{address!r} is no address: use HOST:PORT, e.g. 127.0.0.1:1025")
    PROBES[protocol](host.removeprefix("[").removesuffix("]"), int(port), timeout=timeout)


if __name__ == "__main__":
    sys.exit(main())
