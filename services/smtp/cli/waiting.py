"""`wait`: for tests that want the mail that their code under test sends."""

from __future__ import annotations

import argparse
import time
from typing import Final

from services.smtp.cli.filters import Filter, add_arguments
from services.smtp.cli.numbers import seconds
from services.smtp.cli.printing import print_json, row
from services.smtp.cli.surroundings import FAILED, Commands, Surroundings
from services.smtp.errors import NoMailStoreError
from services.smtp.mailstore import MailInfo, MailStore

INTERVAL: Final = 0.1
"""Seconds between two looks. One reads the mails that came since the last, and next to nothing when none did."""

TIMEOUT: Final = 10.0


def add_command(commands: Commands) -> None:
    """Adds the command to the parser."""
    wait = commands.add_parser("wait", help="print the first mail that matches, as soon as it is there")
    add_arguments(wait)
    wait.add_argument(
        "--timeout", type=seconds, default=TIMEOUT, metavar="SECONDS", help=f"how long (default: {TIMEOUT:g})"
    )
    wait.add_argument("--new", action="store_true", help="only a mail that comes from now on, not one that is there")
    wait.add_argument("--json", action="store_true", help="print its envelope instead of its text")
    wait.set_defaults(run=_wait)


def _wait(options: argparse.Namespace, surroundings: Surroundings) -> int:
    meant = Filter.of(options)
    info = _first(surroundings.store, meant, timeout=options.timeout, new=options.new)
    if info is None:
        surroundings.errors.write(
            f"no {meant} {'came' if options.new else 'was there or came'} within {options.timeout:g} s: "
            "`python -m services.smtp mails` lists those there are\n"
        )
        return FAILED
    if options.json:
        print_json(surroundings.output, row(info))
    else:
        surroundings.output.writelines(surroundings.store.read(info.id))
    return 0


def _first(store: MailStore, meant: Filter, *, timeout: float, new: bool) -> MailInfo | None:
    """The first mail that is meant. A store that is still to be made, by the first connection, is as good as empty."""
    deadline = time.monotonic() + timeout
    position: str | None = None if new else ""
    while True:
        try:
            position = store.last_position() if position is None else position
            for info in store.mails(after=position):
                if meant.matches(store, info):
                    return info
                position = info.position
        except NoMailStoreError:
            position = ""
            if time.monotonic() >= deadline:
                raise
        rest = deadline - time.monotonic()
        if rest <= 0:
            return None
        time.sleep(min(INTERVAL, rest))
