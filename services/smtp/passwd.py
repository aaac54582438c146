"""`python -m services.smtp passwd NAME`: adds a user, gives one another password, or removes one."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final, Protocol, TextIO

from rr_tcp import ConfigurationError
from services.smtp.errors import UsersFileError
from services.smtp.users import hash_password
from services.smtp.users_file import check_name, delete_user, set_user

MAX_PASSWORD: Final = 1024
"""Characters of a password: what is longer is a file that was piped by mistake. Clients need not be able to send more
than 255 bytes (RFC 4616 section 2)."""


class _Commands(Protocol):
    """What `argparse` returns from `add_subparsers`."""

    def add_parser(self, name: str, *, help: str, description: str) -> argparse.ArgumentParser:  # noqa: A002 - argparse's
        """Adds a command."""


def add_command(commands: _Commands) -> None:
    """Adds the command to the command line."""
    passwd = commands.add_parser(
        "passwd",
        help="add a user who may authenticate, or give one another password",
        description=(
            "Adds a user to the users file, or gives one another password. It is asked for on the terminal, or read as "
            "one line from stdin where that is none; the command line, which others can see, never has it."
        ),
    )
    passwd.add_argument("name", help="the user's name")
    passwd.add_argument("--file", metavar="FILE", help="the users file (default: SMTP_USERS)")
    passwd.add_argument("--delete", action="store_true", help="remove the user")


def run(options: argparse.Namespace, env: Mapping[str, str], *, output: BinaryIO, stdin: TextIO | None = None) -> None:
    """Carries out the command.

    Args:
        options: the command line.
        env: where SMTP_USERS is looked up.
        output: what was done, one line.
        stdin: where the password comes from; by default the process's.

    Raises:
        ConfigurationError: no file is named, or name or password cannot be used.
        UsersFileError: the file cannot be read or written, or there is no such user to delete.
    """
    path = Path(options.file or env.get("SMTP_USERS") or "")
    if path == Path():
        raise ConfigurationError("there is no users file: name one by --file, or set SMTP_USERS")
    try:
        name = check_name(options.name)
    except ValueError as error:
        raise ConfigurationError(f"{options.name!r} cannot be the name of a user: {error}") from error
    if options.delete:
        if not path.exists() or not delete_user(path, name):
            raise UsersFileError(f"there is no user {name!r} in {path}")
        done = "deleted"
    else:
        done = "changed" if set_user(path, name, _new_hash(name, stdin or sys.stdin)) else "added"
    output.write(f"{path}: {name} {done}\n".encode())


def _new_hash(name: str, stdin: TextIO) -> str:
    try:
        return hash_password(_typed(name) if stdin.isatty() else _piped(stdin))
    except UnicodeDecodeError:  # a ValueError, too, that tells what it found
        raise ConfigurationError("the password cannot be read: it is no text in the terminal's encoding") from None
    except ValueError as error:
        raise ConfigurationError(f"the password cannot be used: {error}") from error


def _typed(name: str) -> str:
    """The password from the terminal, without echo, twice."""
    try:
        password = getpass.getpass(f"Password for {name}: ")
        again = getpass.getpass("Once more: ")
    except EOFError as error:
        raise ConfigurationError("no password was typed; nothing was changed") from error
    if again != password:
        raise ConfigurationError("the two passwords differ; nothing was changed")
    return password


def _piped(stdin: TextIO) -> str:
    line = stdin.readline(MAX_PASSWORD + 1)
    if len(line) > MAX_PASSWORD:
        raise ConfigurationError(f"the password is longer than {MAX_PASSWORD} characters")
    return line.removesuffix("\n").removesuffix("\r")
