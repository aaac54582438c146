"""The command line as a whole: its parser, where output and errors go, what a failure looks like."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, Final, TextIO

from rr_tcp import ConfigurationError
from services.env_file import environment
from services.smtp import passwd
from services.smtp.cli import handing_on, looking, removing, waiting
from services.smtp.cli.surroundings import FAILED, WRONG_USAGE, Surroundings, WrongUsageError
from services.smtp.errors import MailStoreError, UsersFileError
from services.smtp.mailstore import ACCEPTED, MailStore, open_mail_store
from services.smtp.settings import MAIL_STORE

Command = Callable[[argparse.Namespace, Surroundings], int]

_ADD: Final = (looking.add_commands, waiting.add_command, removing.add_commands, handing_on.add_commands)


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
        env: where MAIL_STORE and the like are looked up; by default the process's environment and `.env`.
        output: where mails go, as bytes; by default stdout.
        errors: where messages go; by default stderr.
        stdin: where a password comes from; by default stdin.
    """
    options = _parser().parse_args(arguments)
    output = output or _buffered_stdout()
    errors = errors or sys.stderr
    try:
        env = environment() if env is None else env
        if options.command == "passwd":
            passwd.run(options, env, output=output, stdin=stdin)
            code = 0
        else:
            run: Command = options.run
            store = _open_store(options.store, env)
            with contextlib.closing(store):
                code = run(options, Surroundings(store, env, output, errors))
        output.flush()
    except BrokenPipeError:
        _forget_stdout()
        return FAILED
    except OSError as error:  # those of the store are MailStoreErrors
        _forget_stdout()
        errors.write(f"the output cannot be written: {error}\n")
        return FAILED
    except WrongUsageError as error:
        errors.write(f"{error}\n")
        return WRONG_USAGE
    except (ConfigurationError, MailStoreError, UsersFileError) as error:
        errors.write(f"{error}\n")
        return FAILED
    return code


def _open_store(url: str | None, env: Mapping[str, str]) -> MailStore:
    if not url:
        return open_mail_store(env.get("MAIL_STORE") or MAIL_STORE, create=False)
    try:
        return open_mail_store(url, create=False)
    except ConfigurationError as error:
        raise WrongUsageError(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.smtp",
        description="Looks at the mail that came, waits for it, hands it on, removes it, and changes the users.",
    )
    parser.add_argument(
        "--store", metavar="URL", help=f"the mail store: {ACCEPTED} (default: MAIL_STORE, else {MAIL_STORE})"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for add in _ADD:
        add(commands)
    passwd.add_command(commands)
    return parser


def _buffered_stdout() -> BinaryIO:
    """Stdout that writes all of what it is given. With PYTHONUNBUFFERED, `sys.stdout.buffer` may write a part of it."""
    return io.BufferedWriter(io.FileIO(sys.stdout.fileno(), "w", closefd=False))


def _forget_stdout() -> None:
    """Keeps the interpreter from flushing, at its end, what nobody reads any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
