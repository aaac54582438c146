"""`python -m services.smtp`: lists the mail that was received, prints one, and changes the users (`passwd`)."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import BinaryIO, Final, TextIO

import msgspec

from rr_tcp import ConfigurationError
from services.env_file import environment
from services.smtp import passwd
from services.smtp.errors import MailStoreError, UsersFileError
from services.smtp.mailstore import ACCEPTED, MailInfo, MailStore, open_mail_store
from services.smtp.settings import MAIL_STORE

FAILED: Final = 1
"""Exit code when there is no such mail or the store cannot be read; argparse ends with 2 for a wrong command line."""


def main(
    arguments: Sequence[str] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    output: BinaryIO | None = None,
    errors: TextIO | None = None,
    stdin: TextIO | None = None,
) -> int:
    """Runs the command and returns its exit code.

    Args:
        arguments: the command line without the program; by default the process's.
        env: where MAIL_STORE and SMTP_USERS are looked up; by default the process's environment and `.env`.
        output: where mails go, as bytes; by default stdout.
        errors: where messages go; by default stderr.
        stdin: where a password comes from; by default stdin.
    """
    options = _parser().parse_args(arguments)
    env = environment() if env is None else env
    output = output or _buffered_stdout()
    errors = errors or sys.stderr
    found = True
    try:
        if options.command == "passwd":
            passwd.run(options, env, output=output, stdin=stdin)
            output.flush()
            return 0
        store = open_mail_store(options.store or env.get("MAIL_STORE") or MAIL_STORE, create=False)
        try:
            if options.command == "mails":
                _print_mails(store, output, as_json=options.json)
            else:
                found = _print_mail(store, output, options.id)
        finally:
            store.close()
        output.flush()
    except BrokenPipeError:
        _forget_stdout()
        return FAILED
    except OSError as error:  # those of the store are MailStoreErrors
        _forget_stdout()
        errors.write(f"the output cannot be written: {error}\n")
        return FAILED
    except (ConfigurationError, MailStoreError, UsersFileError) as error:
        errors.write(f"{error}\n")
        return FAILED
    if not found:
        errors.write(f"there is no mail {options.id}: `python -m services.smtp mails` lists those there are\n")
    return 0 if found else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.smtp",
        description="Shows the mail that was received, and changes the users who may authenticate.",
    )
    parser.add_argument(
        "--store", metavar="URL", help=f"the mail store: {ACCEPTED} (default: MAIL_STORE, else {MAIL_STORE})"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    mails = commands.add_parser("mails", help="list all mails, the oldest first")
    mails.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    mail = commands.add_parser("mail", help="print one mail as it was received")
    mail.add_argument("id", help="its id, from the list")
    passwd.add_command(commands)
    return parser


def _print_mails(store: MailStore, output: BinaryIO, *, as_json: bool) -> None:
    if as_json:
        rows = [_row(info) for info in store.mails()]
        output.write(msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
        return
    for info in store.mails():
        row = _row(info)
        line = f"{row['id']}  {row['received_at']}  {info.size:>9}  {info.peer}  <{info.mail_from}>  "
        output.write(line.encode() + b", ".join(f"<{address}>".encode() for address in info.rcpt_tos) + b"\n")


def _row(info: MailInfo) -> dict[str, object]:
    return {
        "id": info.id,
        "mail_from": info.mail_from,
        "rcpt_tos": info.rcpt_tos,
        "size": info.size,
        "received_at": info.received_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "peer": info.peer,
        "sha256": info.sha256,
        "helo": info.helo,
        "protocol": info.protocol,
        "mail_options": info.mail_options,
        "rcpt_options": info.rcpt_options,
    }


def _print_mail(store: MailStore, output: BinaryIO, mail_id: str) -> bool:
    if store.get(mail_id) is None:
        return False
    output.writelines(store.read(mail_id))
    return True


def _buffered_stdout() -> BinaryIO:
    """Stdout that writes all of what it is given. With PYTHONUNBUFFERED, `sys.stdout.buffer` may write a part of it."""
    return io.BufferedWriter(io.FileIO(sys.stdout.fileno(), "w", closefd=False))


def _forget_stdout() -> None:
    """Keeps the interpreter from flushing, at its end, what nobody reads any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
