"""The command line: `rr-tcp COMMAND` and `python -m rr_tcp COMMAND` are the same.

A command is a module with `add_arguments(parser)` and `run(args)`, which returns the exit code; it is imported only
when it is called.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from rr_tcp import __version__
from rr_tcp.errors import RRTcpError

COMMANDS = {
    "worker": "answer RoadRunner's events with an App (RoadRunner starts this)",
    "serve": "run an App in a server made for it, and reload it when its code changes",
    "reap": "close connections that are idle or too old (RoadRunner's service plugin runs this)",
    "autoreload": "give a server that runs new workers whenever the code changes",
    "new": "make a new service in a clone of the repository",
    "workers": "show the worker processes",
    "reset": "replace all workers, and check that they were",
    "close": "close one client's connection",
    "watchdog": "end the server when a listener accepts no more (RoadRunner's service plugin runs this)",
    "exporter": "bring the pool's state to RoadRunner's metrics page (RoadRunner starts this)",
    "probe": "tell by the exit code whether a service answers",
}
"""What each command does. The command `x` is the module `rr_tcp.cli.x`."""


class _Command(Protocol):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the arguments; those of the process by default.

    Returns:
        The exit code: 0 done, 1 failed with the reason on stderr. Wrong usage ends the process with 2.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(prog="rr-tcp", description="Stateful TCP services in Python on RoadRunner.")
    parser.add_argument("--version", action="version", version=f"rr_tcp {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command_parser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if argv[:1] == [name]:
            command = cast("_Command", importlib.import_module(f"{__name__}.{name}"))
            command.add_arguments(command_parser)
            command_parser.set_defaults(run=command.run)
    args = parser.parse_args(argv)
    try:
        code: int = args.run(args)
    except RRTcpError as error:
        sys.stderr.write(f"rr-tcp {argv[0]}: {error}\n")
        return 1
    return code
