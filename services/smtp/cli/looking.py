"""`mails`, `mail`, `queues`: what is in the store."""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from services.smtp.cli.filters import Filter, add_arguments, parse_since
from services.smtp.cli.numbers import positive
from services.smtp.cli.printing import print_json, print_line, rows
from services.smtp.cli.surroundings import Commands, Surroundings
from services.smtp.errors import MailGoneError
from services.smtp.mailstore import MailInfo
from services.smtp.settings import HOSTNAME
from services.smtp.trace import received, return_path


def add_commands(commands: Commands) -> None:
    """Adds the commands to the parser."""
    mails = commands.add_parser("mails", help="list mails, the oldest first")
    mails.add_argument("--json", action="store_true", help="one JSON array instead of lines")
    mails.add_argument("--limit", type=positive, metavar="N", help="only the latest N")
    mails.add_argument("--since", metavar="TIME", help="only those received since then, e.g. 2026-01-31T12:00Z, or 10m")
    add_arguments(mails)
    mails.set_defaults(run=_mails)
    mail = commands.add_parser("mail", help="print one mail as it was received")
    mail.add_argument("id", metavar="ID", help="its id, from the list")
    mail.add_argument("--headers", action="store_true", help="with Return-Path: and Received: on top, as if delivered")
    mail.set_defaults(run=_mail)
    queues = commands.add_parser("queues", help="list the groups of consumers and what they have left to do")
    queues.add_argument("--json", action="store_true", help="one JSON array instead of lines")
    queues.set_defaults(run=_queues)


def _mails(options: argparse.Namespace, surroundings: Surroundings) -> int:
    store = surroundings.store
    since = None if options.since is None else parse_since(options.since, datetime.now(UTC))
    meant = Filter.of(options, since=since)
    found: Iterable[MailInfo] = (info for info in store.mails() if meant.matches(store, info))
    if options.limit is not None:
        found = deque(found, options.limit)
    if options.json:
        print_json(surroundings.output, rows(list(found)))
    else:
        for info in found:
            print_line(surroundings.output, info)
    return 0


def _mail(options: argparse.Namespace, surroundings: Surroundings) -> int:
    if options.headers:
        info = surroundings.store.get(options.id)
        if info is None:
            raise MailGoneError(options.id)
        by = surroundings.env.get("SMTP_HOSTNAME") or HOSTNAME
        surroundings.output.write(return_path(info) + received(info, by=by))
    surroundings.output.writelines(surroundings.store.read(options.id))
    return 0


def _queues(options: argparse.Namespace, surroundings: Surroundings) -> int:
    queues = surroundings.store.queues()
    if options.json:
        print_json(surroundings.output, [msgspec.to_builtins(queue) for queue in queues])
    else:
        for queue in queues:
            surroundings.output.write(f"{queue.group}  {queue.waiting} waiting  {queue.open} open\n".encode())
    return 0
