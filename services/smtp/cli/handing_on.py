"""`relay`, `webhook`: the consumers that hand mails on, in the foreground."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Final

from services.smtp.cli.surroundings import Commands, Surroundings
from services.smtp.settings import MAIL_STORE

COMMANDS: Final[Mapping[str, str]] = {
    "relay": "send mails on to a smarthost (RELAY_URL), until told to end",
    "webhook": "post mails to an application (WEBHOOK_URL), until told to end",
}
"""What there is, and what it does."""


def add_commands(commands: Commands) -> None:
    """Adds the commands to the parser."""
    for name, what in COMMANDS.items():
        command = commands.add_parser(name, help=what)
        command.add_argument("--group", default=name, help="the name of the queue (default: %(default)s)")
        command.add_argument("--all", action="store_true", help="begin a new queue with the mails that are there")
        command.add_argument("--once", action="store_true", help="end when nothing is due")
        command.set_defaults(run=_run)


def _run(options: argparse.Namespace, surroundings: Surroundings) -> int:
    from services.smtp.forward.command import Options, run  # noqa: PLC0415 - its libraries take longer than a listing

    # Not the store of the surroundings, which has to be there: a consumer may well start before the first mail comes.
    store = options.store or surroundings.env.get("MAIL_STORE") or MAIL_STORE
    run(Options(options.command, store, options.group, "all" if options.all else "new", options.once), surroundings.env)
    return 0
