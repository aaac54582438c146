"""`delete`, `prune`, `forget`: what is not needed any more."""

from __future__ import annotations

import argparse
from datetime import timedelta

from rr_tcp import ConfigurationError
from services.smtp.cli.numbers import natural
from services.smtp.cli.surroundings import FAILED, Commands, Surroundings, WrongUsageError
from services.smtp.durations import parse_duration
from services.smtp.errors import MailGoneError


def add_commands(commands: Commands) -> None:
    """Adds the commands to the parser."""
    delete = commands.add_parser("delete", help="remove mails, from all queues too")
    delete.add_argument("ids", nargs="+", metavar="ID", help="an id, from the list")
    delete.set_defaults(run=_delete)
    prune = commands.add_parser("prune", help="remove mails that are too many or too old, and that nobody waits for")
    prune.add_argument("--keep", type=natural, metavar="N", help="those that are not among the latest N")
    prune.add_argument("--older", metavar="AGE", help="those that are older, e.g. 12h or 7d")
    prune.set_defaults(run=_prune)
    forget = commands.add_parser("forget", help="give up a group of consumers: mails are not kept for it any more")
    forget.add_argument("group", help="its name, from `queues`")
    forget.set_defaults(run=_forget)


def _delete(options: argparse.Namespace, surroundings: Surroundings) -> int:
    code = 0
    for mail_id in options.ids:
        if not surroundings.store.delete(mail_id):
            surroundings.errors.write(f"{MailGoneError(mail_id)}\n")
            code = FAILED
    return code


def _prune(options: argparse.Namespace, surroundings: Surroundings) -> int:
    if options.keep is None and options.older is None:
        raise WrongUsageError("say what to remove: all but the latest mails (--keep 1000), old ones (--older 7d)")
    older = None if options.older is None else _age(options.older)
    removed = 0
    while count := surroundings.store.prune(keep=options.keep, older=older):
        removed += count
    surroundings.output.write(f"{removed} mails removed\n".encode())
    return 0


def _age(text: str) -> timedelta:
    try:
        return timedelta(seconds=parse_duration(text, "--older"))
    except ConfigurationError as error:
        raise WrongUsageError(str(error)) from None


def _forget(options: argparse.Namespace, surroundings: Surroundings) -> int:
    if surroundings.store.drop_queue(options.group):
        return 0
    surroundings.errors.write(f"there is no group {options.group}: `python -m services.smtp queues` lists them\n")
    return FAILED
