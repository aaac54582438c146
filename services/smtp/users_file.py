"""The file of users: one `name:$argon2id$...` a line, as `python -m services.smtp passwd` writes it.

Empty lines and those that begin with `#` are kept and mean nothing. A file with any other line is refused as a whole: a
typing error must not lock out one user without a word.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import argon2

from services.smtp.errors import UsersFileError
from services.smtp.saslprep import saslprep

MODE: Final = 0o600
"""The file's permissions: a hash is worth an attack, so nobody but its owner reads it."""

PROFILE: Final = argon2.profiles.RFC_9106_LOW_MEMORY
"""How passwords are hashed: argon2id with 64 MiB, 3 passes and 4 lanes, the second of the two choices that RFC 9106
section 4 recommends. The first takes 2 GiB for each verification, more than all workers of a small machine have."""

_HASH: Final = re.compile(r"\$argon2id\$[\x21-\x7e]+")


class Identity(NamedTuple):
    """Tells one content of a path from another: replaced, or written to."""

    device: int
    inode: int
    size: int
    modified_ns: int


class UsersFile(NamedTuple):
    """What is in the file.

    Attributes:
        identity: of the file that was read.
        hashes: by user name.
    """

    identity: Identity
    hashes: dict[str, str]


def identity_of(path: Path) -> Identity:
    """Which content the path has now; `UsersFileError` when there is none."""
    try:
        return _identity(path.stat())
    except OSError as error:
        raise _unreadable(path, error) from error


def read_users(path: Path) -> UsersFile:
    """The users; `UsersFileError` when the file cannot be read, or a line is no user."""
    try:
        with path.open("rb") as file:
            identity, content = _identity(os.fstat(file.fileno())), file.read()
    except OSError as error:
        raise _unreadable(path, error) from error
    users = _users(path, _lines(path, content))
    return UsersFile(identity, {name: user.encoded for name, user in users.items()})


def set_user(path: Path, name: str, encoded: str) -> bool:
    """Adds a user, or replaces the hash of one; returns whether there was one. The file is made where there is none.

    Raises:
        UsersFileError: the file cannot be read or written, or a line is no user.
    """
    line = f"{name}:{encoded}"

    def change(lines: list[str], index: int | None) -> None:
        if index is None:
            lines.append(line)
        else:
            lines[index] = line

    return _rewrite(path, name, change)


def delete_user(path: Path, name: str) -> bool:
    """Removes a user; returns whether there was one. Raises as `set_user`."""

    def change(lines: list[str], index: int | None) -> None:
        if index is not None:
            del lines[index]

    return _rewrite(path, name, change)


def check_name(name: str) -> str:
    """The name of a user in its prepared form; `ValueError` says what is wrong with it."""
    prepared = saslprep(name)
    if not prepared or prepared != prepared.strip() or ":" in prepared or prepared.startswith("#"):
        raise ValueError("it must not be empty, have a colon, begin with # or have spaces around it")
    return prepared


def _rewrite(path: Path, name: str, change: Callable[[list[str], int | None], None]) -> bool:
    """Gives the lines, and where the user's is, to `change`, and replaces the file by what it made of them."""
    real = path.resolve()  # a link stays a link
    try:
        with _locked(real.parent):
            lines = _lines(path, real.read_bytes() if real.exists() else b"")
            user = _users(path, lines).get(name)
            change(lines, None if user is None else user.number - 1)
            _replace(real, "".join(f"{line}\n" for line in lines).encode())
    except OSError as error:
        raise UsersFileError(f"{path} cannot be written: {error.strerror or error}") from error
    return user is not None


class _User(NamedTuple):
    number: int  # of the line, from 1
    name: str
    encoded: str


def _lines(path: Path, content: bytes) -> list[str]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsersFileError(f"{path}, line {line}: it is no UTF-8 text") from error
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _users(path: Path, lines: Sequence[str]) -> dict[str, _User]:
    """The users by name; `UsersFileError` says which line is none."""
    users: dict[str, _User] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        user = _parse(path, number, line)
        if user.name in users:
            raise UsersFileError(
                f"{path}, line {number}: the user {user.name!r} is there twice; remove one of the lines"
            )
        users[user.name] = user
    return users


def _parse(path: Path, number: int, line: str) -> _User:
    name, colon, encoded = line.strip().partition(":")
    where = f"{path}, line {number}"
    if not colon:
        raise UsersFileError(
            f"{where}: it is no `name:$argon2id$...`; `python -m services.smtp passwd NAME` writes lines"
        )
    try:
        prepared = check_name(name)
    except ValueError as error:
        raise UsersFileError(f"{where}: the name of the user cannot be used: {error}") from error
    try:
        if not _HASH.fullmatch(encoded):
            raise argon2.exceptions.InvalidHashError  # noqa: TRY301 - it is what the other check raises
        argon2.extract_parameters(encoded)
    except argon2.exceptions.InvalidHashError:
        raise UsersFileError(  # without a cause: it could quote the line
            f"{where}: what follows the name {name!r} is no argon2id hash; "
            f"`python -m services.smtp passwd {name}` makes one"
        ) from None
    return _User(number, prepared, encoded)


def _replace(path: Path, content: bytes) -> None:
    """Writes the file under another name first: a reader sees the old one or the new one, also after a power cut."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # of a process that was killed right here
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a Path cannot open a descriptor
            os.fchmod(descriptor, MODE)  # whatever the umask
            _keep_owner(path, descriptor)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _keep_owner(path: Path, descriptor: int) -> None:
    """An administrator who changes the service's file must not make it unreadable for the service."""
    if path.exists():
        old, new = path.stat(), os.fstat(descriptor)
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            os.fchown(descriptor, old.st_uid, old.st_gid)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keeps other `passwd` commands away: of two at once, one's user would be lost."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _identity(status: os.stat_result) -> Identity:
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _unreadable(path: Path, error: OSError) -> UsersFileError:
    return UsersFileError(
        f"the users file {path} (SMTP_USERS) cannot be read: {error.strerror or error}; "
        "`python -m services.smtp passwd NAME` makes it"
    )
